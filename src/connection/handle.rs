//! A connection as views and other threads see it.

use std::{
    fmt,
    ops::AddAssign,
    os::fd::RawFd,
    sync::{Arc, Weak},
    time::Duration,
};

use bytes::Bytes;

use super::{
    calls::is_on_one_processor,
    compression::Compression,
    driver::Driver,
    mailbox::{PutError, TakeError},
    shared::Shared,
    stats::Stats,
    waker::Wake,
};
use crate::{
    config::ConnectionConfig,
    error::{CloseReason, Fault, ReceiveError, SendError},
    wire::{close::GOING_AWAY, message::Message, offer::Agreement},
};

/// How long a sender waits for room in the outbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// The owning view: up to the send timeout.
    Owner,
    /// The owning view, which has waited for so long already: not at all.
    Spent,
    /// Anybody else: not at all; a full outbox meets the slow-client policy.
    Other,
}

/// What a look into the inbox found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// The next message.
    Message(Message),
    /// Nothing waits, and the connection is open.
    Empty,
}

/// A live WebSocket, seen from anywhere; cheap to clone. No method needs a tokio context.
///
/// When the last clone is dropped nobody can receive, send or close any more, so the connection closes then, with 1001:
/// this side has gone away, which is neither an error nor a purpose fulfilled. What is queued is still sent.
#[derive(Clone)]
pub struct Connection(Arc<Handle>);

/// A connection that does not keep itself open.
#[derive(Clone)]
pub struct WeakConnection(Weak<Handle>);

struct Handle {
    shared: Arc<Shared>,
}

/// Makes a connection and the driver that will serve it. Messages may be sent at once; they wait for the driver.
/// `peer` is the peer's address, for logs.
pub fn open(config: Arc<ConnectionConfig>, peer: String) -> (Connection, Driver) {
    open_agreed(config, peer, None)
}

/// As [`open`]; the client was told in the handshake that its `agreement` to compress holds.
pub fn open_agreed(
    config: Arc<ConnectionConfig>,
    peer: String,
    agreement: Option<Agreement>,
) -> (Connection, Driver) {
    let shared = Arc::new(Shared::new(config, peer, agreement));
    (Connection(Arc::new(Handle { shared: Arc::clone(&shared) })), Driver::new(shared))
}

impl Connection {
    /// Takes the next message, waiting at most `timeout` (`None`: for ever). Blocks the calling thread.
    /// Each message reaches exactly one taker.
    ///
    /// # Errors
    /// The time ran out, or the connection ended and every message that came before has been taken.
    pub fn receive(&self, timeout: Option<Duration>) -> Result<Message, ReceiveError> {
        let shared = self.shared();
        match shared.inbox.take(timeout) {
            Ok(message) => {
                shared.message_taken();
                Ok(message)
            }
            Err(TakeError::TimedOut) => Err(ReceiveError::TimedOut),
            Err(TakeError::Closed) => Err(shared.end_found()),
        }
    }

    /// Takes the next message if one waits. Never blocks.
    ///
    /// # Errors
    /// The connection ended and every message that came before has been taken.
    pub fn receive_now(&self) -> Result<Taken, ReceiveError> {
        let shared = self.shared();
        match shared.inbox.take_now() {
            Ok(Some(message)) => {
                shared.message_taken();
                Ok(Taken::Message(message))
            }
            Ok(None) => Ok(Taken::Empty),
            Err(_) => Err(shared.end_found()),
        }
    }

    /// Waits until a message or the end can be taken, without taking it. False: the time ran out.
    pub fn wait_readable(&self, timeout: Option<Duration>) -> bool {
        self.shared().inbox.wait(timeout)
    }

    /// Messages that wait to be taken.
    pub fn pending(&self) -> usize {
        self.shared().inbox.len()
    }

    /// Calls `waker` once when a message or the end can be taken (at once if it already can).
    pub fn wake_when_readable(&self, waker: Arc<dyn Wake>) {
        self.shared().inbox.wake_when_readable(waker);
    }

