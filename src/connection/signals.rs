//! Learning that the process is told to stop, without a say in what its signal handlers do.

#![allow(unsafe_code, reason = "signal handlers belong to C")]

use std::{
    ffi::CStr,
    io,
    mem::zeroed,
    os::{fd::IntoRawFd, unix::net::UnixStream},
    process,
    ptr::null_mut,
    sync::atomic::{AtomicI32, AtomicPtr, AtomicU32, AtomicUsize, Ordering},
};

use libc::{c_int, c_void, sigaction, siginfo_t};

/// The signals that tell a process to stop, SIGHUP only where uWSGI's own handler makes it one.
const STOPPING: [c_int; 5] = [libc::SIGINT, libc::SIGQUIT, libc::SIGABRT, libc::SIGTERM, libc::SIGHUP];

/// uWSGI's handlers in its workers: of SIGHUP, which waits for the requests that run, and of SIGINT and SIGTERM,
/// which exits at once. Both are found by name, since uWSGI exports its functions to its plugins.
const WAITS: &CStr = c"gracefully_kill";
const EXITS: &CStr = c"end_me";

/// How long a handler that exits at once is kept from doing so while last words are written.
const LAST_WORDS_MILLISECONDS: c_int = 1_000;

/// What handled each of them before; leaked, for a handler may be running whenever it is replaced.
static PREVIOUS: [AtomicPtr<sigaction>; STOPPING.len()] =
    [const { AtomicPtr::new(null_mut()) }; STOPPING.len()];

/// The process that wants to know, and the socket that tells it. A forked child inherits handlers and socket, and
/// what tells the child to stop is none of its parent's business.
static PROCESS: AtomicU32 = AtomicU32::new(0);
static BELL: AtomicI32 = AtomicI32::new(-1);

/// The address of the handler that exits at once; zero where there is none, as everywhere but in uWSGI.
static EXITING: AtomicUsize = AtomicUsize::new(0);

/// A socket that gives a byte, the signal's number, when one of the signals arrives for which the process has a handler
/// now. Those that end the process or are ignored are left alone. To be called once in a process.
///
/// Whoever has been told and has done what there was to do writes a byte: a handler that exits at once waits for it, for a
/// second at most.
///
/// The handlers there are stay in force: each is called as before, under the same flags and mask. A handler that is set
/// later takes the place of this one.
///
/// # Errors
/// The operating system has no descriptor left.
pub(super) fn told_to_stop() -> io::Result<UnixStream> {
    let (told, tells) = UnixStream::pair()?;
    told.set_nonblocking(true)?;
    // Never closed, since a handler may write to it at any time.
    BELL.store(tells.into_raw_fd(), Ordering::SeqCst);
    PROCESS.store(process::id(), Ordering::SeqCst);
    EXITING.store(exported(EXITS), Ordering::SeqCst);
    for (number, previous) in STOPPING.into_iter().zip(&PREVIOUS) {
        precede(number, previous)?;
    }
    Ok(told)
}

/// The address of a function that the program itself exports; zero where it does not.
fn exported(name: &CStr) -> usize {
    // SAFETY: the name ends with a zero, and the address is compared, never called.
    unsafe { libc::dlsym(libc::RTLD_DEFAULT, name.as_ptr()) as usize }
}

/// Puts `note` before the handler of a signal, if there is one.
fn precede(number: c_int, previous: &AtomicPtr<sigaction>) -> io::Result<()> {
    let handler: extern "C" fn(c_int, *mut siginfo_t, *mut c_void) = note;
    // SAFETY: zeros are a valid sigaction, and the pointers are to values that live during the calls. `note` has the
    // signature that SA_SIGINFO asks for, and finds what it calls before it can be called.
    unsafe {
        let mut current: sigaction = zeroed();
        if libc::sigaction(number, null_mut(), &raw mut current) != 0 {
            return Err(io::Error::last_os_error());
        }
        let own = handler as usize;
        // Its own is there when the parent process wanted to know as well.
        let leave = [libc::SIG_DFL, libc::SIG_IGN, own];
        if leave.contains(&current.sa_sigaction) || current.sa_flags & libc::SA_RESETHAND != 0 {
            return Ok(());
        }
        // Elsewhere SIGHUP may mean anything, such as that log files are to be opened anew.
        if number == libc::SIGHUP && current.sa_sigaction != exported(WAITS) {
            return Ok(());
        }
        previous.store(Box::into_raw(Box::new(current)), Ordering::SeqCst);
        current.sa_sigaction = own;
        current.sa_flags |= libc::SA_SIGINFO;
        if libc::sigaction(number, &raw const current, null_mut()) != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

/// The signal handler: rings and calls the handler that was there before.
///
/// It may interrupt any code on any thread, so it takes no lock, allocates nothing and leaves `errno` alone; what it calls
/// is async-signal-safe (signal-safety(7)).
extern "C" fn note(number: c_int, info: *mut siginfo_t, context: *mut c_void) {
    // SAFETY: `errno` is the thread's own. The descriptor is never closed. The handler before this one is called as its
    // flags say it wants to be.
    unsafe {
        let errno = libc::__errno_location();
        let kept = *errno;
        if PROCESS.load(Ordering::SeqCst) == process::id() {
            // It fails only where it was rung often before, or where nobody listens any more.
            let flags = libc::MSG_DONTWAIT | libc::MSG_NOSIGNAL;
            let byte = [u8::try_from(number).unwrap_or(0)];
            libc::send(BELL.load(Ordering::SeqCst), byte.as_ptr().cast(), 1, flags);
        }
        *errno = kept;
        let Some(place) = STOPPING.iter().position(|&signal| signal == number) else { return };
        let Some(previous) = PREVIOUS[place].load(Ordering::SeqCst).as_ref() else { return };
        if previous.sa_sigaction == EXITING.load(Ordering::SeqCst) {
            await_last_words();
        }
        if previous.sa_flags & libc::SA_SIGINFO != 0 {
            type Handler = extern "C" fn(c_int, *mut siginfo_t, *mut c_void);
            std::mem::transmute::<usize, Handler>(previous.sa_sigaction)(number, info, context);
        } else {
            std::mem::transmute::<usize, extern "C" fn(c_int)>(previous.sa_sigaction)(number);
        }
    }
}

/// Waits until whoever was told has answered, for a second at most. It may hold up the thread that it interrupts, and
/// with it a lock or the GIL; those who write last words need the GIL never, and such a lock for no longer than that second.
fn await_last_words() {
    if PROCESS.load(Ordering::SeqCst) != process::id() {
        return;
    }
    let mut bell = libc::pollfd { fd: BELL.load(Ordering::SeqCst), events: libc::POLLIN, revents: 0 };
    // SAFETY: one pollfd, as said; poll is async-signal-safe.
    unsafe { libc::poll(&raw mut bell, 1, LAST_WORDS_MILLISECONDS) };
}
