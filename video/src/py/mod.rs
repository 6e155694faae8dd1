//! The border with CPython: the primitives of `dwebsocket.video`. The only place that names `pyo3`.
//!
//! Capture threads never attach to the interpreter. Python threads come here, detach, and wait in slices, so that a
//! signal handler runs soon; what stands on their stack meanwhile is plain data. A thread that wakes while the
//! interpreter is being torn down cannot attach any more: `pyo3` parks it for ever instead of unwinding it.

mod core;
mod feed;
mod log;

use std::path::PathBuf;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use pyo3::exceptions::{PyRuntimeError, PyValueError};
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::PyType;

use crate::capture::{self, Facts, Timeouts};
use crate::encode::Encoder;
use crate::error::Reason;
use crate::playback::{Playback, Taken, Told};
use crate::source::Source;

/// How long a thread waits before it looks for signals.
const SLICE: Duration = Duration::from_millis(200);

/// The longest timeout that can be asked for.
const LONGEST_TIMEOUT_SECONDS: f64 = 86_400.0;

/// Frames per second, seconds, and whether it is a recording.
type PlainFacts = (Option<f64>, Option<f64>, bool);

/// What Python may name a source by.
#[derive(FromPyObject)]
enum Named {
    Camera(i32),
    Text(String),
    Path(PathBuf),
}

impl From<Named> for Source {
    fn from(named: Named) -> Self {
        match named {
            Named::Camera(index) => Self::Camera(index),
            Named::Text(text) => Self::from_text(&text),
            Named::Path(path) => Self::File(path),
        }
    }
}

/// A source being played, its pictures taken as base64 of JPEG. Every method may be called from any thread.
#[pyclass(frozen, name = "Playback", module = "dwebsocket_video._video")]
struct PyPlayback {
    playback: Playback,
    encoder: Mutex<Option<Encoder>>,
    /// The source as it is shown, without credentials.
    shown: String,
}

#[pymethods]
impl PyPlayback {
    #[new]
    #[pyo3(signature = (source, *, pace, open_timeout_seconds, read_timeout_seconds))]
    fn new(
        source: Named,
        pace: bool,
        open_timeout_seconds: f64,
        read_timeout_seconds: f64,
    ) -> PyResult<Self> {
        let timeouts = Timeouts {
            open: timeout("open_timeout_seconds", open_timeout_seconds)?,
            read: timeout("read_timeout_seconds", read_timeout_seconds)?,
        };
        let source = Source::from(source);
        let shown = source.to_string();
        let opener = Box::new(move |timeouts| capture::open(&source, timeouts));
        Ok(Self::new_open(Playback::new(opener, timeouts, pace), shown))
    }

    /// The source, credentials masked.
    #[getter]
    fn source(&self) -> &str {
        &self.shown
    }

    /// The next picture as base64 of its JPEG, waited for; None at the end and when closed.
    fn take(&self, py: Python<'_>, quality: u8) -> PyResult<Option<String>> {
        loop {
            let taken = py.detach(|| match self.playback.take(Instant::now() + SLICE)? {
                Taken::Picture(picture) => {
                    let text = self.encode(&picture, quality)?;
                    self.playback.recycle(picture);
                    Ok(Some(Some(text)))
                }
                Taken::Ended => Ok(Some(None)),
                Taken::NotYet => Ok(None),
            });
            match taken {
                Ok(Some(end)) => return Ok(end),
                Ok(None) => py.check_signals()?,
                Err(reason) => return Err(self.error(py, &reason)),
            }
        }
    }

    /// Passes over `count` pictures without encoding them; gives how many there were before the end.
    fn skip(&self, py: Python<'_>, count: u64) -> PyResult<u64> {
        let mut skipped = 0;
        while skipped < count {
            match py.detach(|| self.playback.take_unpaced(Instant::now() + SLICE)) {
                Ok(Taken::Picture(picture)) => {
                    self.playback.recycle(picture);
                    skipped += 1;
                }
                Ok(Taken::Ended) => break,
                Ok(Taken::NotYet) => py.check_signals()?,
                Err(reason) => return Err(self.error(py, &reason)),
            }
        }
        Ok(skipped)
    }

