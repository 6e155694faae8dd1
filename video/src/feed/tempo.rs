//! When the pictures of a recording are due, at a speed that may change.

use std::time::{Duration, Instant};

use crate::playback::Pace;

/// A [`Pace`] and the speed it is for.
#[derive(Debug, Default)]
pub(super) struct Tempo {
    pace: Option<(Pace, f64)>,
    /// How far pictures are ahead of their time.
    ahead: Duration,
}

impl Tempo {
    /// One whose pictures are due so much before their time.
    pub(super) fn ahead(ahead: Duration) -> Self {
        Self { pace: None, ahead }
    }

    /// The next picture does not follow the one before.
    pub(super) fn restart(&mut self) {
        self.pace = None;
    }

    /// When the picture at `position_seconds` is due; None when that is now or past.
    pub(super) fn due(&mut self, position_seconds: f64, speed: f64) -> Option<Instant> {
        let (now, position) = (Instant::now(), position_seconds / speed);
        if self.pace.is_some_and(|(_, paced)| paced.total_cmp(&speed).is_ne()) {
            self.restart();
        }
        let from = now.checked_sub(self.ahead).unwrap_or(now);
        let (pace, _) = self.pace.get_or_insert_with(|| (Pace::new(from, position), speed));
        pace.due(now, position)
    }
}
