//! One capture and one encode for everybody who watches the same source.
//!
//! A [`Feed`] is a source with the options it is shown by. A [`Run`] is one run through it: a thread that takes pictures
//! from a [`Playback`](crate::playback::Playback), encodes each once for every form that somebody watches, and gives it to
//! the rooms of the core. The thread is started by the first viewer and ends when nobody has watched for a while. It is
//! never inside a source, so nothing a source does can hold it up.
//!
//! Packets that are sent as they are, as fragmented MP4, are a feed of their own: its thread, [`remux`], takes them from the
//! source itself, which can be interrupted.
//!
//! Viewers of a live source share one run. Viewers of a recording share one who come while it begins; one who pauses,
//! seeks or changes the speed while others watch goes on with a run of their own.

mod form;
mod log;
mod presence;
mod pushed;
mod reader;
mod remux;
mod run;
mod tempo;
mod thread;
mod viewer;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::capture::{Capture, Timeouts};
use crate::error::Reason;
use crate::room::Core;
use crate::source::Source;

pub use form::Form;
pub use log::{Event, Happened, Log, Next};
pub use pushed::Pushed;
pub use reader::{Item, Kind, Read, Reader};
pub use run::{State, Status};
pub use viewer::{Command, Viewer};

use run::{Control, Run};

/// Opens a source for a feed; as [`Opener`](crate::playback::Opener), and shared by the runs.
pub type SharedOpener = Arc<dyn Fn(Timeouts) -> Result<Box<dyn Capture>, Reason> + Send + Sync>;

/// What a feed shows.
pub struct FeedSource {
    /// What of it is shown.
    pub shown: Shown,
    /// Without credentials.
    pub name: Arc<str>,
    /// A JPEG to be shown while it is lost.
    pub no_signal: Option<Arc<[u8]>>,
}

/// How the pictures of a source are shown.
#[derive(Clone, Copy, Debug)]
pub struct Options {
    /// Pixels; None: as in the source, or as the height and the shape of the picture demand.
    pub width: Option<u16>,
    /// Pixels; None: as the width.
    pub height: Option<u16>,
    /// Pictures a second at most.
    pub fps: Option<f64>,
    /// Of the JPEG, 1 to 100.
    pub quality: u8,
    /// How long the source stays open after the last viewer.
    pub linger: Duration,
    /// How long the source may take.
    pub timeouts: Timeouts,
    /// Whether a source that is lost is opened again and again for as long as somebody watches.
    pub reconnects: bool,
}

/// What is shown of a source.
pub enum Shown {
    /// Its pictures.
    Pictures(SharedOpener),
    /// Its packets, for viewers who take [`Form::Mp4`]. What the options say of pictures means nothing.
    Packets(Source),
}

/// What the runs of a feed have in common.
pub(crate) struct Origin {
    pub(crate) shown: Shown,
    pub(crate) options: Options,
    pub(crate) core: Core,
    pub(crate) log: Arc<Log>,
    pub(crate) name: Arc<str>,
    pub(crate) no_signal: Option<Arc<[u8]>>,
}

/// A source that many viewers share.
pub struct Feed {
    origin: Arc<Origin>,
    /// The process that made it: no thread survives a fork, and no lock of it can be trusted then.
    process: u32,
    /// The run that a new viewer joins, if it still takes any.
    current: Mutex<Option<Arc<Run>>>,
}

impl Feed {
    /// A feed that nobody watches yet. The options say whether a source that is lost comes back.
    pub fn new(source: FeedSource, options: Options, core: Core, log: Arc<Log>) -> Self {
        let FeedSource { shown, name, no_signal } = source;
        let origin = Arc::new(Origin { shown, options, core, log, name, no_signal });
        Self { origin, process: std::process::id(), current: Mutex::new(None) }
    }

    /// How its pictures are shown.
    pub fn options(&self) -> &Options {
        &self.origin.options
    }

    /// Whether it can be used in this process.
    pub fn is_of_this_process(&self) -> bool {
        std::process::id() == self.process
    }

    /// Lets somebody in: into the current run, or into a new one. `enter` gives what they get of the run.
    ///
    /// # Errors
    /// There is no thread for a new run, or the process forked.
    fn join<T>(self: &Arc<Self>, enter: impl Fn(&Arc<Run>, &mut run::Joining<'_>) -> T) -> Result<T, Reason> {
        if !self.is_of_this_process() {
            return Err(Reason::Forked);
        }
        let mut current = self.current.lock();
        if let Some(run) = &*current
            && let Some(joined) = run.join(|joining| enter(run, joining))
        {
            return Ok(joined);
        }
        let run = Arc::new(Run::new(Arc::clone(&self.origin), Control::default(), false));
        // Before the thread runs, so that it finds somebody there.
        let joined = run.join(|joining| enter(&run, joining)).expect("bug: a new run takes nobody");
        thread::start(&run, Some(Arc::clone(self)))?;
        *current = Some(run);
        Ok(joined)
    }

    /// How many watch or read the run that a new viewer would join.
    pub fn viewers(&self) -> usize {
        if !self.is_of_this_process() {
            return 0;
        }
        self.current.lock().as_ref().map_or(0, |run| run.audience())
    }
}

impl std::fmt::Debug for Feed {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Feed").field("options", &self.origin.options).finish_non_exhaustive()
    }
}
