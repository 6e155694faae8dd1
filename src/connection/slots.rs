//! What waits beside the outbox of a connection: messages that nobody waits for a client to take.
//!
//! A slot belongs to one series of messages. Where only the newest counts, it holds one message of the series and one
//! notice about it, each until it is taken or a newer one replaces it. Of a series that comes in groups it holds what a
//! client is behind, up to a bound; see [`super::groups`]. So a slow client has no backlog that grows.
//!
//! No wake-up is lost. The writer registers with the outbox first and looks at the slots then; who puts a message puts it
//! first and calls [`Mailbox::nudge`](super::mailbox::Mailbox::nudge) then. If the registration came before the nudge, the
//! nudge finds the writer and wakes it; if it came after, the lock of the outbox orders the put before the look, which
//! finds the message. A put into a slot where something waits needs no nudge: the one of the message before it is still to
//! come, or the writer is still to look, and it looks until nothing is left.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
    time::Instant,
};

use bytes::Bytes;

use super::{groups::Groups, sync::Mutex};

/// What a message is to its series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// One of the series.
    Content,
    /// Says something about the series. A newer notice makes it worthless, content does not, and keeps its place behind it.
    Notice,
}

/// The newest content and the newest notice, in the order in which they came.
#[derive(Clone, Debug, Default)]
pub struct Newest {
    content: Option<Bytes>,
    notice: Option<Bytes>,
    notice_is_last: bool,
}

impl Newest {
    /// Puts a message in the place of the one of its kind, and last. True: there was one.
    pub fn put(&mut self, part: Part, message: Bytes) -> bool {
        self.notice_is_last = part == Part::Notice;
        match part {
            Part::Content => self.content.replace(message).is_some(),
            Part::Notice => self.notice.replace(message).is_some(),
        }
    }

    /// The content, if there is any.
    pub fn content(&self) -> Option<Bytes> {
        self.content.clone()
    }

    /// Keeps no content.
    pub fn forget_content(&mut self) {
        self.content = None;
    }

    /// Whether there is neither content nor a notice.
    pub fn is_empty(&self) -> bool {
        self.content.is_none() && self.notice.is_none()
    }

    /// What it holds, the older one first.
    pub fn into_messages(self) -> impl Iterator<Item = (Part, Bytes)> {
        let content = self.content.map(|message| (Part::Content, message));
        let notice = self.notice.map(|message| (Part::Notice, message));
        let (first, last) = if self.notice_is_last { (content, notice) } else { (notice, content) };
        first.into_iter().chain(last)
    }
}

/// What becomes of the messages of a series that wait for a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Policy {
    /// A newer one makes those before it worthless.
    Newest,
    /// They come in groups, and are understood together.
    Groups,
}

/// How many slots a series has. Cheap to ask; a slot counts until it is closed, from either side.
#[derive(Debug, Default)]
pub struct Audience {
    members: AtomicUsize,
    watching: AtomicUsize,
}

// Relaxed throughout: these are figures, and nothing is read because of them.
impl Audience {
    /// Its open slots.
    pub fn members(&self) -> usize {
        self.members.load(Ordering::Relaxed)
    }

    /// Those of them that are not paused.
    pub fn watching(&self) -> usize {
        self.watching.load(Ordering::Relaxed)
    }
}

/// What became of the content put into one slot.
#[derive(Debug, Default)]
pub struct SlotTally {
    sent: AtomicU64,
    skipped: AtomicU64,
}

impl SlotTally {
    /// Content that the writer took.
    pub fn sent(&self) -> u64 {
        self.sent.load(Ordering::Relaxed)
    }

    /// Content that was replaced or dropped before the writer took it.
    pub fn skipped(&self) -> u64 {
        self.skipped.load(Ordering::Relaxed)
    }
}

/// What became of a put.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Put {
    /// The writer has to be told.
    New,
    /// There was something to be taken before, of which the writer knows or is about to be told.
    Behind,
    /// The slot is paused, or the message is of a group that the client cannot follow.
    Ignored,
    /// The slot is closed.
    Gone,
}

/// The slots of one connection.
#[derive(Debug, Default)]
pub struct Slots {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// The next to be looked at first.
    open: VecDeque<Slot>,
    issued: u64,
    closed: bool,
}

#[derive(Debug)]
struct Slot {
    number: u64,
    waiting: Waiting,
    paused: bool,
    tally: Arc<SlotTally>,
    audience: Arc<Audience>,
}

#[derive(Debug)]
enum Waiting {
    Newest(Newest),
    Groups(Groups),
}

impl Waiting {
    fn of(policy: Policy) -> Self {
        match policy {
            Policy::Newest => Self::Newest(Newest::default()),
            Policy::Groups => Self::Groups(Groups::default()),
        }
    }

    fn is_empty(&self) -> bool {
        match self {
            Self::Newest(newest) => newest.is_empty(),
            Self::Groups(groups) => groups.is_empty(),
        }
    }

    /// Gives how much content will never be taken for it.
    fn put(&mut self, part: Part, message: Bytes) -> u64 {
        match self {
            Self::Newest(newest) => u64::from(newest.put(part, message) && part == Part::Content),
            Self::Groups(groups) => groups.put(part, message, Instant::now()),
        }
    }

    /// As [`Waiting::put`].
    fn start(&mut self, header: &[Bytes], first: Bytes) -> u64 {
        match self {
            Self::Newest(_) => self.put(Part::Content, first),
            Self::Groups(groups) => groups.start(header, first, Instant::now()),
        }
    }

