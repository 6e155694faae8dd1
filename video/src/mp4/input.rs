//! A source taken apart by libavformat.
#![allow(unsafe_code, reason = "libavformat is C")]

use std::ffi::{CStr, CString, c_int, c_uint};
use std::fmt;
use std::io;
use std::mem;
use std::os::unix::ffi::OsStringExt;
use std::ptr::{self, NonNull};
use std::slice;
use std::time::{Duration, Instant};

use ffmpeg_sys_next as ffi;

use super::library::{Interrupt, NO_TIMESTAMP, Options, bytes, told};
use super::parameters::Parameters;
use super::timeline::{Stamps, TimeBase};
use crate::capture::{self, Facts};
use crate::error::Reason;
use crate::source::Source;

/// How long a source may take to hear that it is closed.
const CLOSING: Duration = Duration::from_millis(500);

/// How much of a stream libavformat looks through for what is in it. It would wait five seconds and more for sound that is
/// announced, or that may come as far as it knows. What it has not seen of the video by then is read here.
const PROBE_MICROSECONDS: &CStr = c"1000000";

/// How long is looked for a video that begins after that. As long as libavformat would.
const LOOKING: Duration = Duration::from_secs(5);

/// Faster than any camera.
const MOST_FRAMES_PER_SECOND: f64 = 1000.0;

/// A packet of the source's video, until the next is read.
#[derive(Clone, Copy, Debug)]
pub struct Packet<'input> {
    /// A coded picture.
    pub data: &'input [u8],
    /// When it is decoded and shown.
    pub stamps: Stamps,
    /// Whether decoding can begin with it.
    pub is_key: bool,
    /// The parameters of the codec from here on, where the source gives new ones.
    pub parameters: Option<&'input [u8]>,
}

/// The video of a source, packet by packet. Used by one thread at a time, which its interrupt frees.
pub struct Input {
    context: NonNull<ffi::AVFormatContext>,
    packet: NonNull<ffi::AVPacket>,
    stream: NonNull<ffi::AVStream>,
    stream_index: c_int,
    parameters: Parameters,
    is_recorded: bool,
    /// Whether the packet is the next one, which was read to learn from it.
    is_ahead: bool,
    /// `context` points to it.
    interrupt: Box<Interrupt>,
}

// SAFETY: nothing in it belongs to a thread, and `&Input` gives no access to what changes.
unsafe impl Send for Input {}

impl Input {
    /// Opens a source and finds its video. Blocks until the interrupt, at most.
    ///
    /// # Errors
    /// The source cannot be opened, and why; or there is no video in it.
    pub fn open(source: &Source, interrupt: Interrupt) -> Result<Self, Reason> {
        let name = name_of(source)?;
        let interrupt = Box::new(interrupt);
        let (mut options, is_brief) = options_for(source);
        let parameters = Parameters::unknown()?;
        // SAFETY: no arguments. The network is set up once, also where OpenCV does it too.
        let context = unsafe {
            ffi::avformat_network_init();
            ffi::avformat_alloc_context()
        };
        let context = NonNull::new(context).ok_or(Reason::NoMemory)?;
        // SAFETY: nobody else has the context; the box stays where it is for as long as the context lives.
        unsafe {
            (*context.as_ptr()).interrupt_callback = interrupt.callback();
        }
        let mut opened = context.as_ptr();
        // SAFETY: a context of libavformat's, a string, no format of the caller's, a dictionary; all are alive for the call.
        let status = unsafe {
            ffi::avformat_open_input(&raw mut opened, name.as_ptr(), ptr::null_mut(), options.pointer())
        };
        if status < 0 {
            // libavformat has freed the context.
            return Err(why_not(source, status));
        }
        let packet = NonNull::new({
            // SAFETY: no arguments.
            unsafe { ffi::av_packet_alloc() }
        });
        let Some(packet) = packet else {
            // SAFETY: opened above, and not used again.
            unsafe { ffi::avformat_close_input(&raw mut opened) };
            return Err(Reason::NoMemory);
        };
        let mut input = Self {
            context,
            packet,
            // Until it is found; not looked at before.
            stream: NonNull::dangling(),
            stream_index: 0,
            parameters,
            is_recorded: false,
            is_ahead: false,
            interrupt,
        };
        input.find_video(source, is_brief)?;
        input.complete_parameters()?;
        Ok(input)
    }

