//! What the capture thread does.

use std::time::Instant;

use super::{Phase, Shared, State};
use crate::capture::{Capture, Facts, Picture};
use crate::error::Reason;
use crate::exit;

/// Opens the source and fills the slot until the source ends, fails, or this run is abandoned.
pub(super) fn run(shared: &Shared, run: u64) {
    let mut work = Work { shared, run, began: Instant::now(), told: false };
    // Everything between here and the end of a block with this guard is OpenCV, which may block.
    let inside = exit::enter();
    let mut capture = match (shared.opener)(shared.timeouts) {
        Ok(capture) => capture,
        Err(reason) => {
            let late =
                matches!(reason, Reason::NotOpened).then(|| shared.ran_out(work.began, true)).flatten();
            return work.end(Phase::Failed(Some(late.unwrap_or(reason))));
        }
    };
    drop(inside);
    let phase = work.opened(capture.facts()).then(|| work.play(capture.as_mut())).flatten();
    {
        let _inside = exit::enter();
        drop(capture);
    }
    if let Some(phase) = phase {
        work.end(phase);
    }
}

/// A capture thread's right to write into the state, for as long as its number is the state's.
struct Work<'a> {
    shared: &'a Shared,
    run: u64,
    began: Instant,
    told: bool,
}

/// What the capture thread does next.
struct Job {
    seek_seconds: Option<f64>,
    picture: Picture,
}

impl Work<'_> {
    fn opened(&self, facts: Facts) -> bool {
        let mut state = self.shared.state.lock();
        if state.run != self.run {
            return false;
        }
        state.facts = Some(facts);
        drop(state);
        self.shared.arrived.notify_all();
        true
    }

    /// Reads picture after picture; None when this run was abandoned.
    fn play(&mut self, capture: &mut dyn Capture) -> Option<Phase> {
        let recorded = capture.facts().recorded;
        let (mut shown, mut sought) = (false, false);
        loop {
            let Job { seek_seconds, mut picture } = self.next_job(recorded)?;
            sought |= seek_seconds.is_some();
            let began = if shown { Instant::now() } else { self.began };
            let read = {
                let _inside = exit::enter();
                let ready = seek_seconds.map_or(Ok(()), |seconds| capture.seek(seconds));
                ready.and_then(|()| capture.read(&mut picture))
            };
            match read {
                Ok(true) => {
                    shown = true;
                    self.show(picture)?;
                }
                Ok(false) if self.seek_waits()? => {}
                Ok(false) => {
                    let empty = !shown && !sought;
                    let late = self.shared.ran_out(began, !shown).or(empty.then_some(Reason::NoPicture));
                    return Some(late.map_or(Phase::Ended, |reason| Phase::Failed(Some(reason))));
                }
                Err(reason) => return Some(Phase::Failed(Some(reason))),
            }
        }
    }

    /// Waits, with a recording, until the slot is empty.
    fn next_job(&self, recorded: bool) -> Option<Job> {
        let mut state = self.shared.state.lock();
        while state.run == self.run && recorded && state.picture.is_some() && state.seek_seconds.is_none() {
            state.busy_since = None;
            self.shared.wanted.wait(&mut state);
        }
        let state = self.owned(&mut state)?;
        // Opening lasts until the first picture.
        if matches!(state.phase, Phase::Playing) {
            state.busy_since = Some(Instant::now());
        }
        Some(Job { seek_seconds: state.seek_seconds.take(), picture: state.spare.take().unwrap_or_default() })
    }

    /// Puts the picture into the slot, unless a seek came meanwhile and made it the wrong one.
    fn show(&self, picture: Picture) -> Option<()> {
        let mut state = self.shared.state.lock();
        let state = self.owned(&mut state)?;
        state.phase = Phase::Playing;
        // Since the opening until now; a taker that comes before the next read begins must not count that as silence.
        state.busy_since = None;
        state.spare = if state.seek_seconds.is_some() {
            Some(picture)
        } else {
            state.picture.replace(picture).or(state.spare.take())
        };
        self.shared.arrived.notify_all();
        Some(())
    }

    /// Whether a seek waits: then an end just met is no end.
    fn seek_waits(&self) -> Option<bool> {
        let mut state = self.shared.state.lock();
        Some(self.owned(&mut state)?.seek_seconds.is_some())
    }

    fn owned<'state>(&self, state: &'state mut State) -> Option<&'state mut State> {
        (state.run == self.run).then_some(state)
    }

    /// Tells how it ended; what is in the slot can still be taken. A seek that came since starts another run.
    fn end(&mut self, phase: Phase) {
        self.told = true;
        let mut state = self.shared.state.lock();
        if let Some(state) = self.owned(&mut state) {
            state.run += 1;
            state.busy_since = None;
            state.phase = if matches!(phase, Phase::Ended) && state.seek_seconds.is_some() {
                Phase::Idle
            } else {
                phase
            };
            state.spare = None;
        }
        drop(state);
        self.shared.arrived.notify_all();
    }
}

impl Drop for Work<'_> {
    fn drop(&mut self) {
        if !self.told && std::thread::panicking() {
            self.end(Phase::Failed(Some(Reason::Panicked)));
        }
    }
}
