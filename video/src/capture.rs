//! OpenCV behind a small trait: open, read, seek.

use std::fs;
use std::io;
use std::path::Path;
use std::time::Duration;

use opencv::core::{LogLevel, Mat, Vector, set_log_level};
use opencv::prelude::*;
use opencv::videoio::{
    CAP_ANY, CAP_FFMPEG, CAP_PROP_FPS, CAP_PROP_FRAME_COUNT, CAP_PROP_OPEN_TIMEOUT_MSEC, CAP_PROP_POS_MSEC,
    CAP_PROP_READ_TIMEOUT_MSEC, CAP_V4L2, VideoCapture,
};

use crate::error::Reason;
use crate::source::Source;

/// More frames than any recording has; OpenCV reports such numbers for live sources.
const MOST_FRAMES: f64 = 1e9;

/// Faster than any camera; OpenCV reports such rates where it knows none (90,000 is the clock of MPEG).
const MOST_FRAMES_PER_SECOND: f64 = 1000.0;

/// One picture of a source.
#[derive(Debug, Default)]
pub struct Picture {
    /// 8-bit BGR or grey, rows without gaps.
    pub pixels: Mat,
    /// Where in the source it stands.
    pub position_seconds: f64,
}

/// What a source tells about itself once it is open.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Facts {
    /// None where OpenCV does not know.
    pub frames_per_second: Option<f64>,
    /// None for a live source and for a file that does not say.
    pub duration_seconds: Option<f64>,
    /// Whether the source waits for its reader and can be sought in; otherwise it is live.
    pub recorded: bool,
}

/// How long a source may take.
#[derive(Clone, Copy, Debug)]
pub struct Timeouts {
    /// To open and give the first picture; a stream that waits for its next key frame takes its time.
    pub open: Duration,
    /// From one picture to the next.
    pub read: Duration,
}

/// An open source. Used by one thread at a time; `read` blocks.
pub trait Capture: Send {
    /// What the source tells about itself.
    fn facts(&self) -> Facts;

    /// Reads the next picture into `picture`, whose memory is used again. False at the end, which OpenCV does not tell
    /// from an error or a timeout.
    ///
    /// # Errors
    /// OpenCV raised an exception.
    fn read(&mut self, picture: &mut Picture) -> Result<bool, Reason>;

    /// Makes the picture at `seconds` the next one. Past the end the next read gives false.
    ///
    /// # Errors
    /// [`Reason::Unseekable`] for a live source.
    fn seek(&mut self, seconds: f64) -> Result<(), Reason>;
}

/// Opens files and urls through FFmpeg, cameras through the system. Blocks for up to the open timeout, and longer
/// where the system does (a name look-up, a camera's driver). OpenCV opens one file or url at a time in a process, so
/// it also blocks while another source hangs in its opening.
///
/// # Errors
/// The source cannot be opened, and why, as far as that can be found out.
pub fn open(source: &Source, timeouts: Timeouts) -> Result<Box<dyn Capture>, Reason> {
    let capture = match source.file_name() {
        None => open_camera(source)?,
        Some(name) => {
            let options = Vector::from_slice(&[
                CAP_PROP_OPEN_TIMEOUT_MSEC,
                milliseconds(timeouts.open),
                CAP_PROP_READ_TIMEOUT_MSEC,
                // It holds for the first picture too, which may take as long as the opening.
                milliseconds(timeouts.read.max(timeouts.open)),
            ]);
            // Named, because the automatic choice tries GStreamer first, which prints.
            VideoCapture::from_file_with_params(name, CAP_FFMPEG, &options)?
        }
    };
    if !capture.is_opened()? {
        return Err(match source {
            Source::File(path) => why_not(path),
            _ => Reason::NotOpened,
        });
    }
    Ok(Box::new(OpenCv::new(capture, source)?))
}

fn open_camera(source: &Source) -> Result<VideoCapture, Reason> {
    let Source::Camera(index) = source else { unreachable!("bug: only a camera has no file name") };
    let through = if cfg!(target_os = "linux") { CAP_V4L2 } else { CAP_ANY };
    Ok(VideoCapture::new(*index, through)?)
}

