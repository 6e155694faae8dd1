//! Feeds, their viewers and their readers as Python sees them.

#![allow(unsafe_code, reason = "a connection of the core is passed on as the object it is")]

use std::collections::HashMap;
use std::process;
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use pyo3::exceptions::{PyOverflowError, PyValueError};
use pyo3::prelude::*;
use pyo3::pybacked::PyBackedBytes;
use pyo3::types::{PyBytes, PyDict};

use super::{Named, PlainFacts, PyPlayback, SLICE, core, log, timeout, video_error};
use crate::capture::{self, Timeouts};
use crate::encode;
use crate::error::Reason;
use crate::feed::{
    Command, Feed, FeedSource, Form, Item, Kind, Log, Options, Pushed, Read, Reader, SharedOpener, Shown,
    Viewer,
};
use crate::playback::Told;
use crate::room::Core;
use crate::source::Source;

/// Source and options, and the picture for no signal.
type Name = (String, Option<Arc<[u8]>>);

type ByName = HashMap<Name, Weak<Feed>>;

/// The feeds of the process that has the number, by source and options. Locked only by attached threads that do not detach
/// meanwhile, so that a forked child, which inherits it, finds it unlocked; it opens its sources anew.
static FEEDS: Mutex<Option<(u32, ByName)>> = Mutex::new(None);

/// What `dwebsocket.video.Feed` takes, after its checks.
#[derive(Clone, Copy, FromPyObject)]
#[pyo3(from_item_all)]
struct PlainOptions {
    width: Option<u16>,
    height: Option<u16>,
    fps: Option<f64>,
    quality: u8,
    linger_seconds: f64,
    open_timeout_seconds: f64,
    read_timeout_seconds: f64,
    reconnect: bool,
}

impl PlainOptions {
    fn options(&self) -> PyResult<Options> {
        let timeouts = Timeouts {
            open: timeout("open_timeout_seconds", self.open_timeout_seconds)?,
            read: timeout("read_timeout_seconds", self.read_timeout_seconds)?,
        };
        let linger = Duration::try_from_secs_f64(self.linger_seconds).map_err(|_| {
            PyValueError::new_err(format!("linger_seconds must be 0 or more, not {}", self.linger_seconds))
        })?;
        if self.fps.is_some_and(|fps| !(fps > 0.0 && fps <= 1000.0)) {
            return Err(PyValueError::new_err("fps must be over 0 and at most 1000"));
        }
        if self.width == Some(0) || self.height == Some(0) || !(1..=100).contains(&self.quality) {
            return Err(PyValueError::new_err("width and height must be 1 or more, quality 1 to 100"));
        }
        let &Self { width, height, fps, quality, reconnect: reconnects, .. } = self;
        Ok(Options { width, height, fps, quality, linger, timeouts, reconnects })
    }
}

/// A source that many viewers share: in this process, with the same options.
#[pyclass(frozen, name = "Feed", module = "dwebsocket_video._video")]
pub(super) struct PyFeed {
    /// None: its pictures are pushed.
    source: Option<Source>,
    shown: String,
    options: Options,
    /// Shown while the source is lost.
    no_signal: Option<Arc<[u8]>>,
    pushed: Arc<Pushed>,
    /// Of this process. Locked as [`FEEDS`] is.
    feed: Mutex<Option<Arc<Feed>>>,
    /// As `feed`.
    packets: Mutex<Option<Arc<Feed>>>,
}

impl PyFeed {
    fn feed(&self, py: Python<'_>) -> PyResult<Arc<Feed>> {
        let no_signal = self.no_signal.clone();
        let named = self.source.as_ref().map(|source| format!("{source:?} {:?}", self.options));
        Self::shared(py, &self.feed, named.map(|name| (name, no_signal.clone())), |core, log| {
            let opener = match self.source.clone() {
                None => self.pushed.opener(),
                Some(source) => Arc::new(move |timeouts| capture::open(&source, timeouts)) as SharedOpener,
            };
            let source = FeedSource { shown: Shown::Pictures(opener), name: self.name(), no_signal };
            Feed::new(source, self.options, core, log)
        })
    }

