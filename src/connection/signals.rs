//! Learning that the process is told to stop, without a say in what its signal handlers do.

#![allow(unsafe_code, reason = "signal handlers belong to C")]

use std::{
    io,
    mem::zeroed,
    os::{fd::IntoRawFd, unix::net::UnixStream},
    process,
    ptr::null_mut,
    sync::atomic::{AtomicI32, AtomicPtr, AtomicU32, Ordering},
};

use libc::{c_int, c_void, sigaction, siginfo_t};

/// The signals that tell a process to stop.
const STOPPING: [c_int; 4] = [libc::SIGINT, libc::SIGQUIT, libc::SIGABRT, libc::SIGTERM];

/// What handled each of them before; leaked, for a handler may be running whenever it is replaced.
static PREVIOUS: [AtomicPtr<sigaction>; STOPPING.len()] =
    [const { AtomicPtr::new(null_mut()) }; STOPPING.len()];

/// The process that wants to know, and the socket that tells it. A forked child inherits handlers and socket, and
/// what tells the child to stop is none of its parent's business.
static PROCESS: AtomicU32 = AtomicU32::new(0);
static BELL: AtomicI32 = AtomicI32::new(-1);

/// A socket that becomes readable when one of the signals arrives for which the process has a handler
/// now. Those that end the process or are ignored are left alone. To be called once in a process.
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
    for (number, previous) in STOPPING.into_iter().zip(&PREVIOUS) {
        precede(number, previous)?;
    }
    Ok(told)
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
            libc::send(BELL.load(Ordering::SeqCst), [1_u8].as_ptr().cast(), 1, flags);
        }
        *errno = kept;
        let Some(place) = STOPPING.iter().position(|&signal| signal == number) else { return };
        let Some(previous) = PREVIOUS[place].load(Ordering::SeqCst).as_ref() else { return };
        if previous.sa_flags & libc::SA_SIGINFO != 0 {
            type Handler = extern "C" fn(c_int, *mut siginfo_t, *mut c_void);
            std::mem::transmute::<usize, Handler>(previous.sa_sigaction)(number, info, context);
        } else {
            std::mem::transmute::<usize, extern "C" fn(c_int)>(previous.sa_sigaction)(number);
        }
    }
}
