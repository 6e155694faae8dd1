//! The init segment of a track, written by libavformat.
#![allow(unsafe_code, reason = "libavformat is C")]

use std::ffi::c_uint;
use std::ptr::{self, NonNull};
use std::slice;

use ffmpeg_sys_next as ffi;

use super::library::{Options, told};
use super::parameters::Parameters;
use super::timeline::TimeBase;
use crate::error::Reason;

/// An init segment (`ftyp` and `moov`), and the units of its track in a second.
pub(super) struct Header {
    pub(super) init: Vec<u8>,
    pub(super) timescale: u32,
}

/// The sample entry that says that parameter sets are in the init segment; browsers know no other of H.265.
const HVC1: c_uint = u32::from_le_bytes(*b"hvc1");

/// Writes the init segment for a video, of one of the codecs that MP4 and [`super::codecs`] know. `base` is the unit of the
/// source's timestamps.
///
/// # Errors
/// libavformat cannot describe the video.
pub(super) fn header(parameters: &Parameters, base: TimeBase) -> Result<Header, Reason> {
    let output = Output::new()?;
    let context = output.0.as_ptr();
    // SAFETY: the context is alive; no encoder is named. The stream is the context's.
    let stream = NonNull::new(unsafe { ffi::avformat_new_stream(context, ptr::null_mut()) })
        .ok_or(Reason::NoMemory)?;
    let part = |number: u32| i32::try_from(number).unwrap_or(i32::MAX);
    // SAFETY: the stream is alive and nobody else's, as is what it points to; the parameters are copied. A context
    // that got no buffer has a null there.
    let status = unsafe {
        let stream = &mut *stream.as_ptr();
        stream.time_base = ffi::AVRational { num: part(base.numerator), den: part(base.denominator) };
        match ffi::avcodec_parameters_copy(stream.codecpar, parameters.pointer()) {
            0.. => {
                // What it was called in the source may not fit.
                (*stream.codecpar).codec_tag = if parameters.is_hevc() { HVC1 } else { 0 };
                ffi::avio_open_dyn_buf(&raw mut (*context).pb)
            }
            status => status,
        }
    };
    if status < 0 {
        return Err(Reason::Undescribed(told(status)));
    }
    let mut options = Options::default();
    options.set(c"movflags", c"empty_moov+default_base_moof");
    // SAFETY: the context has a format, a stream and a buffer to write to.
    let status = unsafe { ffi::avformat_write_header(context, options.pointer()) };
    let init = output.take();
    if status < 0 {
        return Err(Reason::Undescribed(told(status)));
    }
    // SAFETY: the stream is alive; libavformat has chosen the units by now.
    let units = unsafe { (*stream.as_ptr()).time_base };
    let timescale = u32::try_from(units.den / units.num.max(1)).unwrap_or(0).max(1);
    Ok(Header { init, timescale })
}

/// A muxer that writes to memory.
struct Output(NonNull<ffi::AVFormatContext>);

impl Output {
    fn new() -> Result<Self, Reason> {
        let mut context = ptr::null_mut();
        // SAFETY: a place for the context, a format by its name, and no file.
        let status = unsafe {
            ffi::avformat_alloc_output_context2(
                &raw mut context,
                ptr::null_mut(),
                c"mp4".as_ptr(),
                ptr::null(),
            )
        };
        NonNull::new(context).map(Self).ok_or_else(|| Reason::Undescribed(told(status)))
    }

    /// What was written so far. Nothing can be written after that.
    fn take(&self) -> Vec<u8> {
        let context = self.0.as_ptr();
        let mut data = ptr::null_mut();
        // SAFETY: the buffer was opened by `avio_open_dyn_buf`, is closed once, and not used again. What it gives has so many
        // bytes and is the caller's to free.
        unsafe {
            if (*context).pb.is_null() {
                return Vec::new();
            }
            let size = ffi::avio_close_dyn_buf((*context).pb, &raw mut data);
            (*context).pb = ptr::null_mut();
            let taken = match usize::try_from(size) {
                Ok(size) if !data.is_null() => slice::from_raw_parts(data, size).to_vec(),
                _ => Vec::new(),
            };
            ffi::av_free(data.cast());
            taken
        }
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        self.take();
        // SAFETY: alive until now, and not used again. It also lets go of what the muxer keeps.
        unsafe { ffi::avformat_free_context(self.0.as_ptr()) }
    }
}
