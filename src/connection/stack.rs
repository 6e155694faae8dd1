//! The stacks of threads that wait.
//!
//! A view that waits for messages keeps a thread, and the thread every page of its stack that was ever touched: most of
//! it by what ran before, the imports and the middleware of the handshake, and by far the largest part of what an idle
//! connection costs. What lies below the frames that are in use can be given back.

use std::{
    cell::RefCell,
    mem::MaybeUninit,
    ops::Range,
    ptr,
    time::{Duration, Instant},
};

/// Left alone below the caller's frames, for what is called here.
const KEPT_BYTES: usize = 512;

/// Not more often, since what is given back has to be got again.
const PAUSE: Duration = Duration::from_secs(1);

thread_local! {
    static OWN: RefCell<Option<Own>> = const { RefCell::new(None) };
}

#[derive(Debug)]
struct Own {
    /// The addresses of the stack; empty where it is not to be touched.
    stack: Range<usize>,
    released: Option<Instant>,
}

/// Gives back the pages of the calling thread's stack that no frame uses, if that has not been done for a while. To be
/// called before a wait.
pub(super) fn release_unused() {
    OWN.with_borrow_mut(|own| {
        let own = own.get_or_insert_with(|| Own { stack: stack(), released: None });
        // A coroutine may have brought a stack of its own.
        if own.stack.contains(&here()) {
            let now = Instant::now();
            if own.released.is_none_or(|released| now - released >= PAUSE) {
                own.released = Some(now);
                release_above(own.stack.start);
            }
        }
    });
}

/// The calling thread's stack. Empty for the first thread of a process, whose stack is the system's own.
#[allow(unsafe_code, reason = "only the C library knows where its threads' stacks are")]
fn stack() -> Range<usize> {
    // SAFETY: both only tell numbers.
    if unsafe { libc::getpid() == libc::gettid() } {
        return 0..0;
    }
    let mut attributes = MaybeUninit::uninit();
    let (mut low, mut size) = (ptr::null_mut(), 0);
    // SAFETY: the attributes are used only where the first call has filled them in, and freed once; the rest are places
    // to write to.
    let found = unsafe {
        libc::pthread_getattr_np(libc::pthread_self(), attributes.as_mut_ptr()) == 0 && {
            let found = libc::pthread_attr_getstack(attributes.as_ptr(), &raw mut low, &raw mut size);
            libc::pthread_attr_destroy(attributes.as_mut_ptr());
            found == 0
        }
    };
    if !found {
        return 0..0;
    }
    let low = low.expose_provenance();
    low..low + size
}

/// An address in the caller's frame, or just below it.
#[inline(never)]
fn here() -> usize {
    let local = 0_u8;
    std::hint::black_box(&raw const local).addr()
}

/// Gives back what lies between the lowest address and the frames in use.
#[inline(never)]
#[allow(unsafe_code, reason = "the stack is not Rust's to know")]
fn release_above(low: usize) {
    // SAFETY: it only tells a number.
    let page = usize::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).unwrap_or(4096);
    let end = (here() - KEPT_BYTES) & !(page - 1);
    let begin = low.next_multiple_of(page);
    if end <= begin {
        return;
    }
    // SAFETY: the range belongs to the stack of this thread, and lies below its stack pointer by more than this call
    // needs: stacks grow downwards here, so nothing that lives is in it. A signal handler that runs on this stack is over
    // before this thread goes on into the kernel, or begins after that; whoever grows into it again finds zeros in the
    // place of what nobody may read. It is refused for memory that is locked, which then stays.
    let _refused =
        unsafe { libc::madvise(ptr::with_exposed_provenance_mut(begin), end - begin, libc::MADV_DONTNEED) };
}
