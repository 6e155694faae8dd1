//! What a source says of its video: the codec, the size, and what a decoder needs beside the packets.
#![allow(unsafe_code, reason = "libavcodec is C")]

use std::ffi::{CStr, c_char, c_int, c_uint};
use std::fmt;
use std::ptr::{self, NonNull};

use ffmpeg_sys_next as ffi;

use super::library::{NO_TIMESTAMP, bytes, told};
use super::sample::Packing;
use crate::error::Reason;

/// Before each NAL unit (ITU-T H.264 annex B).
const START_CODE: &[u8] = &[0, 0, 0, 1];

const H264: c_uint = ffi::AVCodecID::AV_CODEC_ID_H264 as c_uint;
const HEVC: c_uint = ffi::AVCodecID::AV_CODEC_ID_HEVC as c_uint;
const AV1: c_uint = ffi::AVCodecID::AV_CODEC_ID_AV1 as c_uint;

/// Zeros that libavcodec wants behind what it reads.
const PADDING: usize = ffi::AV_INPUT_BUFFER_PADDING_SIZE as usize;

/// A copy of what a source says of its video, which learns what the packets say.
pub struct Parameters(NonNull<ffi::AVCodecParameters>);

// SAFETY: nothing in it belongs to a thread, and only `&mut` changes it.
unsafe impl Send for Parameters {}

impl Parameters {
    /// Nothing is known yet.
    ///
    /// # Errors
    /// No memory.
    pub(super) fn unknown() -> Result<Self, Reason> {
        // SAFETY: no arguments.
        NonNull::new(unsafe { ffi::avcodec_parameters_alloc() }).map(Self).ok_or(Reason::NoMemory)
    }

    /// A copy of others.
    ///
    /// # Errors
    /// No memory.
    ///
    /// # Safety
    /// The pointer is to parameters of libavcodec's, which nobody changes during the call.
    pub(super) unsafe fn copied(others: *const ffi::AVCodecParameters) -> Result<Self, Reason> {
        let copy = Self::unknown()?;
        // SAFETY: the copy is nobody else's; the others are alive, which is the caller's.
        match unsafe { ffi::avcodec_parameters_copy(copy.0.as_ptr(), others) } {
            0.. => Ok(copy),
            status => Err(Reason::Undescribed(told(status))),
        }
    }

    /// A copy of its own.
    ///
    /// # Errors
    /// No memory.
    pub fn copy(&self) -> Result<Self, Reason> {
        // SAFETY: alive, and borrowed for the call.
        unsafe { Self::copied(self.pointer()) }
    }

    /// As libavcodec has them, alive as long as these.
    pub(super) fn pointer(&self) -> *const ffi::AVCodecParameters {
        self.0.as_ptr()
    }

    /// The number of the codec, among those of libavcodec.
    pub(super) fn codec(&self) -> c_uint {
        // SAFETY: the parameters are alive. Read as a number: a library newer than its headers may have one more, and a value
        // that the enumeration does not list would be undefined behaviour.
        unsafe { (&raw const (*self.pointer()).codec_id).cast::<c_uint>().read() }
    }

    /// Whether the codec is H.265.
    pub(super) fn is_hevc(&self) -> bool {
        self.codec() == HEVC
    }

    /// The name of the codec.
    pub(super) fn codec_name(&self) -> String {
        type Take<Number> = unsafe extern "C" fn(Number) -> *const c_char;
        let get_name: Take<ffi::AVCodecID> = ffi::avcodec_get_name;
        // SAFETY: the enumeration is passed as the number that it is, and any number has a static name.
        unsafe {
            let get_name = std::mem::transmute::<Take<ffi::AVCodecID>, Take<c_uint>>(get_name);
            CStr::from_ptr(get_name(self.codec())).to_string_lossy().into_owned()
        }
    }

    /// What a decoder needs beside the packets.
    pub fn extradata(&self) -> &[u8] {
        // SAFETY: the parameters are alive, and changed by `&mut` only.
        unsafe { bytes((*self.pointer()).extradata, (*self.pointer()).extradata_size) }
    }

    /// How the packets are packed. `None`: the codec has no place in MP4 that browsers know.
    pub fn packing(&self) -> Option<Packing> {
        let has_start_codes = self.extradata().first() != Some(&1);
        let of = |packing| Some(if has_start_codes { packing } else { Packing::AsIs });
        match self.codec() {
            H264 => of(Packing::AnnexB),
            HEVC => of(Packing::HevcAnnexB),
            AV1 => Some(Packing::Av1),
            _ => None,
        }
    }

    /// Whether nothing is missing that a key frame would tell.
    pub fn are_complete(&self) -> bool {
        match self.packing() {
            Some(Packing::AnnexB | Packing::HevcAnnexB) => self.has_size() && !self.extradata().is_empty(),
            Some(Packing::AsIs) => self.has_size(),
            Some(Packing::Av1) | None => true,
        }
    }

    fn has_size(&self) -> bool {
        // SAFETY: the parameters are alive.
        unsafe { (*self.pointer()).width > 0 && (*self.pointer()).height > 0 }
    }

