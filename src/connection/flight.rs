//! How much content of slots is on its way to the peer, which tells by Pongs what it has got.
//!
//! What counts only while it is new must not queue anywhere: neither in the socket, nor in a proxy, nor before the slowest
//! line of the way. Nobody but the peer knows when a message has arrived, so a Ping goes right behind each, and the next
//! is taken when its Pong is back (RFC 6455 section 5.5.3: the answer comes as soon as is practical). A far peer may have
//! several on their way, a slow one has a single one: what tells the two apart is the time of a Ping that had the way to
//! itself.

use std::{collections::VecDeque, time::Duration};

use bytes::Bytes;
use tokio::time::Instant;

use crate::wire::frame;

/// Shorter content is not asked about: thirty a second of it are no backlog for a line of half a megabit.
const SHORT_BYTES: usize = 2 << 10;

/// What may be on its way in any case, until the peer turns out to be slow: a third of a second of a line of a megabit.
const FREE_BYTES: usize = 40 << 10;

/// Messages on their way to a peer that takes them as fast as they come.
const MOST_MESSAGES: usize = 32;

/// A message that took so much longer than the way itself has waited behind others.
const QUEUED: Duration = Duration::from_millis(250);

/// One that took no more than this has not, and there may be one more.
const NOT_QUEUED: Duration = Duration::from_millis(100);

/// How old the time of the way may get.
const WAY_AGE: Duration = Duration::from_secs(2);

/// What stands before the number in a Ping; no other Ping of this crate has a payload.
const MARK: [u8; 4] = *b"slot";

/// The Pings of one connection that wait for their Pong. It only computes; the writer sends them.
#[derive(Debug)]
pub(super) struct Flight {
    /// Pings so far.
    issued: u64,
    /// Oldest first.
    waiting: VecDeque<Waiting>,
    /// How many messages may be on their way.
    allowed: usize,
    /// Of the last message; the next will be about as large.
    last_bytes: usize,
    /// A message that arrived had waited behind others.
    was_slow: bool,
    /// What a Ping took that had the way to itself, and when that was found.
    way: Option<(Duration, Instant)>,
    /// Whether a message had to wait since there was one more allowed.
    held: bool,
}

#[derive(Clone, Copy, Debug)]
struct Waiting {
    number: u64,
    since: Instant,
    /// Of the message that it stands behind; None: it stands before one.
    bytes: Option<usize>,
}

impl Default for Flight {
    fn default() -> Self {
        Self {
            issued: 0,
            waiting: VecDeque::new(),
            allowed: 1,
            last_bytes: 0,
            was_slow: false,
            way: None,
            held: false,
        }
    }
}

impl Flight {
    /// Whether a message may leave.
    pub(super) fn has_room(&self) -> bool {
        let messages = self.waiting.iter().filter_map(|ping| ping.bytes);
        let (count, bytes) = messages.fold((0, 0), |(count, all), bytes| (count + 1, all + bytes));
        let is_free = !self.was_slow && count < MOST_MESSAGES && bytes + self.last_bytes <= FREE_BYTES;
        is_free || count < self.allowed
    }

    /// A message waits because there is no room.
    pub(super) fn holds(&mut self) {
        self.held = true;
    }

    /// The Ping to send before a message of `bytes`, if the time of the way is to be found anew.
    pub(super) fn before(&mut self, bytes: usize, now: Instant) -> Option<Bytes> {
        let is_known = self.way.is_some_and(|(_, found)| now < found + WAY_AGE);
        (bytes >= SHORT_BYTES && self.waiting.is_empty() && !is_known).then(|| self.issue(now, None))
    }

    /// The Ping to send behind a message of `bytes`.
    pub(super) fn behind(&mut self, bytes: usize, now: Instant) -> Option<Bytes> {
        // There are more only while the Pongs stay unread, which are then not waited for.
        let fits = self.waiting.len() <= MOST_MESSAGES;
        self.last_bytes = bytes;
        (bytes >= SHORT_BYTES && fits).then(|| self.issue(now, Some(bytes)))
    }

    fn issue(&mut self, now: Instant, bytes: Option<usize>) -> Bytes {
        self.issued += 1;
        self.waiting.push_back(Waiting { number: self.issued, since: now, bytes });
        let mut payload = [0; 12];
        payload[..4].copy_from_slice(&MARK);
        payload[4..].copy_from_slice(&self.issued.to_be_bytes());
        frame::encode_ping(&payload)
    }

    /// A Pong has come. False: it answers none of these Pings.
    pub(super) fn answered(&mut self, payload: &[u8], now: Instant) -> bool {
        let Some(number) = payload.strip_prefix(&MARK).and_then(|number| number.try_into().ok()) else {
            return false;
        };
        let number = u64::from_be_bytes(number);
        // A peer may answer the latest of several Pings only.
        let older = self.waiting.partition_point(|ping| ping.number < number);
        let Some(ping) = self.waiting.get(older).copied().filter(|ping| ping.number == number) else {
            return number <= self.issued;
        };
        self.waiting.drain(..=older);
        let took = now.saturating_duration_since(ping.since);
        if ping.bytes.is_none() || self.way.is_some_and(|(way, _)| took < way) {
            self.way = Some((took, now));
        }
        if ping.bytes.is_some() {
            self.learn(took);
        }
        true
    }

