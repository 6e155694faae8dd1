//! One run through a source: who watches it, and how it is to be played.

use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use serde_json::json;

use super::Origin;
use super::form::{self, Form};
use super::log::Watched;
use super::reader::ReadSlot;
use super::viewer::{Command, Viewer};
use crate::capture::Facts;
use crate::error::Reason;
use crate::room::{Part, Room};

/// Who comes within so many seconds of a recording's first picture sees it with the others.
const BEGINNING_SECONDS: f64 = 1.0;

/// What a feed does, as its viewers are told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum State {
    /// The source is being opened.
    Connecting,
    /// Pictures come, or would if it were not paused.
    Live,
    /// The source is gone, and will be opened again.
    Lost,
    /// There are no more pictures. A recording can be sought in.
    Ended,
}

impl State {
    /// Its name in messages.
    pub fn name(self) -> &'static str {
        match self {
            Self::Connecting => "connecting",
            Self::Live => "live",
            Self::Lost => "lost",
            Self::Ended => "ended",
        }
    }
}

/// Where a run is.
#[derive(Clone, Debug)]
pub struct Status {
    /// What it does.
    pub state: State,
    /// Why it is lost or has ended, where that is no regular end.
    pub error: Option<String>,
    /// What the source told about itself, once it was open.
    pub facts: Option<Facts>,
    /// Of the picture shown last.
    pub position_seconds: Option<f64>,
    /// Of a recording.
    pub paused: bool,
    /// Of a recording; 1 is its own.
    pub speed: f64,
}

/// How a recording is to be played.
#[derive(Clone, Copy, Debug)]
pub(super) struct Control {
    pub(super) paused: bool,
    pub(super) speed: f64,
    /// Where to go on.
    pub(super) seek_seconds: Option<f64>,
    /// Pictures to show though it is paused.
    pub(super) steps: u32,
}

impl Default for Control {
    fn default() -> Self {
        Self { paused: false, speed: 1.0, seek_seconds: None, steps: 0 }
    }
}

impl Control {
    pub(super) fn obey(&mut self, command: Command, ended: bool) {
        match command {
            Command::Pause => self.paused = true,
            Command::Play => {
                self.paused = false;
                if ended {
                    self.seek_seconds.get_or_insert(0.0);
                }
            }
            Command::Seek(seconds) => self.seek_seconds = Some(seconds),
            Command::Speed(speed) => self.speed = speed,
            Command::Step => {
                self.paused = true;
                self.steps = self.steps.saturating_add(1);
            }
        }
    }
}

/// A run through a source; its thread is [`super::thread`].
pub(super) struct Run {
    pub(super) origin: Arc<Origin>,
    rooms: [Room; Form::ALL.len()],
    /// Taken before the locks of rooms, slots, readers and the log; after that of a viewer.
    pub(super) inner: Mutex<Inner>,
    /// The thread waits here for commands, others for a change of the state.
    pub(super) changed: Condvar,
}

pub(super) struct Inner {
    pub(super) state: State,
    pub(super) error: Option<String>,
    pub(super) facts: Option<Facts>,
    pub(super) position_seconds: Option<f64>,
    first_position_seconds: Option<f64>,
    pub(super) control: Control,
    /// It belongs to one viewer, who plays it as they like.
    pub(super) is_private: bool,
    /// Its thread has ended or is about to.
    is_over: bool,
    nobody_since: Option<Instant>,
    /// There while somebody watches.
    watched: Option<Watched>,
    readers: Vec<Weak<ReadSlot>>,
    /// Commands given before it was known whether the source is live.
    early: Vec<(Weak<Viewer>, Command)>,
}

/// What who joins a run may touch.
pub(super) struct Joining<'run> {
    readers: &'run mut Vec<Weak<ReadSlot>>,
}

impl Joining<'_> {
    pub(super) fn add_reader(&mut self, reader: &Arc<ReadSlot>) {
        self.readers.push(Arc::downgrade(reader));
    }
}

