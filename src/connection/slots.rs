//! What waits beside the outbox of a connection: messages of which only the newest counts.
//!
//! A slot belongs to one series of messages. It holds one message of the series and one notice about it, each until it
//! is taken or a newer one replaces it, so a slow client has no backlog, and nobody waits for it.
//!
//! No wake-up is lost. The writer registers with the outbox first and looks at the slots then; who puts a message puts it
//! first and calls [`Mailbox::nudge`](super::mailbox::Mailbox::nudge) then. If the registration came before the nudge, the
//! nudge finds the writer and wakes it; if it came after, the lock of the outbox orders the put before the look, which
//! finds the message. A put that replaces a message needs no nudge: the one of the message before it is still to come, or
//! the writer is still to look.

use std::{
    collections::VecDeque,
    sync::{
        Arc,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use bytes::Bytes;

use super::sync::Mutex;

/// What a message is to its series.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// One of the series; a newer one makes it worthless.
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

    /// Content that was replaced before the writer took it.
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
    /// The slot is paused.
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
    waiting: Newest,
    paused: bool,
    tally: Arc<SlotTally>,
    audience: Arc<Audience>,
}

impl Slots {
    /// Opens a slot and gives its number; `None`: the connection is ending.
    pub fn open(&self, audience: &Arc<Audience>, tally: &Arc<SlotTally>) -> Option<u64> {
        let mut state = self.state.lock();
        if state.closed {
            return None;
        }
        state.issued += 1;
        let number = state.issued;
        audience.members.fetch_add(1, Ordering::Relaxed);
        audience.watching.fetch_add(1, Ordering::Relaxed);
        let (tally, audience) = (Arc::clone(tally), Arc::clone(audience));
        state.open.push_back(Slot { number, waiting: Newest::default(), paused: false, tally, audience });
        Some(number)
    }

    /// Puts a message into a slot. Never waits.
    pub fn put(&self, number: u64, part: Part, message: Bytes) -> Put {
        let mut state = self.state.lock();
        let Some(slot) = state.slot(number) else { return Put::Gone };
        if slot.paused && part == Part::Content {
            return Put::Ignored;
        }
        let was_empty = slot.waiting.is_empty();
        if slot.waiting.put(part, message) && part == Part::Content {
            slot.tally.skipped.fetch_add(1, Ordering::Relaxed);
        }
        if was_empty { Put::New } else { Put::Behind }
    }

    /// Moves what waits in one slot behind `messages`, for the writer; slots take turns. False: nothing waits in any.
    pub fn take(&self, messages: &mut VecDeque<Bytes>) -> bool {
        let mut state = self.state.lock();
        let Some(index) = state.open.iter().position(|slot| !slot.waiting.is_empty()) else { return false };
        let Some(mut slot) = state.open.remove(index) else { return false };
        let waiting = std::mem::take(&mut slot.waiting);
        slot.tally.sent.fetch_add(u64::from(waiting.content.is_some()), Ordering::Relaxed);
        messages.extend(waiting.into_messages().map(|(_, message)| message));
        state.open.push_back(slot);
        true
    }

    /// Lets no content into a slot from now on, or again. False: it was so before, or the slot is closed.
    pub fn pause(&self, number: u64, paused: bool) -> bool {
        let mut state = self.state.lock();
        let Some(slot) = state.slot(number).filter(|slot| slot.paused != paused) else { return false };
        slot.paused = paused;
        if paused {
            slot.waiting.content = None;
            slot.audience.watching.fetch_sub(1, Ordering::Relaxed);
        } else {
            slot.audience.watching.fetch_add(1, Ordering::Relaxed);
        }
        true
    }

    /// Closes a slot. Gives back the notice that waits in it, and content that came before that.
    pub fn close(&self, number: u64) -> Newest {
        let mut state = self.state.lock();
        let Some(index) = state.open.iter().position(|slot| slot.number == number) else {
            return Newest::default();
        };
        let slot = state.open.remove(index);
        drop(state);
        let mut waiting = slot.map(|mut slot| std::mem::take(&mut slot.waiting)).unwrap_or_default();
        if !waiting.notice_is_last {
            waiting.content = None;
        }
        waiting
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

impl Drop for Slot {
    fn drop(&mut self) {
        self.audience.members.fetch_sub(1, Ordering::Relaxed);
        if !self.paused {
            self.audience.watching.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
