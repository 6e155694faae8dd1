//! Messages that come in groups: each needs those of its group before it, and the first needs none.
//!
//! So a series can be taken up at the start of a group only, behind a header, and none of a group may be left out.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use bytes::Bytes;

use super::slots::Part;

/// For longer nothing waits for a client. One that is slower is moved on to the start of the next group.
pub const MOST_LATE: Duration = Duration::from_secs(1);

/// More does not wait for a client, and of a group nothing is kept that is larger.
pub const MOST_BYTES: usize = 16 << 20;

/// What is taken at once.
const BATCH_BYTES: usize = 64 << 10;

/// What a slot holds of such a series.
///
/// Messages wait in the order in which they came, and are taken in that order. When the oldest has waited for too long, or
/// too much waits, all of them are dropped, and so is what follows, until a group starts.
#[derive(Debug, Default)]
pub struct Groups {
    waiting: VecDeque<Waiting>,
    /// Without notices.
    bytes: usize,
    /// Whoever takes it has all of the group so far, or it waits for them.
    follows: bool,
}

#[derive(Debug)]
struct Waiting {
    kind: Kind,
    message: Bytes,
    since: Instant,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    Header,
    Content,
    Notice,
}

impl Groups {
    /// Starts a group; who does not follow the series yet gets the header before it. Gives how many messages of the series
    /// will never be taken for it.
    pub fn start(&mut self, header: &[Bytes], first: Bytes, now: Instant) -> u64 {
        let skipped = self.make_room(&first, now);
        if !self.follows {
            self.follows = true;
            for message in header {
                self.push(Kind::Header, message.clone(), now);
            }
        }
        self.push(Kind::Content, first, now);
        skipped
    }

    /// Puts a message behind the others: of the group, or a notice, which replaces the one before it. Gives how many of the
    /// series will never be taken for it.
    pub fn put(&mut self, part: Part, message: Bytes, now: Instant) -> u64 {
        if part == Part::Notice {
            self.waiting.retain(|waiting| waiting.kind != Kind::Notice);
            self.waiting.push_back(Waiting { kind: Kind::Notice, message, since: now });
            return 0;
        }
        let skipped = self.make_room(&message, now);
        if !self.follows {
            return skipped + 1;
        }
        self.push(Kind::Content, message, now);
        skipped
    }

    fn make_room(&mut self, message: &Bytes, now: Instant) -> u64 {
        let oldest = self.waiting.iter().find(|waiting| waiting.kind != Kind::Notice);
        let is_late = oldest.is_some_and(|oldest| now.saturating_duration_since(oldest.since) > MOST_LATE);
        let is_full = self.bytes.saturating_add(message.len()) > MOST_BYTES;
        if is_late || is_full { self.drop_content() } else { 0 }
    }

    fn push(&mut self, kind: Kind, message: Bytes, since: Instant) {
        self.bytes += message.len();
        self.waiting.push_back(Waiting { kind, message, since });
    }

    /// Keeps nothing but the notice, and takes the series up at the next start. Gives how many messages of it were dropped.
    pub fn drop_content(&mut self) -> u64 {
        let dropped = self.waiting.iter().filter(|waiting| waiting.kind == Kind::Content).count();
        self.waiting.retain(|waiting| waiting.kind == Kind::Notice);
        self.bytes = 0;
        self.follows = false;
        u64::try_from(dropped).unwrap_or(u64::MAX)
    }

    /// The next group does not go on with what came before: it comes behind its header.
    pub fn cut(&mut self) {
        self.follows = false;
    }

    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// Moves the oldest of what waits behind `messages`: 64 KiB, or one that is longer. Gives how many of them are of the
    /// series.
    pub fn take(&mut self, messages: &mut VecDeque<Bytes>) -> u64 {
        let (mut bytes, mut count) = (0, 0);
        while let Some(next) = self.waiting.front()
            && (bytes == 0 || bytes + next.message.len() <= BATCH_BYTES)
            && let Some(Waiting { kind, message, .. }) = self.waiting.pop_front()
        {
            bytes += message.len();
            if kind != Kind::Notice {
                self.bytes -= message.len();
            }
            count += u64::from(kind == Kind::Content);
            messages.push_back(message);
        }
        count
    }

    /// The notice, and what came before it.
    pub fn into_last(self) -> Vec<(Part, Bytes)> {
        let end =
            self.waiting.iter().rposition(|waiting| waiting.kind == Kind::Notice).map_or(0, |at| at + 1);
        let part = |kind| if kind == Kind::Notice { Part::Notice } else { Part::Content };
        self.waiting.into_iter().take(end).map(|waiting| (part(waiting.kind), waiting.message)).collect()
    }
}

/// The group that is under way, for whoever takes the series up now.
#[derive(Clone, Debug, Default)]
pub struct Group {
    header: Vec<Bytes>,
    /// Empty where it is too large, and before the first.
    messages: Vec<Bytes>,
    bytes: usize,
}

impl Group {
    /// Keeps the start of a group instead of what there was.
    pub fn start(&mut self, header: &[Bytes], first: Bytes) {
        self.forget();
        header.clone_into(&mut self.header);
        self.push(first);
    }

    /// Keeps a message of the group.
    pub fn put(&mut self, message: Bytes) {
        if !self.messages.is_empty() {
            self.push(message);
        }
    }

    fn push(&mut self, message: Bytes) {
        self.bytes = self.bytes.saturating_add(message.len());
        if self.bytes > MOST_BYTES {
            self.forget();
        } else {
            self.messages.push(message);
        }
    }

    /// Keeps nothing until the next start.
    pub fn forget(&mut self) {
        self.header.clear();
        self.messages.clear();
        self.bytes = 0;
    }