/// What is wrong with a file that was not opened.
pub(crate) fn why_not(path: &Path) -> Reason {
    let found = fs::metadata(path).and_then(|metadata| {
        if metadata.is_dir() {
            return Err(io::ErrorKind::IsADirectory.into());
        }
        // Only a plain file is opened: a pipe would block.
        if metadata.is_file() { fs::File::open(path).map(drop) } else { Ok(()) }
    });
    match found {
        Err(error) => Reason::File(error),
        Ok(()) => Reason::NotAVideo,
    }
}

fn milliseconds(duration: Duration) -> i32 {
    i32::try_from(duration.as_millis()).unwrap_or(i32::MAX).max(1)
}

/// Silences OpenCV's own log.
///
/// # Errors
/// OpenCV raised an exception.
pub fn silence() -> Result<(), Reason> {
    set_log_level(LogLevel::LOG_LEVEL_FATAL)?;
    Ok(())
}

/// Keeps OpenCV from starting a pool of threads: each source has a thread of its own already, and a pool stays for good.
///
/// # Errors
/// OpenCV raised an exception.
pub fn start_no_pool() -> Result<(), Reason> {
    opencv::core::set_num_threads(0)?;
    Ok(())
}

struct OpenCv {
    capture: VideoCapture,
    facts: Facts,
    /// Of the picture last read; None at the start and after a seek.
    position_seconds: Option<f64>,
    /// Where the next picture stands if the stream does not say: the start, or what was sought.
    expected_seconds: f64,
}

impl OpenCv {
    fn new(capture: VideoCapture, source: &Source) -> Result<Self, Reason> {
        let rate = capture.get(CAP_PROP_FPS)?;
        let frames_per_second = (rate > 0.0 && rate <= MOST_FRAMES_PER_SECOND).then_some(rate);
        let frames = capture.get(CAP_PROP_FRAME_COUNT)?;
        let counted = (frames > 0.0 && frames < MOST_FRAMES).then_some(frames);
        let length = counted.zip(frames_per_second).map(|(frames, rate)| frames / rate);
        let (duration_seconds, recorded) = match source {
            Source::Camera(_) => (None, false),
            // A raw stream does not know how long it is, and is a recording all the same.
            Source::File(_) => (length, true),
            Source::Url(_) => (length, length.is_some()),
        };
        let facts = Facts { frames_per_second, duration_seconds, recorded };
        Ok(Self { capture, facts, position_seconds: None, expected_seconds: 0.0 })
    }

    /// Where the picture just read stands: as the stream says, or one frame on where its clock is missing or stuck.
    fn position(&self) -> Result<f64, Reason> {
        let told = self.capture.get(CAP_PROP_POS_MSEC)? / 1000.0;
        let step = self.facts.frames_per_second.map_or(0.0, |rate| 1.0 / rate);
        let clockless = !(told.is_finite() && told > 0.0);
        Ok(match self.position_seconds {
            None if clockless => self.expected_seconds,
            Some(last) if clockless || (told - last).abs() < 1e-6 => last + step,
            _ => told,
        })
    }
}

impl Capture for OpenCv {
    fn facts(&self) -> Facts {
        self.facts
    }

    fn read(&mut self, picture: &mut Picture) -> Result<bool, Reason> {
        if !self.capture.read(&mut picture.pixels)? || picture.pixels.empty() {
            return Ok(false);
        }
        picture.position_seconds = self.position()?;
        self.position_seconds = Some(picture.position_seconds);
        Ok(true)
    }

    fn seek(&mut self, seconds: f64) -> Result<(), Reason> {
        if !self.facts.recorded {
            return Err(Reason::Unseekable);
        }
        self.position_seconds = None;
        self.expected_seconds = seconds;
        self.capture.set(CAP_PROP_POS_MSEC, seconds * 1000.0)?;
        Ok(())
    }
}
