//! One run through a source: its capture thread, pace and timeouts.
//!
//! OpenCV cannot be interrupted while it opens or reads. So a thread of its own does both and leaves each picture in a
//! slot; takers wait at the slot, and only as long as the timeouts say. A capture thread that is stuck is abandoned: it
//! loses its number, throws away what it was at as soon as OpenCV lets go of it, and ends. Nobody joins it.

use std::fmt;
use std::sync::Arc;
use std::thread;
use std::time::Instant;

use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::capture::{Capture, Facts, Picture, Timeouts};
use crate::error::Reason;

mod capture_thread;
mod pace;

pub(crate) use pace::Pace;

/// Opens the source; called on the capture thread, again after each seek from the end.
pub type Opener = Box<dyn Fn(Timeouts) -> Result<Box<dyn Capture>, Reason> + Send + Sync>;

/// What [`Playback::take`] found.
#[derive(Debug)]
pub enum Taken {
    /// The next picture of a recording, the newest of a live source.
    Picture(Picture),
    /// The source ended, was closed, or has failed before.
    Ended,
    /// The time given ran out; the source may still come.
    NotYet,
}

/// What [`Playback::facts`] found.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Told {
    /// The source is or was open.
    Facts(Facts),
    /// It closed or failed before it was open.
    Nothing,
    /// The time given ran out; the source may still open.
    NotYet,
}

/// A source being played for one reader, or for several who share its pictures out.
///
/// A recording waits for its reader. A live source does not: it is read all the time, and a picture that nobody took is
/// replaced by the next. Opened by the first take. Dropping it closes it.
pub struct Playback {
    shared: Arc<Shared>,
}

impl Playback {
    /// A playback that is not opened yet. With `paced`, a recording's pictures are due at their own time.
    pub fn new(opener: Opener, timeouts: Timeouts, paced: bool) -> Self {
        let shared = Shared {
            opener,
            timeouts,
            process: std::process::id(),
            state: Mutex::new(State { paced, ..State::default() }),
            arrived: Condvar::new(),
            wanted: Condvar::new(),
        };
        Self { shared: Arc::new(shared) }
    }

    /// Takes the next picture, waiting until it is due, at most until `until`.
    ///
    /// # Errors
    /// The source cannot be opened, or it stalled; every later take gives [`Taken::Ended`].
    pub fn take(&self, until: Instant) -> Result<Taken, Reason> {
        self.take_when(until, true)
    }

    /// Whether a recording's pictures are due at their own time, from the next on.
    pub fn set_paced(&self, paced: bool) {
        if let Ok(mut state) = self.shared.lock() {
            (state.paced, state.pace) = (paced, None);
        }
    }

    /// Takes the next picture as soon as it is there, whatever the pace, and lets the pace start anew after it.
    ///
    /// # Errors
    /// As [`Playback::take`].
    pub fn take_unpaced(&self, until: Instant) -> Result<Taken, Reason> {
        self.take_when(until, false)
    }

    fn take_when(&self, until: Instant, paced: bool) -> Result<Taken, Reason> {
        let mut state = self.shared.lock()?;
        loop {
            let wake_at = if let Some(picture) = &state.picture {
                let position_seconds = picture.position_seconds;
                match Shared::due(&mut state, position_seconds, paced) {
                    Some(due) => due,
                    None => return Ok(self.shared.take_out(state)),
                }
            } else {
                match &mut state.phase {
                    Phase::Ended | Phase::Closed => return Ok(Taken::Ended),
                    Phase::Failed(reason) => return reason.take().map_or(Ok(Taken::Ended), Err),
                    Phase::Idle => self.start(&mut state)?,
                    Phase::Opening | Phase::Playing => {}
                }
                self.shared.give_up_when_late(&mut state)?
            };
            if Instant::now() >= until {
                return Ok(Taken::NotYet);
            }
            self.shared.arrived.wait_until(&mut state, wake_at.min(until));
        }
    }

    /// What the source tells about itself, opening it where nobody has; waits at most until `until`.
    ///
    /// # Errors
    /// The source cannot be opened.
    pub fn facts(&self, until: Instant) -> Result<Told, Reason> {
        let mut state = self.shared.lock()?;
        loop {
            if let Some(facts) = state.facts {
                return Ok(Told::Facts(facts));
            }
            match &mut state.phase {
                Phase::Ended | Phase::Closed => return Ok(Told::Nothing),
                Phase::Failed(reason) => return reason.take().map_or(Ok(Told::Nothing), Err),
                Phase::Idle => self.start(&mut state)?,
                Phase::Opening | Phase::Playing => {}
            }
            let wake_at = self.shared.give_up_when_late(&mut state)?;
            if Instant::now() >= until {
                return Ok(Told::NotYet);
            }
            self.shared.arrived.wait_until(&mut state, wake_at.min(until));
        }
    }

    /// Gives a picture's memory back for one of the next.
    pub fn recycle(&self, picture: Picture) {
        let Ok(mut state) = self.shared.lock() else { return };
        if matches!(state.phase, Phase::Playing) {
            state.spare.get_or_insert(picture);
        }
    }

    /// Goes on at `seconds`; waits for nothing. A recording that ended plays again. Past the end means the end.
    ///
    /// # Errors
    /// [`Reason::Unseekable`] when the source is known to be live; before it is open, the next take tells.
    pub fn seek(&self, seconds: f64) -> Result<(), Reason> {
        let mut state = self.shared.lock()?;
        if state.facts.is_some_and(|facts| !facts.recorded) {
            return Err(Reason::Unseekable);
        }
        if matches!(state.phase, Phase::Failed(_) | Phase::Closed) {
            return Ok(());
        }
        if matches!(state.phase, Phase::Ended) {
            state.phase = Phase::Idle;
        }
        state.seek_seconds = Some(seconds);
        state.pace = None;
        state.spare = state.picture.take().or(state.spare.take());
        drop(state);
        self.shared.wanted.notify_all();
        self.shared.arrived.notify_all();
        Ok(())
    }

