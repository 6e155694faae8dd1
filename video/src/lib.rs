//! Video for dwebsocket-rs: the pictures of an OpenCV source as base64 JPEG, or its packets as MP4, made without the GIL.
//!
//! | module | what it is | may use |
//! |---|---|---|
//! | [`source`] | what is played, and how it is named without its credentials | `error` |
//! | [`capture`] | OpenCV behind a small trait: open, read, seek | `source` |
//! | [`encode`] | a picture as JPEG and as base64 text | `capture` |
//! | [`playback`] | one run through a source: its capture thread, pace and timeouts | `capture`, `exit` |
//! | [`mp4`] | libavformat: the packets of a source as fragmented MP4 | `source`, `capture`, `room` |
//! | [`feed`] | one capture and one encode for everybody who watches the same source | all above, `room` |
//! | [`room`] | the rooms of the core, through its table | nothing |
//! | [`exit`] | keeps capture threads out of OpenCV while the process ends | nothing |
//! | `py` | the only place that names `pyo3` | everything |
//!
//! Build with `--no-default-features` to leave Python out.

pub mod capture;
pub mod encode;
pub mod error;
pub mod exit;
pub mod feed;
pub mod mp4;
pub mod playback;
#[cfg(feature = "python")]
mod py;
pub mod room;
pub mod source;