impl Run {
    pub(super) fn new(origin: Arc<Origin>, control: Control, is_private: bool) -> Self {
        let rooms = Form::ALL.map(|form| match form {
            Form::Mp4 => Room::of_groups(origin.core),
            _ => Room::new(origin.core),
        });
        let inner = Inner {
            state: State::Connecting,
            error: None,
            facts: None,
            position_seconds: None,
            first_position_seconds: None,
            control,
            is_private,
            is_over: false,
            nobody_since: None,
            watched: None,
            readers: Vec::new(),
            early: Vec::new(),
        };
        Self { origin, rooms, inner: Mutex::new(inner), changed: Condvar::new() }
    }

    pub(super) fn room(&self, form: Form) -> &Room {
        &self.rooms[form.index()]
    }

    /// Lets somebody in. `None`: it takes nobody any more.
    pub(super) fn join<T>(&self, enter: impl FnOnce(&mut Joining<'_>) -> T) -> Option<T> {
        let mut inner = self.inner.lock();
        if !inner.takes_more() {
            return None;
        }
        inner.nobody_since = None;
        inner.watched.get_or_insert_with(|| self.origin.log.watched());
        Some(enter(&mut Joining { readers: &mut inner.readers }))
    }

    /// How many watch or read it.
    pub(super) fn audience(&self) -> usize {
        let readers = self.inner.lock().living_readers();
        readers + self.members()
    }

    fn members(&self) -> usize {
        self.rooms.iter().map(Room::members).sum()
    }

    /// Whether nobody else watches or reads it.
    pub(super) fn is_alone(&self, inner: &mut Inner) -> bool {
        self.members() <= 1 && inner.living_readers() == 0
    }

    /// Whether nobody has watched for as long as the source stays open for the next viewer. Then the run is over, and takes
    /// nobody. Under the lock, so that whoever joins comes before, and keeps it going, or after, and begins another.
    pub(super) fn is_deserted(&self, inner: &mut Inner) -> bool {
        // A source that is lost is not looked for on behalf of nobody.
        let linger = if inner.state == State::Lost { Duration::ZERO } else { self.origin.options.linger };
        if self.members() > 0 || inner.living_readers() > 0 {
            inner.nobody_since = None;
            inner.watched.get_or_insert_with(|| self.origin.log.watched());
            return false;
        }
        inner.watched = None;
        let since = *inner.nobody_since.get_or_insert_with(Instant::now);
        if since.elapsed() >= linger {
            inner.is_over = true;
        }
        inner.is_over
    }

    /// When to look again whether it is deserted.
    pub(super) fn look_again(&self) -> Instant {
        Instant::now()
            + Duration::from_millis(250).min(self.origin.options.linger.max(Duration::from_millis(10)))
    }

    /// Waits until `until`, or, without that, for a seek. False: nobody watches.
    pub(super) fn waits(&self, until: Option<Instant>) -> bool {
        let mut inner = self.inner.lock();
        loop {
            if self.is_deserted(&mut inner) {
                return false;
            }
            let over = until.map_or(inner.control.seek_seconds.is_some(), |until| Instant::now() >= until);
            if over {
                return true;
            }
            let look_again = self.look_again();
            self.changed.wait_until(&mut inner, until.map_or(look_again, |until| until.min(look_again)));
        }
    }

    /// Waits until a picture is due, or for a command that `control` does not have.
    pub(super) fn waits_until_due(&self, due: Instant, control: Control) {
        let mut inner = self.inner.lock();
        // A command that came since is seen at once.
        if inner.control.seek_seconds.is_none() && inner.control.paused == control.paused {
            self.changed.wait_until(&mut inner, due.min(self.look_again()));
        }
    }

    /// Whether anybody needs pictures in the form.
    pub(super) fn is_watched(&self, form: Form) -> bool {
        self.room(form).watching() > 0
    }

    /// The readers that are left.
    pub(super) fn readers(&self) -> Vec<Arc<ReadSlot>> {
        self.inner.lock().readers.iter().filter_map(Weak::upgrade).collect()
    }

    /// Gives readers nothing more.
    pub(super) fn end_readers(&self, reason: Option<&Reason>) {
        self.readers().iter().for_each(|reader| reader.end(reason));
    }

    /// Goes into a state and tells everybody.
    pub(super) fn enter(&self, state: State, reason: Option<&Reason>) {
        let mut inner = self.inner.lock();
        inner.state = state;
        inner.error = reason.map(ToString::to_string);
        self.announce(&inner);
        drop(inner);
        self.changed.notify_all();
    }

    /// Tells every viewer where the run is. Under the lock, so that the last notice is the last state.
    pub(super) fn announce(&self, inner: &Inner) {
        let notice = notice(&inner.status());
        for room in &self.rooms {
            room.publish(Part::Notice, form::json(&notice));
        }
    }

    /// The source is open. Gives the commands that waited for it.
    pub(super) fn opened(&self, facts: Facts) -> Vec<(Weak<Viewer>, Command)> {
        let mut inner = self.inner.lock();
        inner.facts = Some(facts);
        std::mem::take(&mut inner.early)
    }

    /// Who gets a recording for themselves: the first reader, if nobody watches and every reader would take it. Then it
    /// takes nobody any more.
    pub(super) fn heir(&self) -> Option<Arc<ReadSlot>> {
        let mut inner = self.inner.lock();
        if self.members() > 0 || inner.living_readers() == 0 {
            return None;
        }
        let readers: Vec<_> = inner.readers.iter().filter_map(Weak::upgrade).collect();
        let first = readers.first().filter(|_| readers.iter().all(|reader| reader.takes_over())).cloned();
        inner.is_over |= first.is_some();
        first
    }

    /// It takes nobody and shows nothing from now on.
    pub(super) fn finish(&self) {
        let mut inner = self.inner.lock();
        (inner.is_over, inner.watched) = (true, None);
    }

    pub(super) fn status(&self) -> Status {
        self.inner.lock().status()
    }
}

impl Inner {
    fn takes_more(&self) -> bool {
        let recorded = self.facts.is_some_and(|facts| facts.recorded);
        let begins = match (self.first_position_seconds, self.position_seconds) {
            (Some(first), Some(now)) => now - first < BEGINNING_SECONDS,
            _ => true,
        };
        !self.is_over && !self.is_private && (!recorded || (begins && self.state != State::Ended))
    }