    /// Finds the video, which may begin later than what was looked through where that was brief.
    fn find_video(&mut self, source: &Source, is_brief: bool) -> Result<(), Reason> {
        let until = Instant::now() + LOOKING;
        let context = self.context.as_ptr();
        // SAFETY: the context is open; no options for the streams.
        let status = unsafe { ffi::avformat_find_stream_info(context, ptr::null_mut()) };
        if status < 0 {
            return Err(why_not(source, status));
        }
        let (index, found) = loop {
            match self.best_video() {
                Some(numbers) => break numbers,
                None if self.interrupt.is_due() => return Err(Reason::Interrupted),
                None if is_brief && self.may_bring_more() && Instant::now() < until => {}
                None => return Err(Reason::NoVideo),
            }
            if !self.fill_with_any()? {
                return Err(Reason::NoVideo);
            }
            // The video may have begun with it.
            self.is_ahead = true;
        };
        // SAFETY: alive, and filled if it was ahead; a packet always has a number there.
        self.is_ahead &= unsafe { (*self.packet.as_ptr()).stream_index } == index;
        // SAFETY: libavformat keeps `nb_streams` pointers to streams there, which live as long as the context. Other streams
        // than the one found are not to be read.
        unsafe {
            let streams = slice::from_raw_parts((*context).streams, (*context).nb_streams as usize);
            for (number, stream) in streams.iter().enumerate() {
                if number != found {
                    (**stream).discard = ffi::AVDiscard::AVDISCARD_ALL;
                }
            }
            self.stream = NonNull::new(streams[found]).ok_or(Reason::NoVideo)?;
        }
        self.stream_index = index;
        self.is_recorded = match source {
            Source::Camera(_) => false,
            Source::File(_) => true,
            Source::Url(_) => self.duration_seconds().is_some(),
        };
        Ok(())
    }

    /// The number of the stream that is shown, if there is a video; also as an index.
    fn best_video(&self) -> Option<(c_int, usize)> {
        let video = ffi::AVMediaType::AVMEDIA_TYPE_VIDEO;
        // SAFETY: the context is open; no wish, no related stream, no decoder asked for.
        let found =
            unsafe { ffi::av_find_best_stream(self.context.as_ptr(), video, -1, -1, ptr::null_mut(), 0) };
        usize::try_from(found).ok().map(|index| (found, index))
    }

    /// Whether streams may begin where they like.
    fn may_bring_more(&self) -> bool {
        // SAFETY: the context is open.
        unsafe { (*self.context.as_ptr()).ctx_flags & ffi::AVFMTCTX_NOHEADER != 0 }
    }

    /// Reads on, where the source has not said enough for an init segment, up to the key frame that says it. What comes before
    /// is of no use without it.
    fn complete_parameters(&mut self) -> Result<(), Reason> {
        self.parameters = self.stated_parameters()?;
        while !self.parameters.are_complete() && (mem::take(&mut self.is_ahead) || self.fill()?) {
            // SAFETY: it was filled, and is not touched again in here.
            let packet = unsafe { view(self.packet.as_ptr()) };
            if packet.is_key {
                self.parameters = self.stated_parameters()?;
                self.parameters.learn(packet.data)?;
                self.is_ahead = self.parameters.are_complete();
            }
        }
        // What is missing at the end is told by whoever needs it.
        Ok(())
    }

    fn stated_parameters(&self) -> Result<Parameters, Reason> {
        // SAFETY: the stream is alive, and only reading changes what it says.
        unsafe { Parameters::copied((*self.stream.as_ptr()).codecpar) }
    }

