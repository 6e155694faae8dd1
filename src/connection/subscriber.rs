//! One slot of a connection, as the room that fills it sees it.

use std::sync::Arc;

use bytes::Bytes;

use super::{
    handle::Connection,
    shared::Shared,
    slots::{Audience, Part, Policy, Put, SlotTally},
};

/// One slot of a connection; cheap to clone. It does not keep the connection open, and dropping it does not close the
/// slot.
#[derive(Clone)]
pub struct Subscriber {
    shared: Arc<Shared>,
    number: u64,
    tally: Arc<SlotTally>,
}

impl Connection {
    /// Opens a slot that is counted in `audience`; `None`: the connection is closing or closed.
    pub fn subscriber(&self, policy: Policy, audience: &Arc<Audience>) -> Option<Subscriber> {
        Subscriber::open(self.share(), policy, audience)
    }
}

impl Subscriber {
    fn open(shared: Arc<Shared>, policy: Policy, audience: &Arc<Audience>) -> Option<Self> {
        // The driver closes the slots for good, but only once it has seen that the outbox is closed.
        if shared.outbox.is_closed() {
            return None;
        }
        let tally = Arc::<SlotTally>::default();
        let number = shared.slots().open(policy, audience, &tally)?;
        Some(Self { shared, number, tally })
    }

    /// Opens another slot of the same connection, as [`Connection::subscriber`].
    pub fn another(&self, policy: Policy, audience: &Arc<Audience>) -> Option<Self> {
        Self::open(Arc::clone(&self.shared), policy, audience)
    }

    /// Puts an encoded frame into the slot; after [`Put::New`], [`Subscriber::wake`] has to be called. Never waits.
    pub fn put(&self, part: Part, frame: Bytes) -> Put {
        self.shared.slots().put(self.number, part, frame)
    }

    /// Starts a group in the slot, as [`Slots::start`](super::slots::Slots::start); otherwise as [`Subscriber::put`].
    pub fn start(&self, header: &[Bytes], first: Bytes) -> Put {
        self.shared.slots().start(self.number, header, first)
    }

    /// The next group does not go on with the one before.
    pub fn cut(&self) {
        self.shared.slots().cut(self.number);
    }

    /// Lets the writer look at the slot. To be called with no lock held.
    pub fn wake(&self) {
        self.shared.outbox.nudge();
    }

    /// Lets no content into the slot from now on, or again. False: it was so before, or the slot is closed.
    pub fn pause(&self, paused: bool) -> bool {
        self.shared.slots().pause(self.number, paused)
    }

    /// Closes the slot. A notice that waits in it, and content that came before that, is queued as far as there is room; the
    /// rest is dropped. A second call does nothing.
    pub fn close(&self) {
        let mut has_room = true;
        for (part, frame) in self.shared.slots().close(self.number) {
            // Content behind some that found no room may not be understood without it; a notice is.
            if !has_room && part == Part::Content {
                continue;
            }
            match self.shared.put_now(frame) {
                Ok(size) => self.shared.tally.sent(true, size),
                Err(_) => has_room = false,
            }
        }
    }

    /// Whether the slot is open: neither closed nor its connection ending.
    pub fn is_open(&self) -> bool {
        self.shared.slots().is_open(self.number)
    }

    /// What became of the content put into it.
    pub fn tally(&self) -> &SlotTally {
        &self.tally
    }

    /// Whether this is the same slot.
    pub fn is(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.shared, &other.shared) && self.number == other.number
    }
}

impl std::fmt::Debug for Subscriber {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Subscriber").field("peer", &self.shared.peer).finish_non_exhaustive()
    }
}
