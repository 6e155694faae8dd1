//! One slot of a connection, as the room that fills it sees it.

use std::sync::Arc;

use bytes::Bytes;

use super::{
    handle::Connection,
    shared::Shared,
    slots::{Audience, Part, Put, SlotTally},
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
    pub fn subscriber(&self, audience: &Arc<Audience>) -> Option<Subscriber> {
        Subscriber::open(self.share(), audience)
    }
}

impl Subscriber {
    fn open(shared: Arc<Shared>, audience: &Arc<Audience>) -> Option<Self> {
        // The driver closes the slots for good, but only once it has seen that the outbox is closed.
        if shared.outbox.is_closed() {
            return None;
        }
        let tally = Arc::<SlotTally>::default();
        let number = shared.slots().open(audience, &tally)?;
        Some(Self { shared, number, tally })
    }

    /// Opens another slot of the same connection, as [`Connection::subscriber`].
    pub fn another(&self, audience: &Arc<Audience>) -> Option<Self> {
        Self::open(Arc::clone(&self.shared), audience)
    }

    /// Puts an encoded frame into the slot; after [`Put::New`], [`Subscriber::wake`] has to be called. Never waits.
    pub fn put(&self, part: Part, frame: Bytes) -> Put {
        self.shared.slots().put(self.number, part, frame)
    }

    /// Lets the writer look at the slot. To be called with no lock held.
    pub fn wake(&self) {
        self.shared.outbox.nudge();
    }

    /// Lets no content into the slot from now on, or again. False: it was so before, or the slot is closed.
    pub fn pause(&self, paused: bool) -> bool {
        self.shared.slots().pause(self.number, paused)
    }

    /// Closes the slot. A notice that waits in it, and content that came before that, is queued if there is room; the rest
    /// is dropped. A second call does nothing.
    pub fn close(&self) {
        for (_, frame) in self.shared.slots().close(self.number).into_messages() {
            if let Ok(size) = self.shared.put_now(frame) {
                self.shared.tally.sent(true, size);
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