    /// What the source tells about itself.
    pub fn facts(&self) -> Facts {
        // SAFETY: the stream is alive.
        let rate = unsafe { (*self.stream.as_ptr()).avg_frame_rate };
        let frames_per_second = f64::from(rate.num) / f64::from(rate.den);
        Facts {
            frames_per_second: (frames_per_second > 0.0 && frames_per_second <= MOST_FRAMES_PER_SECOND)
                .then_some(frames_per_second),
            duration_seconds: self.duration_seconds().filter(|_| self.is_recorded),
            recorded: self.is_recorded,
        }
    }

    fn duration_seconds(&self) -> Option<f64> {
        // SAFETY: the context is open.
        let microseconds = unsafe { (*self.context.as_ptr()).duration };
        let duration = Duration::from_micros(u64::try_from(microseconds).ok()?);
        (!duration.is_zero()).then_some(duration.as_secs_f64())
    }

    /// The unit of the timestamps.
    pub fn time_base(&self) -> TimeBase {
        // SAFETY: the stream is alive.
        let base = unsafe { (*self.stream.as_ptr()).time_base };
        let over_zero = |number: c_int| u32::try_from(number).unwrap_or(0).max(1);
        TimeBase { numerator: over_zero(base.num), denominator: over_zero(base.den) }
    }

    /// The timestamp that is position 0.
    pub fn start(&self) -> i64 {
        // SAFETY: the stream is alive.
        let start = unsafe { (*self.stream.as_ptr()).start_time };
        if start == NO_TIMESTAMP { 0 } else { start }
    }

    /// What the source says of its video, and its first key frame said where the source did not.
    pub fn parameters(&self) -> &Parameters {
        &self.parameters
    }

