//! The clock a recording is played by.

use std::time::{Duration, Instant};

/// A picture later than this starts the clock anew: the reader paused or is too slow, and hurrying after it would show
/// what came between as fast as it can.
const MOST_LATE: Duration = Duration::from_millis(250);

/// A longer gap between two pictures is a fault in the recording's timestamps, not a wish to wait.
const LONGEST_GAP: Duration = Duration::from_secs(10);

/// Ties a position in the recording to an instant.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    at: Instant,
    position_seconds: f64,
}

impl Pace {
    pub(crate) fn new(at: Instant, position_seconds: f64) -> Self {
        Self { at, position_seconds }
    }

    /// When the picture at `position_seconds` is due; None when that is now or past.
    pub(crate) fn due(&mut self, now: Instant, position_seconds: f64) -> Option<Instant> {
        let due = Duration::try_from_secs_f64(position_seconds - self.position_seconds)
            .ok()
            .and_then(|after| self.at.checked_add(after))
            .filter(|due| *due + MOST_LATE >= now && *due <= now + LONGEST_GAP);
        if due.is_none() {
            *self = Self::new(now, position_seconds);
        }
        due.filter(|due| *due > now)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: Duration = Duration::from_millis(1);

    #[test]
    fn a_picture_is_due_as_long_after_the_first_as_in_the_recording() {
        let start = Instant::now();
        let mut pace = Pace::new(start, 3.0);
        assert_eq!(pace.due(start, 3.5), Some(start + 500 * MILLISECOND));
        assert_eq!(pace.due(start + 500 * MILLISECOND, 3.5), None);
    }

    #[test]
    fn a_picture_a_little_late_is_caught_up_with() {
        let start = Instant::now();
        let mut pace = Pace::new(start, 0.0);
        assert_eq!(pace.due(start + 350 * MILLISECOND, 0.1), None);
        assert_eq!(pace.due(start + 350 * MILLISECOND, 0.5), Some(start + 500 * MILLISECOND));
    }

    #[test]
    fn a_picture_very_late_starts_the_clock_anew() {
        let start = Instant::now();
        let mut pace = Pace::new(start, 0.0);
        assert_eq!(pace.due(start + 351 * MILLISECOND, 0.1), None);
        assert_eq!(pace.due(start + 351 * MILLISECOND, 0.5), Some(start + 751 * MILLISECOND));
    }

    #[test]
    fn a_jump_back_or_over_a_long_gap_starts_the_clock_anew() {
        let start = Instant::now();
        let mut pace = Pace::new(start, 5.0);
        assert_eq!(pace.due(start, 1.0), None);
        assert_eq!(pace.due(start, 2.0), Some(start + 1000 * MILLISECOND));
        assert_eq!(pace.due(start, 12.0), None);
        assert_eq!(pace.due(start, 13.0), Some(start + 1000 * MILLISECOND));
        assert_eq!(pace.due(start, f64::NAN), None);
    }
}
