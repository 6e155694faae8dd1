//! Why a source gives no pictures.

use std::io;

/// Why a source could not be opened or played on. The text never holds the source's credentials.
#[derive(Debug, thiserror::Error)]
pub enum Reason {
    /// The operating system refuses the file.
    #[error("{0}")]
    File(#[from] io::Error),
    /// The file is there and readable, but OpenCV finds no video in it.
    #[error("not a video that OpenCV can read")]
    NotAVideo,
    /// A url or camera that OpenCV does not open; it does not tell why.
    #[error("cannot be opened: refused, unreachable, or no video there")]
    NotOpened,
    /// A url that libavformat does not open, and why.
    #[error("cannot be opened: {0}")]
    NotOpenedBecause(String),
    /// The source is open, and there is no video in it.
    #[error("no video in it")]
    NoVideo,
    /// The video is of a codec that browsers do not take in MP4; its name.
    #[error(
        "its video is {0}, which cannot be sent as it is: form=\"mp4\" takes H.264, H.265 and AV1. Use form=\"json\""
    )]
    NotForMp4(String),
    /// The source does not say what its video is like, so that there is no init segment.
    #[error("its video cannot be described in MP4: {0}")]
    Undescribed(String),
    /// The source went on with other parameters, for which it has to be opened again.
    #[error("its video changed")]
    Changed,
    /// Reading failed.
    #[error("cannot be read: {0}")]
    Broken(String),
    /// libavformat was told to stop.
    #[error("interrupted")]
    Interrupted,
    /// No memory for what libavformat needs.
    #[error("out of memory")]
    NoMemory,
    /// The source opened and ended without one picture.
    #[error("opened, but gave no picture")]
    NoPicture,
    /// The source neither opened and gave a picture nor failed in time.
    #[error("did not open and give a picture within {0} s")]
    OpenTimedOut(f64),
    /// The source stalled.
    #[error("gave no picture for {0} s")]
    ReadTimedOut(f64),
    /// Only recordings have positions.
    #[error("a live source cannot be sought in")]
    Unseekable,
    /// Pixels that are neither 8-bit grey nor 8-bit BGR.
    #[error("pixels of OpenCV type {0}, where 8-bit BGR or grey was expected")]
    PixelFormat(i32),
    /// Bytes handed in that are no picture of that shape.
    #[error(
        "no picture: {width} by {height} pixels of {channels} bytes, where 1 or 3 bytes and the right length were expected"
    )]
    Shape {
        /// Pixels.
        width: usize,
        /// Pixels.
        height: usize,
        /// Bytes a pixel.
        channels: usize,
    },
    /// As it was told to everybody who shares the source.
    #[error("{0}")]
    Shared(String),
    /// The process forked after the source was opened; its capture thread stayed in the parent.
    #[error("was opened before the process forked; open it in the child")]
    Forked,
    /// The operating system gives no thread to capture on.
    #[error("no thread to capture on: {0}")]
    NoThread(#[source] io::Error),
    /// A bug: the capture thread panicked. Its message is on stderr.
    #[error("the capture thread panicked")]
    Panicked,
    /// OpenCV raised an exception; this is its code, for its message may quote the url.
    #[error("OpenCV error {0}")]
    OpenCv(i32),
    /// The JPEG encoder refuses the picture.
    #[error("cannot be encoded as JPEG: {0}")]
    Jpeg(#[from] turbojpeg::Error),
}

impl From<opencv::Error> for Reason {
    fn from(error: opencv::Error) -> Self {
        Self::OpenCv(error.code)
    }
}