    fn living_readers(&mut self) -> usize {
        self.readers.retain(|reader| reader.upgrade().is_some_and(|reader| !reader.is_over()));
        self.readers.len()
    }

    pub(super) fn shown(&mut self, position_seconds: f64) {
        self.position_seconds = Some(position_seconds);
        self.first_position_seconds.get_or_insert(position_seconds);
    }

    /// Keeps a command until the source is open. False: it is open.
    pub(super) fn keep_early(&mut self, viewer: &Arc<Viewer>, command: Command) -> bool {
        let early = self.facts.is_none() && self.state != State::Ended;
        if early {
            self.early.push((Arc::downgrade(viewer), command));
        }
        early
    }

    fn status(&self) -> Status {
        Status {
            state: self.state,
            error: self.error.clone(),
            facts: self.facts,
            position_seconds: self.position_seconds,
            paused: self.control.paused,
            speed: self.control.speed,
        }
    }
}

/// A status as viewers are told.
fn notice(status: &Status) -> serde_json::Value {
    json!({
        "state": status.state.name(),
        "error": status.error,
        "live": status.facts.map(|facts| !facts.recorded),
        "fps": status.facts.and_then(|facts| facts.frames_per_second),
        "duration": status.facts.and_then(|facts| facts.duration_seconds),
        "paused": status.paused,
        "speed": status.speed,
        "t": status.position_seconds,
    })
}