    /// The feed of the source's packets, whatever its pictures are to be like.
    fn packets(&self, py: Python<'_>) -> PyResult<Arc<Feed>> {
        let Some(source) = &self.source else {
            return Err(PyValueError::new_err("pushed frames have no form mp4; use form=\"json\""));
        };
        let options = Options { width: None, height: None, fps: None, quality: 0, ..self.options };
        let named = (format!("packets of {source:?} {options:?}"), None);
        Self::shared(py, &self.packets, Some(named), |core, log| {
            let shown = Shown::Packets(source.clone());
            Feed::new(FeedSource { shown, name: self.name(), no_signal: None }, options, core, log)
        })
    }

    fn name(&self) -> Arc<str> {
        self.shown.as_str().into()
    }

    /// The feed in `own`, or the one of the process that has the name, or a new one.
    fn shared(
        py: Python<'_>,
        own: &Mutex<Option<Arc<Feed>>>,
        name: Option<Name>,
        make: impl FnOnce(Core, Arc<Log>) -> Feed,
    ) -> PyResult<Arc<Feed>> {
        let mut own = own.lock();
        if let Some(feed) = own.as_ref().filter(|feed| feed.is_of_this_process()) {
            return Ok(Arc::clone(feed));
        }
        let (core, log) = (core::core(py)?, log::log(py));
        let found = match name {
            None => Arc::new(make(core, log)),
            Some(name) => {
                let mut feeds = FEEDS.lock();
                let (_, feeds) = match &mut *feeds {
                    Some(feeds) if feeds.0 == process::id() => feeds,
                    other => other.insert((process::id(), HashMap::new())),
                };
                feeds.get(&name).and_then(Weak::upgrade).unwrap_or_else(|| {
                    feeds.retain(|_, feed| feed.strong_count() > 0);
                    let feed = Arc::new(make(core, log));
                    feeds.insert(name, Arc::downgrade(&feed));
                    feed
                })
            }
        };
        // One of the parent process, if there was one, is left alone: nothing of it runs here.
        std::mem::forget(own.replace(Arc::clone(&found)));
        Ok(found)
    }
}

#[pymethods]
impl PyFeed {
    #[new]
    fn new(source: Option<Named>, options: PlainOptions, no_signal: Option<PyBackedBytes>) -> PyResult<Self> {
        let source = source.map(Source::from);
        let shown = source.as_ref().map_or_else(|| "pushed frames".to_owned(), ToString::to_string);
        let (mut options, pushed) = (options.options()?, Arc::default());
        // A file does not come back by itself.
        options.reconnects &= !matches!(source, Some(Source::File(_)));
        if no_signal.as_deref().is_some_and(|bytes| encode::decoded(bytes).is_err()) {
            return Err(PyValueError::new_err("no_signal must be a JPEG, and a whole one"));
        }
        let no_signal = no_signal.map(|bytes| Arc::from(&*bytes));
        let (feed, packets) = (Mutex::new(None), Mutex::new(None));
        Ok(Self { source, shown, options, no_signal, pushed, feed, packets })
    }

    #[getter]
    fn source(&self) -> &str {
        &self.shown
    }

    #[getter]
    fn viewers(&self, py: Python<'_>) -> PyResult<usize> {
        let feed = self.feed(py)?;
        let packets = self.source.is_some().then(|| self.packets(py)).transpose()?;
        Ok(py.detach(|| feed.viewers() + packets.map_or(0, |packets| packets.viewers())))
    }

