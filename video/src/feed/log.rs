//! What happens to the sources of feeds, for whoever writes the log.
//!
//! The threads of feeds never attach to Python, so they leave here what there is to say, and a thread of Python takes it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use crate::error::Reason;

/// Events that may wait for whoever writes them; the oldest go first.
const MOST_EVENTS: usize = 256;

/// The events of a process, and whether more can come.
#[derive(Debug, Default)]
pub struct Log {
    inner: Mutex<Inner>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Inner {
    events: VecDeque<Event>,
    /// Runs that somebody watches.
    watched: usize,
}

/// Something that happened to a source.
#[derive(Clone, Debug, PartialEq)]
pub struct Event {
    /// The source, without its credentials.
    pub source: Arc<str>,
    /// What it was.
    pub happened: Happened,
    /// How long the source has given no pictures.
    pub outage: Duration,
}

/// What happened to a source.
#[derive(Clone, Debug, PartialEq)]
pub enum Happened {
    /// It was lost, or could not be opened.
    Failed {
        /// Why; None: it ended.
        reason: Option<String>,
        /// Whether it was open before this outage.
        was_open: bool,
        /// How many times in this outage, this one included.
        failures: u32,
        /// When it is opened again, from now on; None: it is not.
        next: Option<Duration>,
    },
    /// It gives pictures again.
    Back,
}

/// What [`Log::take`] found.
#[derive(Debug, PartialEq)]
pub enum Next {
    /// The oldest event that was not taken.
    Event(Event),
    /// There is none, and none can come: nobody watches anything.
    Idle,
    /// The time given ran out.
    NotYet,
}

/// Somebody watches a run: events may come.
#[derive(Debug)]
pub(super) struct Watched(Arc<Log>);

impl Log {
    pub(super) fn watched(self: &Arc<Self>) -> Watched {
        self.inner.lock().watched += 1;
        Watched(Arc::clone(self))
    }

    /// Takes the next event, waiting at most until `until` for it.
    pub fn take(&self, until: Instant) -> Next {
        let mut inner = self.inner.lock();
        loop {
            if let Some(event) = inner.events.pop_front() {
                return Next::Event(event);
            }
            if inner.watched == 0 {
                return Next::Idle;
            }
            if self.changed.wait_until(&mut inner, until).timed_out() {
                return Next::NotYet;
            }
        }
    }

    /// Whether there is no event, and none can come until somebody watches.
    pub fn is_idle(&self) -> bool {
        let inner = self.inner.lock();
        inner.events.is_empty() && inner.watched == 0
    }

    fn put(&self, event: Event) {
        let mut inner = self.inner.lock();
        // What befalls a source that nobody watches is nobody's business, and nobody would take it.
        if inner.watched == 0 {
            return;
        }
        if inner.events.len() == MOST_EVENTS {
            inner.events.pop_front();
        }
        inner.events.push_back(event);
        drop(inner);
        self.changed.notify_all();
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        self.0.inner.lock().watched -= 1;
        self.0.changed.notify_all();
    }
}

/// Tells the log of one source: of each outage its begin, its tenth failure, its hundredth and so on, and its end.
#[derive(Debug)]
pub(super) struct Teller {
    log: Arc<Log>,
    source: Arc<str>,
    was_open: bool,
    outage: Option<(Instant, u32)>,
}

impl Teller {
    pub(super) fn new(log: &Arc<Log>, source: &Arc<str>) -> Self {
        Self { log: Arc::clone(log), source: Arc::clone(source), was_open: false, outage: None }
    }

    /// The source was lost, or could not be opened; `next`: when it is opened again.
    pub(super) fn failed(&mut self, reason: Option<&Reason>, next: Option<Duration>) {
        let (began, failures) = self.outage.get_or_insert_with(|| (Instant::now(), 0));
        *failures = failures.saturating_add(1);
        if next.is_some() && 10_u32.pow(failures.ilog10()) != *failures {
            return;
        }
        let happened = Happened::Failed {
            reason: reason.map(ToString::to_string),
            was_open: self.was_open,
            failures: *failures,
            next,
        };
        self.log.put(Event { source: Arc::clone(&self.source), happened, outage: began.elapsed() });
    }

    /// The source gives pictures.
    pub(super) fn shows(&mut self) {
        self.was_open = true;
        if let Some((began, _)) = self.outage.take() {
            let (source, outage) = (Arc::clone(&self.source), began.elapsed());
            self.log.put(Event { source, happened: Happened::Back, outage });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn now() -> Instant {
        Instant::now()
    }

    fn failures(log: &Log) -> Vec<u32> {
        std::iter::from_fn(|| match log.take(now()) {
            Next::Event(Event { happened: Happened::Failed { failures, .. }, .. }) => Some(failures),
            _ => None,
        })
        .collect()
    }

    #[test]
    fn of_an_outage_without_end_there_are_few_lines() {
        let log = Arc::<Log>::default();
        let _watched = log.watched();
        let mut teller = Teller::new(&log, &"camera 0".into());
        for _ in 0..5000 {
            teller.failed(Some(&Reason::NotOpened), Some(Duration::from_secs(1)));
        }
        assert_eq!(failures(&log), [1, 10, 100, 1000]);
    }

    #[test]
    fn the_begin_and_the_end_of_each_outage_are_told() {
        let log = Arc::<Log>::default();
        let _watched = log.watched();
        let mut teller = Teller::new(&log, &"camera 0".into());
        teller.shows();
        assert_eq!(log.take(now()), Next::NotYet);
        for _ in 0..2 {
            teller.failed(None, Some(Duration::from_secs(1)));
            let Next::Event(event) = log.take(now()) else { panic!("it is lost") };
            let next = Some(Duration::from_secs(1));
            assert_eq!(event.happened, Happened::Failed { reason: None, was_open: true, failures: 1, next });
            teller.shows();
            let Next::Event(event) = log.take(now()) else { panic!("it is back") };
            assert_eq!(event.happened, Happened::Back);
        }
    }

    #[test]
    fn what_nobody_takes_is_bounded() {
        let log = Arc::<Log>::default();
        let watched = log.watched();
        for _ in 0..1000 {
            Teller::new(&log, &"camera 0".into()).failed(None, None);
        }
        drop(watched);
        assert!(!log.is_idle());
        assert_eq!(failures(&log).len(), MOST_EVENTS);
        assert!(log.is_idle());
        assert_eq!(log.take(now()), Next::Idle);
    }

    #[test]
    fn of_a_source_that_nobody_watches_nothing_is_told() {
        let log = Arc::<Log>::default();
        Teller::new(&log, &"camera 0".into()).failed(None, None);
        assert!(log.is_idle());
    }

    #[test]
    fn who_waits_is_woken_by_an_event_and_by_the_last_who_leaves() {
        let log = Arc::<Log>::default();
        let watched = log.watched();
        let taker = std::thread::spawn({
            let log = Arc::clone(&log);
            let until = now() + Duration::from_secs(60);
            move || (log.take(until), log.take(until))
        });
        Teller::new(&log, &"camera 0".into()).failed(None, None);
        drop(watched);
        let (first, second) = taker.join().expect("it does not panic");
        assert!(matches!(first, Next::Event(_)));
        assert_eq!(second, Next::Idle);
    }
}
