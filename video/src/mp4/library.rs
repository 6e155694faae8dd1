//! What every use of libavformat needs: an end to its waiting, its options, and its words.
#![allow(unsafe_code, reason = "libavformat is C")]

use std::ffi::{CStr, c_int, c_void};
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::ptr;
use std::slice;
use std::time::Instant;

use ffmpeg_sys_next as ffi;
use parking_lot::Mutex;

/// Where a timestamp is not known (`AV_NOPTS_VALUE`).
pub(super) const NO_TIMESTAMP: i64 = i64::MIN;

/// Ends what libavformat waits for: when the time is up, or as soon as somebody says so.
///
/// libavformat asks ten times a second at least while it waits for a network, and not while the operating system looks up
/// a name or reads a file.
pub struct Interrupt {
    until: Mutex<Instant>,
    stop: Box<dyn Fn() -> bool + Send + Sync>,
}

impl Interrupt {
    /// At `until`, or when `stop` says so, which must be quick.
    pub fn new(until: Instant, stop: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self { until: Mutex::new(until), stop: Box::new(stop) }
    }

    /// From now on it ends what is waited for at `until`.
    pub(super) fn set(&self, until: Instant) {
        *self.until.lock() = until;
    }

    /// It ends what is waited for at `until` at the latest.
    pub(super) fn hasten(&self, until: Instant) {
        let mut known = self.until.lock();
        *known = (*known).min(until);
    }

    /// What a context of libavformat asks, which must not do so once this is gone or elsewhere.
    pub(super) fn callback(&self) -> ffi::AVIOInterruptCB {
        ffi::AVIOInterruptCB { callback: Some(is_interrupted), opaque: ptr::from_ref(self).cast_mut().cast() }
    }

    pub(super) fn is_due(&self) -> bool {
        self.is_late() || (self.stop)()
    }

    pub(super) fn is_late(&self) -> bool {
        Instant::now() >= *self.until.lock()
    }
}

impl fmt::Debug for Interrupt {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Interrupt").field("until", &*self.until.lock()).finish_non_exhaustive()
    }
}

/// # Safety
/// The pointer is to an [`Interrupt`] that is alive for the call.
unsafe extern "C" fn is_interrupted(interrupt: *mut c_void) -> c_int {
    // A panic must not unwind into C; it ends the wait.
    catch_unwind(AssertUnwindSafe(|| {
        // SAFETY: the caller's; it is only read, and `Sync`.
        unsafe { &*interrupt.cast::<Interrupt>() }.is_due()
    }))
    .unwrap_or(true)
    .into()
}

/// What libavformat says of an error. Holds nothing of the source.
pub(super) fn told(status: c_int) -> String {
    let mut text = [0; 256];
    // SAFETY: so many bytes are there, and the text is ended by a zero in them.
    unsafe {
        ffi::av_strerror(status, text.as_mut_ptr(), text.len());
        CStr::from_ptr(text.as_ptr()).to_string_lossy().into_owned()
    }
}

/// What stands behind a pointer.
///
/// # Safety
/// So many bytes are there, or none where the pointer is null, and stay as they are for as long as the slice.
pub(super) unsafe fn bytes<'data>(data: *const u8, size: c_int) -> &'data [u8] {
    match usize::try_from(size) {
        // SAFETY: the caller's.
        Ok(size) if !data.is_null() => unsafe { slice::from_raw_parts(data, size) },
        _ => &[],
    }
}

/// Keeps libavformat's log off stderr.
pub fn silence() {
    // SAFETY: any level will do.
    unsafe { ffi::av_log_set_level(ffi::AV_LOG_QUIET) }
}

/// Options of libavformat by name.
#[derive(Debug)]
pub(super) struct Options(*mut ffi::AVDictionary);

impl Default for Options {
    fn default() -> Self {
        Self(ptr::null_mut())
    }
}

impl Options {
    pub(super) fn set(&mut self, name: &CStr, value: &CStr) {
        // SAFETY: a dictionary or null, and two strings, which are copied.
        unsafe { ffi::av_dict_set(&raw mut self.0, name.as_ptr(), value.as_ptr(), 0) };
    }

    /// For a function that takes what it knows out of them.
    pub(super) fn pointer(&mut self) -> *mut *mut ffi::AVDictionary {
        &raw mut self.0
    }
}

impl Drop for Options {
    fn drop(&mut self) {
        // SAFETY: a dictionary or null.
        unsafe { ffi::av_dict_free(&raw mut self.0) }
    }
}
