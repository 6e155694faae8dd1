//! When a driver pings, gives up waiting, or takes its peer for lost.

use std::{sync::Arc, time::Duration};

use tokio::time::Instant;

use crate::config::ConnectionConfig;

/// Far enough to be never, near enough for every clock.
const NEVER: Duration = Duration::from_secs(365 * 24 * 60 * 60);

/// How long a view that takes nothing from its connection keeps the peer waiting for the Close. Long enough for the
/// answer to a message that came right before the end, short enough for a view that only sends.
const ANSWER_TIME: Duration = Duration::from_millis(500);

/// What has to be done now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Alarm {
    /// Send a Ping.
    Ping,
    /// The peer was waited for long enough, or the view.
    Over,
}

/// The times of one connection. It only computes; the driver owns the timer.
///
/// Any byte of the peer counts as an answer to a Ping: it proves as much as a Pong does. While a Ping waits for room in
/// the socket, a byte that the socket takes counts as well, so that a slow download is not a lost peer.
#[derive(Debug)]
pub(super) struct Clock {
    config: Arc<ConnectionConfig>,
    started: Instant,
    next_ping: Option<Instant>,
    unanswered: Option<Unanswered>,
    /// Set once the connection is closing; nothing is pinged any more.
    end: Option<End>,
}

/// The first Ping that was not answered.
#[derive(Clone, Copy, Debug)]
struct Unanswered {
    since: Instant,
    /// The socket has not taken it yet.
    waits: bool,
}

#[derive(Clone, Copy, Debug)]
struct End {
    deadline: Instant,
    /// The last deadline that may be set while what is queued is written.
    latest: Option<Instant>,
}

impl Clock {
    pub(super) fn new(config: Arc<ConnectionConfig>, now: Instant) -> Self {
        let next_ping = config.ping_interval.map(|interval| after(now, interval));
        Self { config, started: now, next_ping, unanswered: None, end: None }
    }

    /// The time to begin with.
    pub(super) fn first_alarm(&self) -> Instant {
        self.next_ping.unwrap_or_else(|| after(self.started, NEVER))
    }

    /// The time of the next alarm.
    pub(super) fn next_alarm(&self) -> Option<Instant> {
        if let Some(end) = self.end {
            return Some(end.deadline);
        }
        let lost = self.unanswered.map(|ping| after(ping.since, self.config.ping_timeout));
        self.next_ping.into_iter().chain(lost).min()
    }

    /// The peer has sent something.
    pub(super) fn heard(&mut self) {
        self.unanswered = None;
    }

    /// The socket has taken something; `ping_waits`: but not the whole Ping yet.
    pub(super) fn wrote(&mut self, ping_waits: bool) {
        // The clock is read only where the time matters: not in the open state without a Ping on its way.
        if let Some(ping @ Unanswered { waits: true, .. }) = &mut self.unanswered {
            *ping = Unanswered { since: Instant::now(), waits: ping_waits };
        }
        if let Some(End { deadline, latest: Some(latest) }) = &mut self.end {
            *deadline = after(Instant::now(), self.config.close_timeout).min(*latest);
        }
    }

    /// The view may still answer what the peer has sent before its end.
    pub(super) fn begin_answering(&mut self) {
        let time = self.config.close_timeout.min(ANSWER_TIME);
        self.end = Some(End { deadline: after(Instant::now(), time), latest: None });
    }

    /// What is queued is to be written, with the Close behind it.
    pub(super) fn begin_flush(&mut self) {
        let now = Instant::now();
        let deadline = after(now, self.config.close_timeout);
        self.end = Some(End { deadline, latest: Some(deadline.max(after(now, self.config.send_timeout))) });
    }

    /// The peer has to do the next step.
    pub(super) fn begin_wait(&mut self) {
        self.end = Some(End { deadline: after(Instant::now(), self.config.close_timeout), latest: None });
    }

    /// What is due at `now`. `is_stalled`: the view leaves its messages unread, so that an answer may be there and not
    /// have been seen; that is not the peer's fault, and nothing is lost for it.
    pub(super) fn ring(&mut self, now: Instant, is_stalled: bool, ping_waits: bool) -> Option<Alarm> {
        if let Some(end) = &mut self.end {
            if end.deadline > now {
                return None;
            }
            if is_stalled {
                end.deadline = after(now, self.config.close_timeout);
                return None;
            }
            return Some(Alarm::Over);
        }
        if let Some(ping) = &mut self.unanswered
            && after(ping.since, self.config.ping_timeout) <= now
        {
            if !is_stalled {
                return Some(Alarm::Over);
            }
            ping.since = now;
        }
        if self.next_ping.is_some_and(|next| next <= now) {
            self.next_ping = self.config.ping_interval.map(|interval| after(now, interval));
            if !ping_waits {
                self.unanswered = self.unanswered.or(Some(Unanswered { since: now, waits: true }));
                return Some(Alarm::Ping);
            }
        }
        None
    }
}

/// `time + duration`, or as late as matters.
fn after(time: Instant, duration: Duration) -> Instant {
    time + duration.min(NEVER)
}