    /// Moves the oldest of it behind `messages`, and gives how much content there was.
    fn take(&mut self, messages: &mut VecDeque<Bytes>) -> u64 {
        match self {
            Self::Newest(newest) => {
                let newest = std::mem::take(newest);
                let count = u64::from(newest.content.is_some());
                messages.extend(newest.into_messages().map(|(_, message)| message));
                count
            }
            Self::Groups(groups) => groups.take(messages),
        }
    }

    fn drop_content(&mut self) {
        match self {
            Self::Newest(newest) => newest.content = None,
            Self::Groups(groups) => {
                groups.drop_content();
            }
        }
    }

    /// The notice, and content that came before it.
    fn into_last(self) -> Vec<(Part, Bytes)> {
        match self {
            Self::Newest(mut newest) => {
                if !newest.notice_is_last {
                    newest.content = None;
                }
                newest.into_messages().collect()
            }
            Self::Groups(groups) => groups.into_last(),
        }
    }
}

impl Slots {
    /// Opens a slot and gives its number; `None`: the connection is ending.
    pub fn open(&self, policy: Policy, audience: &Arc<Audience>, tally: &Arc<SlotTally>) -> Option<u64> {
        let mut state = self.state.lock();
        if state.closed {
            return None;
        }
        state.issued += 1;
        let number = state.issued;
        audience.members.fetch_add(1, Ordering::Relaxed);
        audience.watching.fetch_add(1, Ordering::Relaxed);
        let (tally, audience) = (Arc::clone(tally), Arc::clone(audience));
        state.open.push_back(Slot { number, waiting: Waiting::of(policy), paused: false, tally, audience });
        Some(number)
    }

    /// Puts a message into a slot. Never waits.
    pub fn put(&self, number: u64, part: Part, message: Bytes) -> Put {
        self.put_by(number, part, |waiting| waiting.put(part, message))
    }

    /// Starts a group in a slot; the header is for who takes the series up with it. Never waits. A slot of which only the
    /// newest counts takes `first` for content.
    pub fn start(&self, number: u64, header: &[Bytes], first: Bytes) -> Put {
        self.put_by(number, Part::Content, |waiting| waiting.start(header, first))
    }

    fn put_by(&self, number: u64, part: Part, put: impl FnOnce(&mut Waiting) -> u64) -> Put {
        let mut state = self.state.lock();
        let Some(slot) = state.slot(number) else { return Put::Gone };
        if slot.paused && part == Part::Content {
            return Put::Ignored;
        }
        let was_empty = slot.waiting.is_empty();
        let skipped = put(&mut slot.waiting);
        slot.tally.skipped.fetch_add(skipped, Ordering::Relaxed);
        if slot.waiting.is_empty() {
            Put::Ignored
        } else if was_empty {
            Put::New
        } else {
            Put::Behind
        }
    }

    /// The next group in the slot does not go on with the one before. Nothing to a slot of which only the newest counts.
    pub fn cut(&self, number: u64) {
        if let Some(Slot { waiting: Waiting::Groups(groups), .. }) = self.state.lock().slot(number) {
            groups.cut();
        }
    }

    /// Moves the oldest of what waits in one slot behind `messages`, for the writer; slots take turns. False: nothing waits
    /// in any.
    pub fn take(&self, messages: &mut VecDeque<Bytes>) -> bool {
        let mut state = self.state.lock();
        let Some(index) = state.open.iter().position(|slot| !slot.waiting.is_empty()) else { return false };
        let Some(mut slot) = state.open.remove(index) else { return false };
        let count = slot.waiting.take(messages);
        slot.tally.sent.fetch_add(count, Ordering::Relaxed);
        state.open.push_back(slot);
        true
    }

    /// Whether anything waits to be taken.
    pub fn is_waiting(&self) -> bool {
        self.state.lock().open.iter().any(|slot| !slot.waiting.is_empty())
    }

    /// Lets no content into a slot from now on, or again. False: it was so before, or the slot is closed.
    pub fn pause(&self, number: u64, paused: bool) -> bool {
        let mut state = self.state.lock();
        let Some(slot) = state.slot(number).filter(|slot| slot.paused != paused) else { return false };
        slot.paused = paused;
        if paused {
            slot.waiting.drop_content();
            slot.audience.watching.fetch_sub(1, Ordering::Relaxed);
        } else {
            slot.audience.watching.fetch_add(1, Ordering::Relaxed);
        }
        true
    }

    /// Closes a slot. Gives back the notice that waits in it, and content that came before that.
    pub fn close(&self, number: u64) -> Vec<(Part, Bytes)> {
        let mut state = self.state.lock();
        let Some(index) = state.open.iter().position(|slot| slot.number == number) else { return Vec::new() };
        let slot = state.open.remove(index);
        drop(state);
        slot.map(Slot::into_last).unwrap_or_default()
    }

    /// Closes all slots, for good: nothing more can be sent.
    pub fn close_all(&self) {
        let mut state = self.state.lock();
        state.closed = true;
        let closed = std::mem::take(&mut state.open);
        drop(state);
        drop(closed);
    }

    /// Whether a slot is open.
    pub fn is_open(&self, number: u64) -> bool {
        self.state.lock().slot(number).is_some()
    }
}

impl State {
    fn slot(&mut self, number: u64) -> Option<&mut Slot> {
        self.open.iter_mut().find(|slot| slot.number == number)
    }
}

impl Slot {
    fn into_last(mut self) -> Vec<(Part, Bytes)> {
        std::mem::replace(&mut self.waiting, Waiting::of(Policy::Newest)).into_last()
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        self.audience.members.fetch_sub(1, Ordering::Relaxed);
        if !self.paused {
            self.audience.watching.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
