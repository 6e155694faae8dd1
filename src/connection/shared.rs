//! What the handles of a connection and its driver share.

use std::{
    collections::VecDeque,
    convert::Infallible,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicBool, AtomicU64, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use parking_lot::Mutex;

use super::{
    calls::{Rest, called, is_on_one_processor},
    compression::Compression,
    direct::{Direct, DirectSlot},
    handle::{Counts, Patience},
    lending::Lent,
    mailbox::{Mailbox, PutError},
    readiness::Readiness,
    slots::Slots,
    stats::Listing,
};
use crate::{
    config::{ConnectionConfig, SlowClient},
    error::{CloseReason, ClosedBy, Fault, ReceiveError},
    wire::{
        close::{ABNORMAL, CloseFrame, TRY_AGAIN_LATER},
        frame,
        message::Message,
        offer::Agreement,
    },
};

/// Control frames kept for a caller who observes them.
const KEPT_CONTROL_FRAMES: usize = 64;

/// Frames in the outbox, whatever their size: an empty message takes memory too.
const OUTBOX_FRAMES: usize = 64 << 10;

/// Between two frames that senders write to the same socket on a single processor: what is sent faster is written together.
const DIRECT_PAUSE: Duration = Duration::from_millis(1);

pub(super) struct Shared {
    pub(super) config: Arc<ConnectionConfig>,
    pub(super) peer: String,
    /// Messages for the view. Closed as soon as nothing more will be delivered.
    pub(super) inbox: Mailbox<Message>,
    /// Encoded frames for the peer. Closed as soon as nothing more will be sent but the Close: before the inbox, or when
    /// somebody has found the inbox closed.
    pub(super) outbox: Mailbox<Bytes>,
    /// There once somebody subscribed. Read by the writer after it registered with the outbox, and set before the first
    /// nudge, so it is not missed; see [`super::slots`].
    slots: OnceLock<Slots>,
    /// Closed when the driver has let go of the socket.
    pub(super) finished: Mailbox<Infallible>,
    pub(super) readiness: Readiness,
    pub(super) direct: DirectSlot<Lent>,
    /// The driver's, from the outbox.
    pub(super) rest: Rest,
    /// Apart, because who sums up reads it longer than there is anybody who shares the rest.
    pub(super) tally: Arc<Tally>,
    /// There if it is counted in the sums of a process.
    listing: OnceLock<Listing>,
    pub(super) agreement: Option<Agreement>,
    /// There if permessage-deflate was agreed on; boxed, because most connections have none.
    pub(super) compression: Option<Box<Compression>>,
    ending: Mutex<Ending>,
    /// `None` until somebody observes them.
    control_frames: Mutex<Option<VecDeque<KeptFrame>>>,
}

/// A control frame of the peer, and how many of its messages came before it.
struct KeptFrame {
    behind: u64,
    opcode: u8,
    payload: Bytes,
}

/// How the connection ends: whoever ends it first has said so.
#[derive(Default)]
struct Ending {
    reason: Option<CloseReason>,
    close_frame: Option<Bytes>,
    fault: Option<Fault>,
}

impl Shared {
    pub(super) fn new(config: Arc<ConnectionConfig>, peer: String, agreement: Option<Agreement>) -> Self {
        let threshold_bytes = config.compression.threshold_bytes;
        let compression = agreement.map(|agreement| Box::new(Compression::new(agreement, threshold_bytes)));
        Self {
            inbox: Mailbox::new(config.inbox_messages, config.inbox_bytes),
            outbox: Mailbox::new(OUTBOX_FRAMES, config.outbox_bytes),
            slots: OnceLock::new(),
            finished: Mailbox::new(1, 0),
            readiness: Readiness::default(),
            direct: DirectSlot::new(is_on_one_processor().then_some(DIRECT_PAUSE)),
            rest: Rest::default(),
            tally: Arc::default(),
            listing: OnceLock::new(),
            agreement,
            compression,
            ending: Mutex::default(),
            control_frames: Mutex::default(),
            config,
            peer,
        }
    }

    /// Queues a frame as it is, and tells its size. An owner waits for room; for anybody else the slow-client policy holds.
    pub(super) fn queue(&self, frame: Bytes, patience: Patience) -> Result<usize, PutError<Bytes>> {
        let size = frame.len();
        if patience == Patience::Owner {
            self.rest.disturb();
            return self.outbox.put(frame, Some(self.config.send_timeout)).map(|()| size);
        }
        let displaces = patience == Patience::Other && self.config.slow_client == SlowClient::DropOldest;
        match self.put_now(frame) {
            Err(PutError::Full(frame)) if displaces => {
                let dropped = self.outbox.put_displacing(frame)?;
                self.tally.dropped(dropped.len());
                Ok(size)
            }
            outcome => outcome,
        }
    }

    /// Queues a frame as it is if there is room, and tells its size.
    pub(super) fn put_now(&self, frame: Bytes) -> Result<usize, PutError<Bytes>> {
        let size = frame.len();
        self.rest.disturb();
        self.outbox.put_now(frame).map(|()| size)
    }

    pub(super) fn slots(&self) -> &Slots {
        self.slots.get_or_init(Slots::default)
    }

    /// Moves the newest of one slot behind `frames`. False: nothing waits in any.
    pub(super) fn take_newest(&self, frames: &mut VecDeque<Bytes>) -> bool {
        let Some(slots) = self.slots.get() else { return false };
        let before = frames.len();
        let taken = slots.take(frames);
        frames.iter().skip(before).for_each(|frame| self.tally.sent(true, frame.len()));
        taken
    }

    /// Whether anything waits in a slot.
    pub(super) fn has_newest(&self) -> bool {
        self.slots.get().is_some_and(Slots::is_waiting)
    }

    /// Nothing more is sent that was not asked for.
    pub(super) fn close_slots(&self) {
        self.slots().close_all();
    }

    /// Writes a frame as it is where nothing else waits to be written and no message to be answered; else queues it if
    /// there is room. Tells its size.
    pub(super) fn write_or_put_now(&self, frame: Bytes) -> Result<usize, PutError<Bytes>> {
        let size = frame.len();
        // Whoever has a message will answer it, and the driver writes the answers in a row.
        if called() > 0 || self.inbox.is_readable() {
            return self.put_now(frame);
        }
        match self.direct.write(frame, || !self.outbox.is_closed() && self.outbox.is_empty()) {
            Direct::Written => Ok(size),
            Direct::Begun => {
                self.outbox.nudge();
                Ok(size)
            }
            Direct::Untouched(frame) => self.put_now(frame),
        }
    }

    /// Ends it from this side: the queue is written, then a Close with `code` and `reason`. False: it has ended already.
    pub(super) fn close(&self, code: u16, reason: &str) -> bool {
        let close = CloseFrame { code, reason: reason.to_owned() };
        let close_frame = frame::encode_close(Some(&close));
        self.end(CloseReason { code, reason: close.reason, by: ClosedBy::Us }, Some(close_frame))
    }

    /// Ends it because the client takes too little.
    pub(super) fn close_slow_client(&self) {
        if self.close(TRY_AGAIN_LATER, "the client reads too slowly") {
            self.tally.slow.store(true, Ordering::Relaxed);
        }
    }

    /// From now on it is counted there. False: it is counted somewhere already.
    pub(super) fn count_in(&self, listing: Listing) -> bool {
        self.listing.set(listing).is_ok()
    }

    pub(super) fn identity(&self) -> Option<u64> {
        self.listing.get().map(Listing::identity)
    }

    /// The driver is about to let go of the socket, and knows why.
    pub(super) fn count_closed(&self) {
        if let Some(listing) = self.listing.get() {
            listing.closed(self.reason_or_lost().code);
        }
    }

    /// Nothing more can come from the peer or go to it.
    pub(super) fn lose(&self) {
        self.lose_for(None);
    }

    /// As [`Shared::lose`], with what the log is to know of it.
    pub(super) fn lose_for(&self, fault: Option<Fault>) {
        self.set_ending(lost(), None, fault);
        self.close_mailboxes();
        self.outbox.close_and_clear();
    }

    /// Closes both mailboxes for a reason, which is known before anybody can see that they are closed. Only the first
    /// reason counts, and what is told of it; false: there was one.
    fn end(&self, reason: CloseReason, close_frame: Option<Bytes>) -> bool {
        let is_first = self.set_ending(reason, close_frame, None);
        self.close_mailboxes();
        is_first
    }

    fn close_mailboxes(&self) {
        self.outbox.close();
        self.close_inbox();
    }

    /// Nothing more will come from the peer, which still reads. What came before may be answered until a taker finds the
    /// end, or the time for that is over; then the Close is written behind the answers (RFC 6455 section 5.5.1 lets an
    /// endpoint finish what it is sending; dwebsocket 0.5.12 saw a Close only when it had taken what came before).
    pub(super) fn end_of_peer(&self, reason: CloseReason, close_frame: Bytes, fault: Option<Fault>) {
        self.set_ending(reason, Some(close_frame), fault);
        self.close_inbox();
    }

    fn set_ending(&self, reason: CloseReason, close_frame: Option<Bytes>, fault: Option<Fault>) -> bool {
        let mut ending = self.ending.lock();
        let is_first = ending.reason.is_none();
        if is_first {
            *ending = Ending { reason: Some(reason), close_frame, fault };
        }
        is_first
    }

    fn close_inbox(&self) {
        self.inbox.close();
        self.refresh_readiness();
    }

    /// A taker has found the inbox closed and empty: whoever answers has answered everything.
    pub(super) fn end_found(&self) -> ReceiveError {
        self.outbox.close();
        ReceiveError::Closed(self.reason_or_lost())
    }

    pub(super) fn reason(&self) -> Option<CloseReason> {
        self.ending.lock().reason.clone()
    }

    pub(super) fn fault(&self) -> Option<Fault> {
        self.ending.lock().fault.clone()
    }

    /// As [`Shared::reason`], for a mailbox that is closed. The outbox alone closes without a reason when a write has
    /// failed and what the peer sent before is still being read.
    pub(super) fn reason_or_lost(&self) -> CloseReason {
        self.reason().unwrap_or_else(lost)
    }

    /// The Close to write behind the queue.
    pub(super) fn close_frame(&self) -> Option<Bytes> {
        self.ending.lock().close_frame.clone()
    }

    /// To be called after every change of the inbox.
    pub(super) fn refresh_readiness(&self) {
        self.readiness.refresh(|| self.inbox.is_readable());
    }

    /// To be called after every message taken.
    pub(super) fn message_taken(&self) {
        self.tally.taken();
        self.refresh_readiness();
    }

    pub(super) fn observe_control_frames(&self) {
        self.control_frames.lock().get_or_insert_default();
    }

    /// Keeps a copy of a control frame, if anybody observes them. Only for the driver, which counts the messages, too.
    pub(super) fn keep_control_frame(&self, opcode: u8, payload: &[u8]) {
        if let Some(kept) = &mut *self.control_frames.lock() {
            if kept.len() == KEPT_CONTROL_FRAMES {
                kept.pop_front();
            }
            let behind = self.tally.counts().received_messages;
            kept.push_back(KeptFrame { behind, opcode, payload: Bytes::copy_from_slice(payload) });
        }
    }

    /// Takes those in front of which no message waits, all of them once nothing more is delivered.
    pub(super) fn take_control_frames(&self) -> Vec<(u8, Bytes)> {
        let mut control_frames = self.control_frames.lock();
        let Some(kept) = &mut *control_frames else { return Vec::new() };
        let over = self.inbox.is_closed() && self.inbox.is_empty();
        // A message that another thread has just taken may not be counted yet; then its frames come with the next look.
        let taken = if over { u64::MAX } else { self.tally.taken_messages.load(Ordering::Relaxed) };
        let passed = kept.partition_point(|frame| frame.behind <= taken);
        kept.drain(..passed).map(|frame| (frame.opcode, frame.payload)).collect()
    }
}

impl Drop for Shared {
    fn drop(&mut self) {
        if let Some(listing) = self.listing.get() {
            listing.forgotten();
        }
    }
}

fn lost() -> CloseReason {
    CloseReason { code: ABNORMAL, reason: String::new(), by: ClosedBy::Lost }
}

/// What went each way so far.
#[derive(Debug, Default)]
pub(super) struct Tally {
    received_messages: AtomicU64,
    received_bytes: AtomicU64,
    taken_messages: AtomicU64,
    sent_messages: AtomicU64,
    sent_bytes: AtomicU64,
    dropped_messages: AtomicU64,
    slow: AtomicBool,
}

impl Tally {
    pub(super) fn received(&self, payload_bytes: usize) {
        self.received_messages.fetch_add(1, Ordering::Relaxed);
        self.received_bytes.fetch_add(payload_bytes as u64, Ordering::Relaxed);
    }

    fn taken(&self) {
        self.taken_messages.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn sent(&self, is_message: bool, encoded_bytes: usize) {
        self.sent_messages.fetch_add(u64::from(is_message), Ordering::Relaxed);
        self.sent_bytes.fetch_add(encoded_bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn dropped(&self, messages: usize) {
        self.dropped_messages.fetch_add(messages as u64, Ordering::Relaxed);
    }

    /// Whether it was closed because the client took too little.
    pub(super) fn was_too_slow(&self) -> bool {
        self.slow.load(Ordering::Relaxed)
    }

    pub(super) fn counts(&self) -> Counts {
        Counts {
            received_messages: self.received_messages.load(Ordering::Relaxed),
            received_bytes: self.received_bytes.load(Ordering::Relaxed),
            sent_messages: self.sent_messages.load(Ordering::Relaxed),
            sent_bytes: self.sent_bytes.load(Ordering::Relaxed),
            dropped_messages: self.dropped_messages.load(Ordering::Relaxed),
        }
    }
}