    /// Queues an encoded frame (see [`crate::wire::frame`]), compressed on the calling thread where that was agreed on.
    /// Frames of one thread keep their order; those of several threads never mix. An [`Patience::Owner`] blocks while the
    /// outbox is full, nobody else ever does.
    ///
    /// # Errors
    /// The connection is closing or closed, or the client is too slow.
    pub fn send(&self, frame: Bytes, patience: Patience) -> Result<(), SendError> {
        let shared = self.shared();
        let is_message = is_message(&frame);
        let outcome = match self.compression_of(&frame) {
            Some(compression) => compression.send(shared, frame, patience),
            None => shared.queue(frame, patience),
        };
        match outcome {
            Ok(size) => {
                shared.tally.sent(is_message, size);
                Ok(())
            }
            Err(PutError::Closed(_)) => {
                shared.tally.dropped(usize::from(is_message));
                Err(SendError::Closed(shared.reason_or_lost()))
            }
            Err(PutError::Full(_)) => {
                shared.tally.dropped(usize::from(is_message));
                shared.close_slow_client();
                Err(SendError::SlowClient)
            }
        }
    }

    /// Queues an encoded frame if there is room, the connection is open and it takes little time (a long message that is to
    /// be compressed does not); else gives a frame back, for [`Connection::send`] to go on. Never blocks, and no
    /// slow-client policy is applied. A frame that nothing stands before, while no message waits to be taken and nobody
    /// else has anything to do, is written to the socket by the calling thread: an owner's, and on a single processor
    /// everybody's.
    pub fn send_now(&self, frame: Bytes, patience: Patience) -> Option<Bytes> {
        let shared = self.shared();
        let is_message = is_message(&frame);
        let outcome = match self.compression_of(&frame) {
            Some(compression) => compression.send_now(shared, frame),
            None if patience == Patience::Owner || is_on_one_processor() => shared.write_or_put_now(frame),
            None => shared.put_now(frame),
        };
        match outcome {
            Ok(size) => {
                shared.tally.sent(is_message, size);
                None
            }
            Err(PutError::Closed(frame) | PutError::Full(frame)) => Some(frame),
        }
    }

    /// Whether [`Connection::send`] would compress this frame, which takes time: some tens of microseconds for each 4 KiB.
    pub fn compresses(&self, frame: &Bytes) -> bool {
        self.compression_of(frame).is_some()
    }

    /// `None` also for a frame that will not be sent, because nothing is any more.
    fn compression_of(&self, frame: &Bytes) -> Option<&Compression> {
        let shared = self.shared();
        let compression = shared.compression.as_deref()?;
        (compression.takes(frame) && !shared.outbox.is_closed()).then_some(compression)
    }

    /// Queues an encoded frame if there is room; false: there is none, and the caller may wait for it with
    /// [`Connection::wake_when_room`]. Never blocks.
    ///
    /// # Errors
    /// The connection is closing or closed.
    pub fn try_send(&self, frame: Bytes) -> Result<bool, SendError> {
        let shared = self.shared();
        let is_message = is_message(&frame);
        let outcome = match self.compression_of(&frame) {
            Some(compression) => compression.send(shared, frame, Patience::Spent),
            None => shared.put_now(frame),
        };
        match outcome {
            Ok(size) => {
                shared.tally.sent(is_message, size);
                Ok(true)
            }
            Err(PutError::Full(_)) => Ok(false),
            Err(PutError::Closed(_)) => {
                shared.tally.dropped(usize::from(is_message));
                Err(SendError::Closed(shared.reason_or_lost()))
            }
        }
    }

    /// Calls `waker` once when there may be room in the outbox, or it is closed. Whoever was refused by
    /// [`Connection::try_send`] calls this and tries again before it waits, so that room that comes in between is not
    /// missed.
    pub fn wake_when_room(&self, waker: Arc<dyn Wake>) {
        self.shared().outbox.wake_when_room(waker);
    }

    /// Starts the closing handshake after what is queued; what arrives from now on is not delivered, what arrived
    /// before stays readable. Only the first call, or the peer's Close, counts. Never blocks.
    ///
    /// `code` must be one that may be sent (see [`crate::wire::close::may_be_sent`]); a reason of more than 123 bytes is
    /// cut on the wire.
    pub fn close(&self, code: u16, reason: &str) {
        self.shared().close(code, reason);
    }