    /// The header, the first message and those after it; `None`: nothing is kept.
    pub fn parts(&self) -> Option<(&[Bytes], &Bytes, &[Bytes])> {
        self.messages.split_first().map(|(first, rest)| (&*self.header, first, rest))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SECOND: Duration = Duration::from_secs(1);

    fn piece(text: &str) -> Bytes {
        Bytes::copy_from_slice(text.as_bytes())
    }

    /// Starts a group with `S…`, behind a header that tells its number; puts `N…` as a notice, anything else as content.
    fn put(groups: &mut Groups, text: &str, now: Instant) -> u64 {
        match text.as_bytes()[0] {
            b'S' => groups.start(&[piece("H"), piece(&text.replace('S', "h"))], piece(text), now),
            b'N' => groups.put(Part::Notice, piece(text), now),
            _ => groups.put(Part::Content, piece(text), now),
        }
    }

    fn taken(groups: &mut Groups) -> (String, u64) {
        let mut messages = VecDeque::new();
        let count = groups.take(&mut messages);
        let texts: Vec<_> =
            messages.iter().map(|message| String::from_utf8(message.to_vec()).unwrap()).collect();
        (texts.join(" "), count)
    }

    #[test]
    fn a_series_is_taken_up_at_a_start_behind_its_header() {
        let (mut groups, now) = (Groups::default(), Instant::now());
        assert_eq!(put(&mut groups, "lost", now), 1);
        for text in ["S1", "a", "S2", "b"] {
            assert_eq!(put(&mut groups, text, now), 0);
        }
        assert_eq!(taken(&mut groups), ("H h1 S1 a S2 b".into(), 4));
        groups.cut();
        assert_eq!(put(&mut groups, "lost", now), 1);
        put(&mut groups, "S3", now);
        assert_eq!(taken(&mut groups), ("H h3 S3".into(), 1));
    }

    #[test]
    fn who_is_too_late_goes_on_at_the_next_start_and_the_notice_stays() {
        let (mut groups, now) = (Groups::default(), Instant::now());
        for text in ["S1", "a", "N1", "b"] {
            put(&mut groups, text, now);
        }
        assert_eq!(put(&mut groups, "c", now + SECOND), 0);
        assert_eq!(put(&mut groups, "d", now + SECOND + SECOND / 1000), 5);
        assert_eq!(put(&mut groups, "e", now + SECOND * 2), 1);
        assert_eq!(put(&mut groups, "S2", now + SECOND * 2), 0);
        assert_eq!(put(&mut groups, "f", now + SECOND * 3), 0);
        assert_eq!(taken(&mut groups), ("N1 H h2 S2 f".into(), 2));
    }

    #[test]
    fn a_start_that_comes_too_late_is_the_next_start_itself() {
        let (mut groups, now) = (Groups::default(), Instant::now());
        put(&mut groups, "S1", now);
        put(&mut groups, "a", now);
        assert_eq!(put(&mut groups, "S2", now + SECOND * 2), 2);
        assert_eq!(taken(&mut groups), ("H h2 S2".into(), 1));
    }

    #[test]
    fn what_waits_is_bounded_in_bytes() {
        let (mut groups, now) = (Groups::default(), Instant::now());
        let large = |bytes: usize| Bytes::from(vec![0; bytes]);
        assert_eq!(groups.start(&[], large(1), now), 0);
        assert_eq!(groups.put(Part::Content, large(MOST_BYTES - 1), now), 0);
        assert_eq!(groups.put(Part::Content, large(1), now), 3);
        assert!(groups.is_empty());
        assert_eq!(groups.start(&[], large(MOST_BYTES + 1), now), 0);
        let mut messages = VecDeque::new();
        assert_eq!(groups.take(&mut messages), 1);
        assert_eq!((messages.len(), groups.bytes), (1, 0));
    }

    #[test]
    fn a_batch_is_taken_at_a_time() {
        let (mut groups, now) = (Groups::default(), Instant::now());
        for bytes in [BATCH_BYTES - 1, 1, 1, BATCH_BYTES * 2] {
            groups.start(&[], Bytes::from(vec![0; bytes]), now);
        }
        let counts: Vec<_> = (0..4).map(|_| groups.take(&mut VecDeque::new())).collect();
        assert_eq!((counts, groups.bytes), (vec![2, 1, 1, 0], 0));
    }

    #[test]
    fn only_the_newest_notice_waits_and_at_the_end_what_came_before_it() {
        let (mut groups, now) = (Groups::default(), Instant::now());
        for text in ["N1", "S1", "a", "N2", "b"] {
            put(&mut groups, text, now);
        }
        let last: Vec<_> = groups.into_last().into_iter().map(|(_, message)| message).collect();
        assert_eq!(last, ["H", "h1", "S1", "a", "N2"]);
        assert!(Groups::default().into_last().is_empty());
    }

    #[test]
    fn the_group_under_way_is_kept_if_it_is_not_too_large() {
        let mut kept = Group::default();
        kept.put(piece("before"));
        assert_eq!(kept.parts(), None);
        kept.start(&[piece("H1")], piece("S1"));
        kept.start(&[piece("H2")], piece("S2"));
        kept.put(piece("b"));
        assert_eq!(kept.parts(), Some((&[piece("H2")][..], &piece("S2"), &[piece("b")][..])));
        kept.put(Bytes::from(vec![0; MOST_BYTES]));
        kept.put(piece("c"));
        assert_eq!(kept.parts(), None);
        kept.start(&[], piece("S3"));
        assert_eq!(kept.parts(), Some((&[][..], &piece("S3"), &[][..])));
    }
}
