//! A source whose pictures are handed in by the application.

use std::sync::Arc;
use std::time::{Duration, Instant};

use opencv::core::Mat;
use parking_lot::{Condvar, Mutex};

use super::SharedOpener;
use crate::capture::{Capture, Facts, Picture};
use crate::error::Reason;

/// Pictures on their way from the application to a feed; only the newest counts.
#[derive(Debug, Default)]
pub struct Pushed {
    inner: Mutex<Inner>,
    arrived: Condvar,
}

#[derive(Debug, Default)]
struct Inner {
    picture: Option<Picture>,
    began: Option<Instant>,
    /// Who reads has this number; a read of an older one ends.
    opened: u64,
    is_over: bool,
}

impl Pushed {
    /// Opens it for a feed; what reads it then is the only one that does.
    pub fn opener(self: &Arc<Self>) -> SharedOpener {
        let pushed = Arc::clone(self);
        Arc::new(move |_| {
            let mut inner = pushed.inner.lock();
            inner.opened += 1;
            let number = inner.opened;
            drop(inner);
            pushed.arrived.notify_all();
            Ok(Box::new(Reading { pushed: Arc::clone(&pushed), number }))
        })
    }

    /// Hands a picture in; it stands at the time since the first.
    pub fn push(&self, pixels: Mat) {
        let mut inner = self.inner.lock();
        let began = *inner.began.get_or_insert_with(Instant::now);
        inner.picture = Some(Picture { pixels, position_seconds: began.elapsed().as_secs_f64() });
        drop(inner);
        self.arrived.notify_all();
    }

    /// No more pictures come for now: lets who reads go. `for_good`: the source has ended.
    pub fn pause(&self, for_good: bool) {
        let mut inner = self.inner.lock();
        inner.is_over |= for_good;
        if !for_good {
            inner.opened += 1;
        }
        drop(inner);
        self.arrived.notify_all();
    }
}

struct Reading {
    pushed: Arc<Pushed>,
    number: u64,
}

impl Capture for Reading {
    fn facts(&self) -> Facts {
        Facts { frames_per_second: None, duration_seconds: None, recorded: false }
    }

    fn read(&mut self, picture: &mut Picture) -> Result<bool, Reason> {
        let mut inner = self.pushed.inner.lock();
        loop {
            if inner.opened != self.number {
                return Ok(false);
            }
            if let Some(newest) = inner.picture.take() {
                *picture = newest;
                return Ok(true);
            }
            if inner.is_over {
                return Ok(false);
            }
            self.pushed.arrived.wait_for(&mut inner, Duration::from_secs(1));
        }
    }

    fn seek(&mut self, _seconds: f64) -> Result<(), Reason> {
        Err(Reason::Unseekable)
    }
}