    /// Goes on at `seconds`; a recording that ended plays again.
    fn seek(&self, py: Python<'_>, seconds: f64) -> PyResult<()> {
        if !(seconds.is_finite() && seconds >= 0.0) {
            return Err(PyValueError::new_err(format!("seconds must be 0 or more, not {seconds}")));
        }
        py.detach(|| self.playback.seek(seconds)).map_err(|reason| self.error(py, &reason))
    }

    /// Frames per second, seconds and whether it is a recording, waited for until the source is open; None when it was
    /// closed or failed before.
    fn facts(&self, py: Python<'_>) -> PyResult<Option<PlainFacts>> {
        loop {
            match py.detach(|| self.playback.facts(Instant::now() + SLICE)) {
                Ok(Told::Facts(Facts { frames_per_second, duration_seconds, recorded })) => {
                    return Ok(Some((frames_per_second, duration_seconds, recorded)));
                }
                Ok(Told::Nothing) => return Ok(None),
                Ok(Told::NotYet) => py.check_signals()?,
                Err(reason) => return Err(self.error(py, &reason)),
            }
        }
    }

    /// Where the picture taken last stands, in seconds; None before the first.
    #[getter]
    fn position_seconds(&self, py: Python<'_>) -> Option<f64> {
        py.detach(|| self.playback.position_seconds())
    }

    /// Ends it for good and wakes who waits. Never waits for the source.
    fn close(&self, py: Python<'_>) {
        py.detach(|| self.playback.close());
    }
}

impl PyPlayback {
    /// One that a feed has opened.
    fn new_open(playback: Playback, shown: String) -> Self {
        Self { playback, encoder: Mutex::new(None), shown }
    }

    fn encode(&self, picture: &capture::Picture, quality: u8) -> Result<String, Reason> {
        let mut slot = self.encoder.lock();
        let encoder = match &mut *slot {
            Some(encoder) => encoder,
            empty => empty.insert(Encoder::new()?),
        };
        encoder.base64(&picture.pixels, quality)
    }

    fn error(&self, py: Python<'_>, reason: &Reason) -> PyErr {
        video_error(py, &self.shown, reason)
    }
}

/// The `VideoError` of a source.
fn video_error(py: Python<'_>, shown: &str, reason: &Reason) -> PyErr {
    static CLASS: PyOnceLock<Py<PyType>> = PyOnceLock::new();
    match CLASS.import(py, "dwebsocket.video", "VideoError") {
        Ok(class) => PyErr::from_type(class.clone(), (shown.to_owned(), reason.to_string())),
        Err(error) => error,
    }
}

fn timeout(name: &str, seconds: f64) -> PyResult<Duration> {
    if seconds > 0.0 && seconds <= LONGEST_TIMEOUT_SECONDS {
        return Ok(Duration::from_secs_f64(seconds));
    }
    let message = format!("{name} must be over 0 and at most {LONGEST_TIMEOUT_SECONDS}, not {seconds}");
    Err(PyValueError::new_err(message))
}

/// The extension module `dwebsocket_video._video`.
#[pymodule]
mod _video {
    use pyo3::prelude::*;

    #[pymodule_export]
    use super::PyPlayback;
    #[pymodule_export]
    use super::feed::{PyFeed, PyReader, PyViewer};
    #[pymodule_export]
    use super::log::{is_log_idle, take_event};

    /// Checks that the core fits.
    #[pyfunction]
    fn check_core(py: Python<'_>) -> PyResult<()> {
        super::core::core(py).map(drop)
    }

    #[pymodule_init]
    fn init(_module: &Bound<'_, PyModule>) -> PyResult<()> {
        crate::capture::start_no_pool().map_err(|reason| super::PyRuntimeError::new_err(reason.to_string()))
    }

    /// Silences OpenCV's own log.
    #[pyfunction]
    fn silence() -> PyResult<()> {
        crate::capture::silence().map_err(|reason| super::PyRuntimeError::new_err(reason.to_string()))
    }

    /// Silences FFmpeg's log, where OpenCV has not opened anything yet.
    #[pyfunction]
    fn silence_ffmpeg() {
        crate::mp4::silence();
    }

    /// Keeps capture threads out of OpenCV from now on; for the end of the process.
    #[pyfunction]
    fn stop(py: Python<'_>) {
        py.detach(crate::exit::stop);
    }
}