    fn watch(&self, py: Python<'_>, connection: &Bound<'_, PyAny>, form: &str) -> PyResult<PyViewer> {
        let form = match form {
            "json" => Form::Json,
            "base64" => Form::Base64,
            "binary" => Form::Binary,
            "mp4" => Form::Mp4,
            _ => {
                return Err(PyValueError::new_err(format!(
                    "form must be json, base64, binary or mp4, not {form}"
                )));
            }
        };
        let feed = if form == Form::Mp4 { self.packets(py)? } else { self.feed(py)? };
        // SAFETY: attached, and the object is borrowed for the call.
        let viewer = unsafe { Viewer::new(&feed, form, connection.as_ptr().cast()) };
        if let Some(error) = PyErr::take(py) {
            return Err(error);
        }
        let viewer = Arc::new(viewer.map_err(|reason| video_error(py, &self.shown, &reason))?);
        Ok(PyViewer { viewer, shown: self.shown.clone() })
    }

    fn read(&self, py: Python<'_>, form: &str, takes_over: bool) -> PyResult<PyReader> {
        let kind = match form {
            "array" => Kind::Pixels,
            "jpeg" => Kind::Jpeg,
            "base64" => Kind::Base64,
            _ => {
                return Err(PyValueError::new_err(format!("form must be array, jpeg or base64, not {form}")));
            }
        };
        let feed = self.feed(py)?;
        let reader = py.detach(|| Reader::new(&feed, kind, takes_over));
        let reader = reader.map_err(|reason| video_error(py, &self.shown, &reason))?;
        Ok(PyReader { reader, shown: self.shown.clone() })
    }

    #[allow(clippy::needless_pass_by_value, reason = "it keeps the bytes while the thread is detached")]
    fn push(
        &self,
        py: Python<'_>,
        data: PyBackedBytes,
        shape: Option<(usize, usize, usize)>,
    ) -> PyResult<()> {
        let picture = py.detach(|| match shape {
            None => encode::decoded(&data),
            Some((height, width, channels)) => encode::picture_of(&data, width, height, channels),
        });
        match picture {
            Ok(picture) => {
                py.detach(|| self.pushed.push(picture));
                Ok(())
            }
            Err(reason) => Err(PyValueError::new_err(reason.to_string())),
        }
    }

    fn pause(&self, py: Python<'_>, for_good: bool) {
        py.detach(|| self.pushed.pause(for_good));
    }
}

/// One connection's view of a feed.
#[pyclass(frozen, name = "Viewer", module = "dwebsocket_video._video")]
pub(super) struct PyViewer {
    viewer: Arc<Viewer>,
    shown: String,
}

#[pymethods]
impl PyViewer {
    #[getter]
    fn source(&self) -> &str {
        &self.shown
    }

    fn obey(&self, py: Python<'_>, command: &str, value: f64) -> PyResult<()> {
        let command = match command {
            "pause" => Command::Pause,
            "play" => Command::Play,
            "step" => Command::Step,
            "seek" if value.is_finite() && value >= 0.0 => Command::Seek(value),
            "seek" => return Err(PyValueError::new_err(format!("seconds must be 0 or more, not {value}"))),
            "speed" if (0.05..=20.0).contains(&value) => Command::Speed(value),
            "speed" => return Err(PyValueError::new_err(format!("a speed must be 0.05 to 20, not {value}"))),
            _ => return Err(PyValueError::new_err(format!("{command} is no command"))),
        };
        py.detach(|| self.viewer.obey(command)).map_err(|reason| video_error(py, &self.shown, &reason))
    }