    /// Waits until the driver has let go of the socket. False: the time ran out.
    pub fn wait_closed(&self, timeout: Option<Duration>) -> bool {
        self.shared().finished.wait(timeout)
    }

    /// How it ended, or is about to: set as soon as a Close was sent or received or the peer is lost.
    pub fn close_reason(&self) -> Option<CloseReason> {
        self.shared().reason()
    }

    /// What of the peer's doing ended it, if that was it.
    pub fn fault(&self) -> Option<Fault> {
        self.shared().fault()
    }

    /// A descriptor that is readable while a message or the end waits (for `select`). Made at the first call, kept by
    /// the connection, closed with its last clone; never read or closed by the caller. An executed program does not
    /// inherit it.
    ///
    /// # Errors
    /// The operating system has no descriptor left.
    pub fn readiness_fd(&self) -> std::io::Result<RawFd> {
        let shared = self.shared();
        shared.readiness.descriptor(|| shared.inbox.is_readable())
    }

    /// From now on Pings and Pongs (and the Close) of the peer are kept for [`Connection::take_control_frames`]
    /// (a bounded number; the oldest go first).
    pub fn observe_control_frames(&self) {
        self.shared().observe_control_frames();
    }

    /// The control frames kept, oldest first: opcode and payload. Those behind a message that waits to be taken stay.
    pub fn take_control_frames(&self) -> Vec<(u8, Bytes)> {
        self.shared().take_control_frames()
    }

    /// The peer's address, for logs.
    pub fn peer(&self) -> &str {
        &self.shared().peer
    }

    /// Counts of what went each way, for the log line at the close.
    pub fn counts(&self) -> Counts {
        self.shared().tally.counts()
    }

    /// Counts it among the WebSockets of a process. Only the first call counts.
    pub fn count_in(&self, stats: &Arc<Stats>) {
        stats.opened(&self.0.shared);
    }

    /// What tells it from the others that are counted with it, as in [`super::stats::OpenSocket`]; `None`: it is not counted.
    pub fn identity(&self) -> Option<u64> {
        self.shared().identity()
    }

    /// For a list of connections that must not keep them open.
    pub fn downgrade(&self) -> WeakConnection {
        WeakConnection(Arc::downgrade(&self.0))
    }

    fn shared(&self) -> &Shared {
        &self.0.shared
    }

    pub(super) fn share(&self) -> Arc<Shared> {
        Arc::clone(&self.0.shared)
    }
}

impl WeakConnection {
    /// The connection, while anybody else still has it.
    pub fn upgrade(&self) -> Option<Connection> {
        self.0.upgrade().map(Connection)
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.shared.readiness.close();
        self.shared.close(GOING_AWAY, "");
    }
}

impl fmt::Debug for Connection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let shared = self.shared();
        formatter
            .debug_struct("Connection")
            .field("peer", &shared.peer)
            .field("inbox", &shared.inbox)
            .field("outbox", &shared.outbox)
            .field("close_reason", &shared.reason())
            .finish_non_exhaustive()
    }
}

impl fmt::Debug for WeakConnection {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("WeakConnection")
    }
}

/// The fourth bit of the opcode marks a control frame (RFC 6455 section 5.2).
fn is_message(frame: &Bytes) -> bool {
    frame.first().is_some_and(|first| first & 0x08 == 0)
}

/// Messages and payload bytes each way.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages received from the peer.
    pub received_messages: u64,
    /// Payload bytes received.
    pub received_bytes: u64,
    /// Messages queued for the peer.
    pub sent_messages: u64,
    /// Encoded bytes queued.
    pub sent_bytes: u64,
    /// Messages that were not queued, or dropped from the queue by the slow-client policy.
    pub dropped_messages: u64,
}

impl AddAssign for Counts {
    fn add_assign(&mut self, other: Self) {
        self.received_messages += other.received_messages;
        self.received_bytes += other.received_bytes;
        self.sent_messages += other.sent_messages;
        self.sent_bytes += other.sent_bytes;
        self.dropped_messages += other.dropped_messages;
    }
}
