//! A connection as views and other threads see it.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;

use super::{driver::Driver, waker::Wake};
use crate::{
    config::ConnectionConfig,
    error::{CloseReason, ReceiveError, SendError},
    wire::message::Message,
};

/// How long a sender waits for room in the outbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Patience {
    /// The owning view: up to the send timeout.
    Owner,
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
#[derive(Clone, Debug)]
pub struct Connection {}

/// Makes a connection and the driver that will serve it. Messages may be sent at once; they wait for the driver.
pub fn open(config: Arc<ConnectionConfig>, peer: String) -> (Connection, Driver) {
    let _ = (config, peer);
    todo!()
}

impl Connection {
    /// Takes the next message, waiting at most `timeout` (`None`: for ever). Blocks the calling thread.
    /// Each message reaches exactly one taker.
    ///
    /// # Errors
    /// The time ran out, or the connection ended and every message that came before has been taken.
    pub fn receive(&self, timeout: Option<Duration>) -> Result<Message, ReceiveError> {
        let _ = timeout;
        todo!()
    }

    /// Takes the next message if one waits. Never blocks.
    ///
    /// # Errors
    /// The connection ended and every message that came before has been taken.
    pub fn receive_now(&self) -> Result<Taken, ReceiveError> {
        todo!()
    }

    /// Waits until a message or the end can be taken, without taking it. False: the time ran out.
    pub fn wait_readable(&self, timeout: Option<Duration>) -> bool {
        let _ = timeout;
        todo!()
    }

    /// Messages that wait to be taken.
    pub fn pending(&self) -> usize {
        todo!()
    }

    /// Calls `waker` once when a message or the end can be taken (at once if it already can).
    pub fn wake_when_readable(&self, waker: Arc<dyn Wake>) {
        let _ = waker;
        todo!()
    }

    /// Queues an encoded frame (see [`crate::wire::frame`]).
    ///
    /// # Errors
    /// The connection is closing or closed, or the client is too slow.
    pub fn send(&self, frame: Bytes, patience: Patience) -> Result<(), SendError> {
        let _ = (frame, patience);
        todo!()
    }

    /// Starts the closing handshake after what is queued; what arrives from now on is not delivered, what arrived
    /// before stays readable. Only the first call, or the peer's Close, counts. Never blocks.
    pub fn close(&self, code: u16, reason: &str) {
        let _ = (code, reason);
        todo!()
    }

    /// Waits until the driver has let go of the socket. False: the time ran out.
    pub fn wait_closed(&self, timeout: Option<Duration>) -> bool {
        let _ = timeout;
        todo!()
    }

    /// How it ended, or is about to: set as soon as a Close was sent or received or the peer is lost.
    pub fn close_reason(&self) -> Option<CloseReason> {
        todo!()
    }

    /// A descriptor that is readable while a message or the end waits (for `select`). Made at the first call, kept by
    /// the connection, closed with it; never read or closed by the caller.
    ///
    /// # Errors
    /// The operating system has no descriptor left.
    pub fn readiness_fd(&self) -> std::io::Result<std::os::fd::RawFd> {
        todo!()
    }

    /// From now on Pings and Pongs (and the Close) of the peer are kept for [`Connection::take_control_frames`]
    /// (a bounded number; the oldest go first).
    pub fn observe_control_frames(&self) {
        todo!()
    }

    /// The control frames kept, oldest first: opcode and payload.
    pub fn take_control_frames(&self) -> Vec<(u8, Bytes)> {
        todo!()
    }

    /// The peer's address, for logs.
    pub fn peer(&self) -> &str {
        todo!()
    }

    /// Counts of what went each way, for the log line at the close.
    pub fn counts(&self) -> Counts {
        todo!()
    }
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
    /// Messages dropped by the slow-client policy.
    pub dropped_messages: u64,
}