    fn stats<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let found = py.detach(|| Ok((self.viewer.status()?, self.viewer.counts()?)));
        let (status, counts) = found.map_err(|reason: Reason| video_error(py, &self.shown, &reason))?;
        let values = PyDict::new(py);
        values.set_item("state", status.state.name())?;
        values.set_item("error", status.error)?;
        values.set_item("sent", counts.sent)?;
        values.set_item("skipped", counts.skipped)?;
        values.set_item("position", status.position_seconds)?;
        values.set_item("paused", status.paused)?;
        values.set_item("speed", status.speed)?;
        values.set_item("live", status.facts.map(|facts| !facts.recorded))?;
        values.set_item("fps", status.facts.and_then(|facts| facts.frames_per_second))?;
        values.set_item("duration", status.facts.and_then(|facts| facts.duration_seconds))?;
        Ok(values)
    }

    /// Waits for the end of the pictures or of the connection. False: the time ran out.
    fn wait(&self, py: Python<'_>, timeout: Option<f64>) -> PyResult<bool> {
        let limit = match timeout {
            None => None,
            Some(seconds) => {
                let wait = Duration::try_from_secs_f64(seconds.max(0.0))
                    .map_err(|error| PyOverflowError::new_err(error.to_string()))?;
                Instant::now().checked_add(wait)
            }
        };
        loop {
            let until = Instant::now() + SLICE;
            let until = limit.map_or(until, |limit| limit.min(until));
            let ended = py.detach(|| self.viewer.wait_ended(until));
            if ended.map_err(|reason| video_error(py, &self.shown, &reason))? {
                return Ok(true);
            }
            if limit.is_some_and(|limit| Instant::now() >= limit) {
                return Ok(false);
            }
            py.check_signals()?;
        }
    }

    #[getter]
    fn closed(&self, py: Python<'_>) -> bool {
        py.detach(|| self.viewer.is_closed()).unwrap_or(true)
    }

    fn close(&self, py: Python<'_>) {
        py.detach(|| self.viewer.close());
    }
}

/// The newest pictures of a feed, until its source is lost.
#[pyclass(frozen, name = "Reader", module = "dwebsocket_video._video")]
pub(super) struct PyReader {
    reader: Reader,
    shown: String,
}

#[pymethods]
impl PyReader {
    #[getter]
    fn source(&self) -> &str {
        &self.shown
    }

    /// The newest picture, waited for; None at the end and when closed.
    fn take<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        loop {
            match py.detach(|| self.reader.take(Instant::now() + SLICE)) {
                Ok(Read::Item(item)) => return object(py, &item).map(Some),
                Ok(Read::Ended) => return Ok(None),
                Ok(Read::NotYet) => py.check_signals()?,
                Err(reason) => return Err(video_error(py, &self.shown, &reason)),
            }
        }
    }

    fn facts(&self, py: Python<'_>) -> PyResult<Option<PlainFacts>> {
        loop {
            match py.detach(|| self.reader.facts(Instant::now() + SLICE)) {
                Ok(Told::Facts(facts)) => {
                    return Ok(Some((facts.frames_per_second, facts.duration_seconds, facts.recorded)));
                }
                Ok(Told::Nothing) => return Ok(None),
                Ok(Told::NotYet) => py.check_signals()?,
                Err(reason) => return Err(video_error(py, &self.shown, &reason)),
            }
        }
    }

    /// The recording itself, if it is one that nobody else has.
    fn take_over(&self, py: Python<'_>, pace: bool) -> Option<PyPlayback> {
        let playback = py.detach(|| self.reader.take_over())?;
        py.detach(|| playback.set_paced(pace));
        Some(PyPlayback::new_open(playback, self.shown.clone()))
    }

    #[getter]
    fn position_seconds(&self, py: Python<'_>) -> Option<f64> {
        py.detach(|| self.reader.position_seconds())
    }

    fn close(&self, py: Python<'_>) {
        py.detach(|| self.reader.close());
    }
}

/// Base64 as `str`, a JPEG as `bytes`, a picture as its bytes and their shape: height, width, channels.
fn object<'py>(py: Python<'py>, item: &Item) -> PyResult<Bound<'py, PyAny>> {
    Ok(match item {
        Item::Base64(text) => text.into_pyobject(py)?.into_any(),
        Item::Jpeg(bytes) => PyBytes::new(py, bytes).into_any(),
        Item::Pixels(pixels) => {
            let shape = (pixels.height, pixels.width, pixels.channels);
            (PyBytes::new(py, &pixels.bytes), shape).into_pyobject(py)?.into_any()
        }
    })
}