    fn learn(&mut self, took: Duration) {
        let queued = self.way.map_or(took, |(way, _)| took.saturating_sub(way));
        if queued > QUEUED {
            self.was_slow = true;
            self.allowed = (self.allowed / 2).max(1);
        } else if queued <= NOT_QUEUED {
            self.allowed = (self.allowed + usize::from(self.held)).min(MOST_MESSAGES);
        }
        self.held = false;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MILLISECOND: Duration = Duration::from_millis(1);
    const LONG: usize = 60_000;

    /// The payload of an encoded Ping.
    fn payload(ping: &Bytes) -> Bytes {
        assert_eq!(ping[..2], [0x89, 12]);
        ping.slice(2..)
    }

    /// A line that carries `bytes_per_second`, `way` there and back, with a feed behind that always has a message. Gives
    /// the longest and the number of messages that arrived in `seconds`.
    fn watch(bytes_per_second: u32, way: Duration, bytes: u32, seconds: u32) -> (Duration, u32) {
        let start = Instant::now();
        let mut flight = Flight::default();
        let transmission = Duration::from_secs(1) * bytes / bytes_per_second;
        let mut line_free = start;
        let mut pongs: VecDeque<(Instant, Bytes, Option<Instant>)> = VecDeque::new();
        let (mut longest, mut arrived) = (Duration::ZERO, 0);
        for tick in 0..seconds * 1000 {
            let now = start + MILLISECOND * tick;
            while pongs.front().is_some_and(|(at, ..)| *at <= now) {
                let (_, ping, sent) = pongs.pop_front().expect("just seen");
                assert!(flight.answered(&payload(&ping), now));
                if let Some(sent) = sent {
                    longest = longest.max(now - sent);
                    arrived += 1;
                }
            }
            // Thirty a second.
            if tick % 33 != 0 && !flight.held {
                continue;
            }
            if !flight.has_room() {
                flight.holds();
                continue;
            }
            flight.held = false;
            line_free = line_free.max(now);
            if let Some(ping) = flight.before(bytes as usize, now) {
                pongs.push_back((line_free + way, ping, None));
            }
            line_free += transmission;
            let ping = flight.behind(bytes as usize, now).expect("there is room");
            pongs.push_back((line_free + way, ping, Some(now)));
        }
        (longest, arrived)
    }

    #[test]
    fn a_second_message_waits_for_the_pong_of_the_first() {
        let now = Instant::now();
        let mut flight = Flight::default();
        assert!(flight.has_room());
        let before = flight.before(LONG, now).expect("the way is not known");
        let behind = flight.behind(LONG, now).expect("it is long");
        assert!(!flight.has_room());
        assert!(flight.answered(&payload(&before), now + MILLISECOND));
        assert!(!flight.has_room());
        assert!(flight.answered(&payload(&behind), now + 2 * MILLISECOND));
        assert!(flight.has_room());
        // The way is known.
        assert_eq!(flight.before(LONG, now + 3 * MILLISECOND), None);
    }

    #[test]
    fn a_little_is_on_its_way_unasked_until_the_peer_turns_out_to_be_slow() {
        let now = Instant::now();
        let mut flight = Flight::default();
        let pings: Vec<_> = (0..2).map(|_| flight.behind(12_000, now).expect("it is long")).collect();
        assert!(flight.has_room());
        flight.behind(12_000, now);
        assert!(!flight.has_room());
        for ping in &pings {
            assert!(flight.answered(&payload(ping), now + Duration::from_secs(1)));
            // One is on its way still, and now that is too many.
            assert!(!flight.has_room());
        }
    }

    #[test]
    fn one_pong_answers_the_pings_before_it() {
        let now = Instant::now();
        let mut flight = Flight { allowed: 3, ..Flight::default() };
        let pings: Vec<_> = (0..3).map(|_| flight.behind(LONG, now).expect("there is room")).collect();
        assert!(!flight.has_room());
        assert!(flight.answered(&payload(&pings[1]), now));
        assert_eq!(flight.waiting.len(), 1);
        // It came twice, and changes nothing.
        assert!(flight.answered(&payload(&pings[1]), now));
        assert_eq!(flight.waiting.len(), 1);
    }

    #[test]
    fn other_pongs_are_none_of_its() {
        let mut flight = Flight::default();
        flight.behind(LONG, Instant::now());
        for other in [&b""[..], b"slot", b"hello", b"slot\0\0\0\0\0\0\0\x02", b"SLOT\0\0\0\0\0\0\0\x01"] {
            assert!(!flight.answered(other, Instant::now()), "{other:?}");
        }
        assert!(!flight.has_room());
    }

    #[test]
    fn short_content_is_not_asked_about() {
        let now = Instant::now();
        let mut flight = Flight::default();
        assert_eq!(flight.before(SHORT_BYTES - 1, now), None);
        assert_eq!(flight.behind(SHORT_BYTES - 1, now), None);
        assert!(flight.has_room());
        assert!(flight.behind(SHORT_BYTES, now).is_some());
    }

    #[test]
    fn no_more_than_a_bound_is_remembered() {
        let now = Instant::now();
        let mut flight = Flight::default();
        for _ in 0..1000 {
            flight.behind(LONG, now);
        }
        assert_eq!(flight.waiting.len(), MOST_MESSAGES + 1);
    }

    #[test]
    fn a_line_of_a_megabit_is_never_half_a_second_behind() {
        for bytes in [5_000, 20_000, 40_000, 55_000] {
            let (longest, arrived) = watch(125_000, 20 * MILLISECOND, bytes, 20);
            assert!(longest < Duration::from_millis(500), "{bytes}: {longest:?}");
            // And well used.
            assert!(arrived * bytes > 20 * 125_000 * 2 / 3 || arrived >= 500, "{bytes}: {arrived}");
        }
    }

    #[test]
    fn a_far_peer_gets_every_message() {
        for way in [1, 30, 100, 300] {
            let (longest, arrived) = watch(100_000_000, way * MILLISECOND, 20_000, 20);
            assert!(longest < (way + 40) * MILLISECOND, "{way}: {longest:?}");
            assert!(arrived > 540, "{way}: {arrived}");
        }
    }
}