    /// Where the picture taken last stands; None before the first, and in a process that forked since.
    pub fn position_seconds(&self) -> Option<f64> {
        self.shared.lock().ok()?.position_seconds
    }

    /// Ends it for good, from any thread; waiting takers get [`Taken::Ended`]. Never waits for the capture thread.
    /// Does nothing in a process that forked since: what it would end runs in the parent.
    pub fn close(&self) {
        let Ok(mut state) = self.shared.lock() else { return };
        state.abandon(Phase::Closed);
        drop(state);
        self.shared.wanted.notify_all();
        self.shared.arrived.notify_all();
    }

    fn start(&self, state: &mut State) -> Result<(), Reason> {
        let run = state.run;
        let shared = Arc::clone(&self.shared);
        let spawned = thread::Builder::new()
            .name("video-capture".into())
            .spawn(move || capture_thread::run(&shared, run));
        match spawned {
            Ok(_) => {
                state.phase = Phase::Opening;
                state.busy_since = Some(Instant::now());
                Ok(())
            }
            Err(error) => {
                state.abandon(Phase::Failed(None));
                Err(Reason::NoThread(error))
            }
        }
    }
}

impl Drop for Playback {
    fn drop(&mut self) {
        self.close();
    }
}

impl fmt::Debug for Playback {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Playback").field("timeouts", &self.shared.timeouts).finish_non_exhaustive()
    }
}

/// What takers and the capture thread share.
struct Shared {
    opener: Opener,
    timeouts: Timeouts,
    /// The process that made it: a capture thread does not survive a fork.
    process: u32,
    state: Mutex<State>,
    /// Takers wait here for a picture, the facts or the end.
    arrived: Condvar,
    /// The capture thread of a recording waits here for an empty slot.
    wanted: Condvar,
}

#[derive(Default)]
struct State {
    phase: Phase,
    /// The number of the capture thread that may write here; an abandoned one has an older number.
    run: u64,
    facts: Option<Facts>,
    picture: Option<Picture>,
    spare: Option<Picture>,
    seek_seconds: Option<f64>,
    /// Since when the capture thread has been opening or reading; None while it waits for an empty slot.
    busy_since: Option<Instant>,
    /// Whether a recording's pictures are due at their own time.
    paced: bool,
    pace: Option<Pace>,
    position_seconds: Option<f64>,
}

#[derive(Default)]
enum Phase {
    /// No capture thread runs.
    #[default]
    Idle,
    /// Until the first picture is there.
    Opening,
    Playing,
    /// The source has ended; a seek plays it again.
    Ended,
    /// For good. The reason, until a taker has got it.
    Failed(Option<Reason>),
    Closed,
}

impl State {
    /// Leaves the capture thread to itself.
    fn abandon(&mut self, phase: Phase) {
        self.run += 1;
        self.busy_since = None;
        self.phase = phase;
        self.picture = None;
        self.spare = None;
    }
}

impl Shared {
    /// Every access of a taker comes through here. In a forked child the lock stays as the fork found it, and when the
    /// capture thread held it then, nobody would ever release it.
    fn lock(&self) -> Result<MutexGuard<'_, State>, Reason> {
        if std::process::id() == self.process { Ok(self.state.lock()) } else { Err(Reason::Forked) }
    }

    /// When the picture in the slot is due; None when that is now.
    fn due(state: &mut State, position_seconds: f64, paced: bool) -> Option<Instant> {
        if !state.paced || state.facts.is_none_or(|facts| !facts.recorded) {
            return None;
        }
        if !paced {
            state.pace = None;
            return None;
        }
        let now = Instant::now();
        state.pace.get_or_insert(Pace::new(now, position_seconds)).due(now, position_seconds)
    }

    fn take_out(&self, mut state: MutexGuard<'_, State>) -> Taken {
        let picture = state.picture.take().expect("bug: the slot was seen full under this lock");
        state.position_seconds = Some(picture.position_seconds);
        drop(state);
        self.wanted.notify_all();
        Taken::Picture(picture)
    }

    /// When the capture thread will be late, as an instant to look again; fails the playback when it is.
    fn give_up_when_late(&self, state: &mut State) -> Result<Instant, Reason> {
        let now = Instant::now();
        let opening = matches!(state.phase, Phase::Opening);
        let timeout = if opening { self.timeouts.open } else { self.timeouts.read };
        // Not busy and no picture: it was told to go on, and will be busy in a moment.
        let limit = state.busy_since.unwrap_or(now) + timeout;
        if now < limit {
            return Ok(limit);
        }
        state.abandon(Phase::Failed(None));
        self.arrived.notify_all();
        Err(self.timed_out(opening))
    }

    fn timed_out(&self, opening: bool) -> Reason {
        if opening {
            Reason::OpenTimedOut(self.timeouts.open.as_secs_f64())
        } else {
            Reason::ReadTimedOut(self.timeouts.read.as_secs_f64())
        }
    }

    /// The timeout, if what began then has failed because its time ran out.
    ///
    /// OpenCV looks at the clock every 100 ms or so, on either side of the limit.
    fn ran_out(&self, began: Instant, opening: bool) -> Option<Reason> {
        let timeout = if opening { self.timeouts.open } else { self.timeouts.read };
        (began.elapsed() >= timeout.mul_f64(0.95)).then(|| self.timed_out(opening))
    }
}
