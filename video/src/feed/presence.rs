//! What a run tells and does when its source is there, and when it is there no more.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher;
use std::sync::Arc;
use std::time::{Duration, Instant};

use super::form::Form;
use super::log::Teller;
use super::run::{Run, State};
use crate::capture::Facts;
use crate::error::Reason;

/// Before a lost source is opened again, at first and at most; the wait doubles from one to the other.
const FIRST_BACK_OFF: Duration = Duration::from_millis(100);
const LONGEST_BACK_OFF: Duration = Duration::from_millis(1500);

/// A source that comes and goes. The run's thread has it, whatever it takes from the source.
pub(super) struct Presence<'run> {
    run: &'run Arc<Run>,
    teller: Teller,
    /// Openings in a row that showed nothing.
    failures: u32,
}

impl<'run> Presence<'run> {
    pub(super) fn new(run: &'run Arc<Run>) -> Self {
        Self { run, teller: Teller::new(&run.origin.log, &run.origin.name), failures: 0 }
    }

    /// The source is there: tells everybody, and carries out what they asked for before.
    pub(super) fn begins(&mut self, facts: Facts) {
        let early = self.run.opened(facts);
        self.teller.shows();
        self.run.enter(State::Live, None);
        for (viewer, command) in early {
            if let Some(viewer) = viewer.upgrade() {
                viewer.obey_late(command);
            }
        }
    }

    /// The source has ended, or failed, and is closed: tells everybody, and waits until it is to be opened again. False: it
    /// is not. `has_shown`: something, since it was opened. `lose`: what else there is to show of a source that is lost.
    pub(super) fn comes_back(
        &mut self,
        reason: Option<&Reason>,
        has_shown: bool,
        lose: impl FnOnce(),
    ) -> bool {
        let run = self.run;
        for form in Form::ALL {
            run.room(form).forget();
        }
        let recorded = run.status().facts.is_some_and(|facts| facts.recorded);
        // What comes again in the same place is of the same codec: the viewer's choice of form, and told to the viewer.
        let is_hopeless = matches!(reason, Some(Reason::NotForMp4(_)));
        if run.origin.options.reconnects && !recorded && !is_hopeless {
            self.failures = if has_shown { 0 } else { self.failures + 1 };
            let pause = back_off(self.failures);
            self.teller.failed(reason, Some(pause));
            run.enter(State::Lost, reason);
            lose();
            run.end_readers(reason);
            return run.waits(Some(Instant::now() + pause));
        }
        if !recorded && reason.is_some() && !is_hopeless {
            self.teller.failed(reason, None);
        }
        run.enter(State::Ended, reason);
        run.end_readers(reason);
        recorded && reason.is_none() && run.waits(None)
    }
}

/// How long to wait before the source is opened again: between half and all of a bound that doubles with each failure,
/// so that feeds which lost the same server do not come back all at once.
fn back_off(failures: u32) -> Duration {
    let bound = FIRST_BACK_OFF.saturating_mul(2_u32.saturating_pow(failures)).min(LONGEST_BACK_OFF);
    let part = u32::try_from(RandomState::new().hash_one(failures) % 512).unwrap_or(0);
    bound / 2 + bound * part / 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_back_off_grows_from_a_tenth_of_a_second_to_its_bound_and_is_never_the_same() {
        for (failures, bound) in [(0, 100), (1, 200), (3, 800), (4, 1500), (400, 1500)] {
            for _ in 0..50 {
                let wait = back_off(failures);
                let bound = Duration::from_millis(bound);
                assert!(bound / 2 <= wait && wait <= bound, "{failures}: {wait:?}");
            }
        }
        let first = back_off(9);
        assert!((0..50).any(|_| back_off(9) != first));
    }
}