    /// Reads the next packet, at most until `until`. `None`: the source has ended.
    ///
    /// # Errors
    /// [`Reason::Interrupted`], or what went wrong.
    pub fn read(&mut self, until: Instant) -> Result<Option<Packet<'_>>, Reason> {
        self.interrupt.set(until);
        let is_there = mem::take(&mut self.is_ahead) || self.fill()?;
        // SAFETY: it was filled, and is not touched before the next read, which needs the input for itself.
        Ok(is_there.then(|| unsafe { view(self.packet.as_ptr()) }))
    }

    /// Fills the packet with the next of the video. False: the source has ended.
    fn fill(&mut self) -> Result<bool, Reason> {
        while self.fill_with_any()? {
            // SAFETY: it was filled.
            if unsafe { (*self.packet.as_ptr()).stream_index } == self.stream_index {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Fills the packet with the next one, whatever it is of.
    fn fill_with_any(&mut self) -> Result<bool, Reason> {
        let packet = self.packet.as_ptr();
        // SAFETY: the context is open; the packet is libavcodec's, and what was in it is let go of before it is filled.
        let status = unsafe {
            ffi::av_packet_unref(packet);
            ffi::av_read_frame(self.context.as_ptr(), packet)
        };
        match status {
            0.. => Ok(true),
            _ if self.interrupt.is_due() => Err(Reason::Interrupted),
            ffi::AVERROR_EOF => Ok(false),
            _ => Err(Reason::Broken(told(status))),
        }
    }

    /// Whether the time that the last read had is up.
    pub fn is_late(&self) -> bool {
        self.interrupt.is_late()
    }

    /// Makes the last key frame at or before `seconds` the next packet.
    ///
    /// # Errors
    /// The source cannot be sought in.
    pub fn seek(&mut self, seconds: f64, until: Instant) -> Result<(), Reason> {
        self.interrupt.set(until);
        self.is_ahead = false;
        let TimeBase { numerator, denominator } = self.time_base();
        let ticks = seconds * f64::from(denominator) / f64::from(numerator);
        #[allow(clippy::cast_possible_truncation, reason = "it saturates, and past the end is the end")]
        let timestamp = (ticks.round() as i64).saturating_add(self.start());
        // SAFETY: the context is open, and the stream one of it.
        let status = unsafe {
            ffi::avformat_seek_file(
                self.context.as_ptr(),
                self.stream_index,
                i64::MIN,
                timestamp,
                timestamp,
                0,
            )
        };
        match status {
            0.. => Ok(()),
            _ if self.interrupt.is_due() => Err(Reason::Interrupted),
            _ => Err(Reason::Broken(told(status))),
        }
    }
}

impl Drop for Input {
    fn drop(&mut self) {
        self.interrupt.hasten(Instant::now() + CLOSING);
        let (mut context, mut packet) = (self.context.as_ptr(), self.packet.as_ptr());
        // SAFETY: both are alive until now, and not used again. The interrupt, which closing may ask, is dropped after this.
        unsafe {
            ffi::av_packet_free(&raw mut packet);
            ffi::avformat_close_input(&raw mut context);
        }
    }
}

impl fmt::Debug for Input {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Input").field("facts", &self.facts()).finish_non_exhaustive()
    }
}

/// # Safety
/// The packet was filled, and stays as it is for as long as the view.
unsafe fn view<'packet>(packet: *const ffi::AVPacket) -> Packet<'packet> {
    let known = |timestamp: i64| (timestamp != NO_TIMESTAMP).then_some(timestamp);
    // SAFETY: the caller's: the fields are those of a filled packet, with as many bytes and elements as they say.
    unsafe {
        let packet = &*packet;
        let stamps =
            Stamps { shown: known(packet.pts), decoded: known(packet.dts), duration: packet.duration };
        let side_data = match usize::try_from(packet.side_data_elems) {
            Ok(count) if !packet.side_data.is_null() => slice::from_raw_parts(packet.side_data, count),
            _ => &[],
        };
        let is_new_extradata = |side_data: &&ffi::AVPacketSideData| {
            // As a number, for the reason given at `codec`.
            (&raw const side_data.type_).cast::<c_uint>().read()
                == ffi::AVPacketSideDataType::AV_PKT_DATA_NEW_EXTRADATA as c_uint
        };
        let parameters = side_data.iter().find(is_new_extradata);
        Packet {
            data: bytes(packet.data, packet.size),
            stamps,
            is_key: packet.flags & ffi::AV_PKT_FLAG_KEY != 0,
            // An int in FFmpeg 4, a size_t since; what does not fit is not there.
            parameters: parameters.map(|found| bytes(found.data, c_int::try_from(found.size).unwrap_or(0))),
        }
    }
}

/// What libavformat is to do with a source, and whether it looks through the begin of it only briefly.
fn options_for(source: &Source) -> (Options, bool) {
    let mut options = Options::default();
    let Source::Url(url) = source else { return (options, false) };
    let scheme = url.split_once("://").map(|(scheme, _)| scheme.to_ascii_lowercase()).unwrap_or_default();
    if scheme == "rtsp" || scheme == "rtsps" {
        // As OpenCV does: UDP loses packets, and each ruins the pictures until the next key frame.
        options.set(c"rtsp_transport", c"tcp");
    }
    // A file is read as fast as it can be, so nobody waits for it.
    let is_brief = scheme != "file";
    if is_brief {
        options.set(c"analyzeduration", PROBE_MICROSECONDS);
    }
    (options, is_brief)
}

fn name_of(source: &Source) -> Result<CString, Reason> {
    let Some(name) = source.file_name() else {
        return Err(Reason::NotForMp4("what a camera gives".to_owned()));
    };
    CString::new(name.into_vec())
        .map_err(|error| Reason::File(io::Error::new(io::ErrorKind::InvalidInput, error)))
}

/// Why a source was not opened.
fn why_not(source: &Source, status: c_int) -> Reason {
    match source {
        Source::File(path) => capture::why_not(path),
        _ => Reason::NotOpenedBecause(told(status)),
    }
}
