//! How glibc's malloc shares memory among many threads.
//!
//! It keeps up to eight arenas for each processor, and what one thread has freed serves the threads of the same arena
//! only. Thousands of threads of views, each of which allocates now and then, let every arena grow to a peak of its own:
//! the process takes the sum of the peaks in place of the peak of the sum, and gets there over hours, which looks like a
//! leak. Threads that hold the GIL one at a time gain nothing by arenas of their own.

#![allow(unsafe_code, reason = "malloc belongs to C")]

/// One for the thread that has the GIL, and one more for those that read and write meanwhile.
#[cfg(target_env = "gnu")]
const ARENAS: libc::c_int = 2;

/// Lets malloc make no further arena once there are two, unless the environment says how many there may be. To be called
/// before threads are started: those that there are stay. Does nothing with another C library.
pub fn limit() {
    #[cfg(target_env = "gnu")]
    if !is_set_by_environment() {
        // SAFETY: mallopt takes any two numbers and locks what it changes (mallopt(3): MT-Unsafe only in that it first
        // initialises malloc, which has long been done). A refusal, 0, leaves everything as it was, which is no error here.
        let _refused = unsafe { libc::mallopt(libc::M_ARENA_MAX, ARENAS) };
    }
}

#[cfg(target_env = "gnu")]
fn is_set_by_environment() -> bool {
    let tunables = std::env::var_os("GLIBC_TUNABLES").unwrap_or_default();
    std::env::var_os("MALLOC_ARENA_MAX").is_some()
        || tunables.as_encoded_bytes().windows(b"arena_max".len()).any(|name| name == b"arena_max")
}