    /// Takes over the parameter sets that a key frame brings, and the size of the pictures from there on. True: they are not
    /// those that were known.
    ///
    /// # Errors
    /// No memory.
    pub fn learn(&mut self, key_frame: &[u8]) -> Result<bool, Reason> {
        let renewed = self.renewed(key_frame);
        if let Some(extradata) = &renewed {
            self.set_extradata(extradata)?;
            // Of the pictures before; that of those to come is in their parameter sets.
            // SAFETY: alive, and borrowed for a change.
            unsafe {
                (*self.0.as_ptr()).sample_aspect_ratio = ffi::AVRational { num: 0, den: 1 };
            }
        }
        if (renewed.is_some() || !self.has_size())
            && let Some((width, height)) = self.size_in(key_frame)
        {
            // SAFETY: alive, and borrowed for a change.
            unsafe {
                ((*self.0.as_ptr()).width, (*self.0.as_ptr()).height) = (width, height);
            }
        }
        Ok(renewed.is_some())
    }

    /// What a decoder needs from a key frame on, if that is new. What the key frame does not bring stays as it was.
    fn renewed(&self, key_frame: &[u8]) -> Option<Vec<u8>> {
        let packing = self.packing()?;
        let found: Vec<_> = packing.parameter_sets(key_frame).collect();
        let known: Vec<_> = packing.parameter_sets(self.extradata()).collect();
        if found.iter().all(|set| known.contains(set)) {
            return None;
        }
        let is_found = |kind| found.iter().any(|set| packing.kind(set) == kind);
        let kept = known.iter().filter(|set| !is_found(packing.kind(set)));
        Some(kept.chain(&found).flat_map(|set| START_CODE.iter().chain(*set)).copied().collect())
    }

    fn set_extradata(&mut self, extradata: &[u8]) -> Result<(), Reason> {
        let size = c_int::try_from(extradata.len()).map_err(|_| Reason::NoMemory)?;
        // SAFETY: any size will do.
        let data = unsafe { ffi::av_mallocz(extradata.len() + PADDING) }.cast::<u8>();
        if data.is_null() {
            return Err(Reason::NoMemory);
        }
        let parameters = self.0.as_ptr();
        // SAFETY: so many bytes are there and are nobody else's. What was there before belongs to the parameters, is of the
        // same allocator or null, and is not used again.
        unsafe {
            ptr::copy_nonoverlapping(extradata.as_ptr(), data, extradata.len());
            ffi::av_free((*parameters).extradata.cast());
            ((*parameters).extradata, (*parameters).extradata_size) = (data, size);
        }
        Ok(())
    }

    /// Width and height of a key frame. `None`: it does not tell.
    fn size_in(&self, key_frame: &[u8]) -> Option<(c_int, c_int)> {
        let size = c_int::try_from(key_frame.len()).ok()?;
        let mut data = Vec::with_capacity(key_frame.len() + PADDING);
        data.extend_from_slice(key_frame);
        data.resize(key_frame.len() + PADDING, 0);
        let parser = Parser::new(self)?;
        let (context, parser) = (parser.context.as_ptr(), parser.parser.as_ptr());
        let (mut frame, mut frame_size) = (ptr::null_mut(), 0);
        // SAFETY: parser and context are alive, of the same codec, and nobody else's; the data has its padding, and what is
        // found in it is not looked at.
        let (width, height) = unsafe {
            (*parser).flags |= ffi::PARSER_FLAG_COMPLETE_FRAMES;
            ffi::av_parser_parse2(
                parser,
                context,
                &raw mut frame,
                &raw mut frame_size,
                data.as_ptr(),
                size,
                NO_TIMESTAMP,
                NO_TIMESTAMP,
                0,
            );
            ((*parser).width, (*parser).height)
        };
        (width > 0 && height > 0).then_some((width, height))
    }
}

impl Drop for Parameters {
    fn drop(&mut self) {
        let mut pointer = self.0.as_ptr();
        // SAFETY: alive until now, and not used again.
        unsafe { ffi::avcodec_parameters_free(&raw mut pointer) }
    }
}

impl fmt::Debug for Parameters {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Parameters").field(&self.codec_name()).finish()
    }
}

/// Reads the headers of coded pictures.
struct Parser {
    parser: NonNull<ffi::AVCodecParserContext>,
    context: NonNull<ffi::AVCodecContext>,
}

impl Parser {
    /// `None`: libavcodec has none for the codec, or no memory.
    fn new(parameters: &Parameters) -> Option<Self> {
        let codec = c_int::try_from(parameters.codec()).ok()?;
        // SAFETY: no decoder is named.
        let mut context = unsafe { ffi::avcodec_alloc_context3(ptr::null()) };
        let known = NonNull::new(context)?;
        // SAFETY: both are alive. Any number will do for a codec.
        let parser = unsafe {
            match ffi::avcodec_parameters_to_context(context, parameters.pointer()) {
                0.. => NonNull::new(ffi::av_parser_init(codec)),
                _ => None,
            }
        };
        if parser.is_none() {
            // SAFETY: alive until now, and not used again.
            unsafe { ffi::avcodec_free_context(&raw mut context) };
        }
        Some(Self { parser: parser?, context: known })
    }
}

impl Drop for Parser {
    fn drop(&mut self) {
        let mut context = self.context.as_ptr();
        // SAFETY: both are alive until now, and not used again.
        unsafe {
            ffi::av_parser_close(self.parser.as_ptr());
            ffi::avcodec_free_context(&raw mut context);
        }
    }
}
