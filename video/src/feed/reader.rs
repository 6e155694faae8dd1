//! Who reads the pictures of a feed in this process instead of showing them to a client.

use std::sync::Arc;
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

use super::Feed;
use super::run::{Run, State};
use crate::capture::Facts;
use crate::encode::Pixels;
use crate::error::Reason;
use crate::playback::{Playback, Told};

/// What a reader is given.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The picture itself.
    Pixels,
    /// As JPEG.
    Jpeg,
    /// As base64 of the JPEG.
    Base64,
}

/// A picture, shared by everybody who reads it in the same form.
#[derive(Clone, Debug)]
pub enum Item {
    /// The picture itself.
    Pixels(Arc<Pixels>),
    /// As JPEG.
    Jpeg(Arc<[u8]>),
    /// As base64 of the JPEG.
    Base64(Arc<str>),
}

/// What [`Reader::take`] found.
#[derive(Debug)]
pub enum Read {
    /// The newest picture, if it is newer than the one taken last.
    Item(Item),
    /// The source has ended or was lost.
    Ended,
    /// The time given ran out.
    NotYet,
}

/// Where a run leaves the newest picture for one reader. Its lock is the last to be taken.
pub(super) struct ReadSlot {
    kind: Kind,
    /// It had rather have a recording to itself.
    takes_over: bool,
    inner: Mutex<Inner>,
    arrived: Condvar,
}

#[derive(Default)]
struct Inner {
    item: Option<(Item, f64)>,
    position_seconds: Option<f64>,
    is_over: bool,
    failure: Option<String>,
    /// A recording, for its reader alone.
    given: Option<Playback>,
}

impl ReadSlot {
    pub(super) fn kind(&self) -> Kind {
        self.kind
    }

    pub(super) fn takes_over(&self) -> bool {
        self.takes_over
    }

    /// Gives it the source itself, from which nothing was taken; its run is over.
    pub(super) fn hand_over(&self, playback: Playback) {
        let mut inner = self.inner.lock();
        if !inner.is_over {
            (inner.is_over, inner.given) = (true, Some(playback));
        }
    }

    /// Whether nothing more is given.
    pub(super) fn is_over(&self) -> bool {
        self.inner.lock().is_over
    }

    pub(super) fn give(&self, item: Item, position_seconds: f64) {
        let mut inner = self.inner.lock();
        if !inner.is_over {
            inner.item = Some((item, position_seconds));
        }
        drop(inner);
        self.arrived.notify_all();
    }

    /// Its source has ended or was lost; what is in the slot can still be taken.
    pub(super) fn end(&self, reason: Option<&Reason>) {
        let mut inner = self.inner.lock();
        if !inner.is_over {
            inner.is_over = true;
            inner.failure = reason.map(ToString::to_string);
        }
        drop(inner);
        self.arrived.notify_all();
    }
}

/// Reads the newest pictures of a feed until its source is lost or ends. Dropping it leaves the feed.
pub struct Reader {
    run: Arc<Run>,
    slot: Mutex<Option<Arc<ReadSlot>>>,
    process: u32,
}

impl Reader {
    /// Joins a feed. Its source is opened if it is not open. With `takes_over`, [`Reader::take_over`] may have it.
    ///
    /// # Errors
    /// There is no thread, or the process forked.
    pub fn new(feed: &Arc<Feed>, kind: Kind, takes_over: bool) -> Result<Self, Reason> {
        let slot = Arc::new(ReadSlot { kind, takes_over, inner: Mutex::default(), arrived: Condvar::new() });
        let run = feed.join(|run, joining| {
            joining.add_reader(&slot);
            Arc::clone(run)
        })?;
        Ok(Self { run, slot: Mutex::new(Some(slot)), process: std::process::id() })
    }

    /// Takes the newest picture, waiting for one that was not taken, at most until `until`.
    ///
    /// # Errors
    /// The source could not be opened, or failed; every later take gives [`Read::Ended`].
    pub fn take(&self, until: Instant) -> Result<Read, Reason> {
        let Some(slot) = self.slot()? else { return Ok(Read::Ended) };
        let mut inner = slot.inner.lock();
        loop {
            if let Some((item, position_seconds)) = inner.item.take() {
                inner.position_seconds = Some(position_seconds);
                return Ok(Read::Item(item));
            }
            if let Some(failure) = inner.failure.take() {
                return Err(Reason::Shared(failure));
            }
            if inner.is_over {
                return Ok(Read::Ended);
            }
            if slot.arrived.wait_until(&mut inner, until).timed_out() {
                return Ok(Read::NotYet);
            }
        }
    }

    /// What the source tells about itself, waited for until it is open, at most until `until`.
    ///
    /// # Errors
    /// As [`Reader::take`].
    pub fn facts(&self, until: Instant) -> Result<Told, Reason> {
        let Some(slot) = self.slot()? else { return Ok(Told::Nothing) };
        let mut inner = self.run.inner.lock();
        loop {
            if let Some(facts) = inner.facts {
                return Ok(Told::Facts(facts));
            }
            if inner.state == State::Ended || slot.inner.lock().is_over {
                drop(inner);
                let failure = slot.inner.lock().failure.take();
                return failure.map_or(Ok(Told::Nothing), |failure| Err(Reason::Shared(failure)));
            }
            if self.run.changed.wait_until(&mut inner, until).timed_out() {
                return Ok(Told::NotYet);
            }
        }
    }

    /// The source itself, if it is a recording that only such readers had joined: open, and at its start. Known once the
    /// facts are; then the feed is left. None: others have it.
    pub fn take_over(&self) -> Option<Playback> {
        self.slot().ok()??.inner.lock().given.take()
    }

    /// What the source told about itself, if it is or was open.
    pub fn known_facts(&self) -> Option<Facts> {
        self.slot().ok()??;
        self.run.status().facts
    }

    /// Where the picture taken last stands; None before the first.
    pub fn position_seconds(&self) -> Option<f64> {
        self.slot().ok()??.inner.lock().position_seconds
    }

    /// Leaves the feed for good, from any thread; who waits for a picture is woken.
    pub fn close(&self) {
        if std::process::id() != self.process {
            return;
        }
        if let Some(slot) = self.slot.lock().take() {
            let mut inner = slot.inner.lock();
            (inner.is_over, inner.item, inner.failure) = (true, None, None);
            let given = inner.given.take();
            drop(inner);
            drop(given);
            slot.arrived.notify_all();
        }
    }

    fn slot(&self) -> Result<Option<Arc<ReadSlot>>, Reason> {
        if std::process::id() != self.process {
            return Err(Reason::Forked);
        }
        Ok(self.slot.lock().clone())
    }
}

impl Drop for Reader {
    fn drop(&mut self) {
        self.close();
    }
}

impl std::fmt::Debug for Reader {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Reader").finish_non_exhaustive()
    }
}
