//! The reading half of a driver.

use std::{
    collections::VecDeque,
    io,
    mem::MaybeUninit,
    pin::{Pin, pin},
    task::{Context, Poll, ready},
};

use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, ReadBuf};

use super::{
    mailbox::{Moved, Weigh},
    shared::Shared,
    writer::Writer,
};
use crate::{
    error::ProtocolError,
    wire::{
        close::CloseFrame,
        protocol::{Event, Protocol},
    },
};

/// Messages taken out of the bytes read before they are put into the inbox together.
const BATCH_MESSAGES: usize = 256;

/// Bytes of messages after which no more are taken: a few bytes read can be inflated to very many.
const BATCH_BYTES: usize = 256 << 10;

/// What is read onto the stack, so that a connection that says little needs no buffer.
const SHORT_READ_BYTES: usize = 4 << 10;

/// What is read at once from a peer that says much, and how far a buffer grows ahead of the bytes that have arrived.
const LONG_READ_BYTES: usize = 64 << 10;

/// Asked for beyond the end of a frame: a read that brings less than it might have tells the runtime that there is nothing
/// more, and spares the system call that would find that out.
const BEYOND_BYTES: usize = 16;

/// What a look at the socket brought.
#[derive(Debug)]
pub(super) enum Heard {
    /// Bytes; the messages in them are on their way into the inbox.
    Bytes,
    /// The peer's Close. Every message before it is in the inbox.
    Close(Option<CloseFrame>),
    /// Something RFC 6455 forbids. Every message before it is in the inbox.
    Violation(ProtocolError),
    /// The end of the stream, or an error: nothing more can be read.
    Nothing,
}

/// What was in the bytes that had been read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Found {
    /// No whole frame.
    Nothing,
    /// Messages or control frames.
    Some,
    /// So many bytes of messages, or so much to inflate, that there may well be more.
    Much,
}

/// Reads while the inbox has room and leaves the rest to TCP, which then makes the peer wait. That holds up the peer's
/// Pings and its Close as well: what stands behind unread messages is not seen.
///
/// Holds no buffer while it waits for the first byte of a frame.
#[derive(Debug)]
pub(super) struct Reader {
    protocol: Protocol,
    input: BytesMut,
    /// Messages that did not fit into the inbox yet.
    received: VecDeque<crate::wire::message::Message>,
    /// What ends the reading, once `received` is delivered.
    end: Option<Heard>,
    ended: bool,
    stalled: bool,
    /// The inbox has room for a byte: nobody else puts anything there.
    has_room: bool,
    /// What is read at once.
    read_bytes: usize,
    /// What has been read since the peer paused.
    arrived_bytes: usize,
}

impl Reader {
    /// `early` is what came right behind the handshake.
    pub(super) fn new(protocol: Protocol, early: Bytes) -> Self {
        Self {
            protocol,
            input: BytesMut::from(early),
            received: VecDeque::new(),
            end: None,
            ended: false,
            stalled: false,
            has_room: false,
            read_bytes: SHORT_READ_BYTES,
            arrived_bytes: 0,
        }
    }

    /// Whether it waits for room in the inbox and not for the peer.
    pub(super) fn is_stalled(&self) -> bool {
        self.stalled
    }

    /// Delivers, parses, and reads once. Pending: there is no room, or the peer says nothing. After anything but
    /// [`Heard::Bytes`] it stays pending for ever.
    pub(super) fn poll<S>(
        &mut self,
        socket: &mut S,
        shared: &Shared,
        writer: &mut Writer,
        context: &mut Context<'_>,
    ) -> Poll<Heard>
    where
        S: AsyncRead + Unpin,
    {
        if self.ended {
            return Poll::Pending;
        }
        loop {
            self.stalled = !self.deliver(shared, context);
            if self.stalled {
                return Poll::Pending;
            }
            if let Some(end) = self.end.take() {
                self.ended = true;
                self.input = BytesMut::new();
                return Poll::Ready(end);
            }
            match self.parse(shared, writer) {
                Found::Nothing => break,
                Found::Some => {}
                // Other tasks get their turn before more is inflated.
                Found::Much => {
                    self.stalled = !self.deliver(shared, context);
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
            }
        }
        if !self.has_room {
            self.stalled = shared.inbox.poll_room(context, 1).is_pending();
            if self.stalled {
                return Poll::Pending;
            }
            self.has_room = true;
        }
        match ready!(self.poll_read(socket, context)) {
            Ok(read) if read > 0 => {
                self.parse(shared, writer);
                self.stalled = !self.deliver(shared, context);
                Poll::Ready(Heard::Bytes)
            }
            Ok(_) | Err(_) => {
                self.ended = true;
                Poll::Ready(Heard::Nothing)
            }
        }
    }

    /// Puts what was received into the inbox, with one wake for all of it. False: there was no room for everything; the
    /// task is woken when there is.
    fn deliver(&mut self, shared: &Shared, context: &Context<'_>) -> bool {
        while let Some(first) = self.received.front() {
            let weight = first.weight();
            match shared.inbox.put_many_now(&mut self.received) {
                Ok(Moved { items: 0, .. }) if shared.inbox.poll_room(context, weight).is_pending() => {
                    return false;
                }
                Ok(Moved { items: 0, .. }) => {}
                Ok(Moved { leaves_room, .. }) => {
                    self.has_room = leaves_room;
                    shared.refresh_readiness();
                }
                // This side has closed: what arrives from then on is not delivered.
                Err(_) => self.received.clear(),
            }
        }
        // Small bursts reuse the room; what a large one needed is given back.
        if self.received.capacity() > 8 {
            self.received.shrink_to(8);
        }
        true
    }

    /// Takes messages out of the input until there are enough for one delivery.
    fn parse(&mut self, shared: &Shared, writer: &mut Writer) -> Found {
        let mut found = Found::Nothing;
        let mut bytes = 0;
        while self.received.len() < BATCH_MESSAGES && self.end.is_none() {
            found = match self.protocol.receive_some(&mut self.input) {
                Ok(None) if self.protocol.has_more() => return Found::Much,
                Ok(None) => break,
                Ok(Some(Event::Message(message))) => {
                    bytes += message.payload.len();
                    shared.tally.received(message.payload.len());
                    self.received.push_back(message);
                    if bytes >= BATCH_BYTES {
                        return Found::Much;
                    }
                    Found::Some
                }
                Ok(Some(Event::Ping(payload))) => {
                    shared.keep_control_frame(0x9, &payload);
                    shared.direct.hold();
                    writer.pong(&payload);
                    Found::Some
                }
                Ok(Some(Event::Pong(payload))) => {
                    if !writer.answered(&payload) {
                        shared.keep_control_frame(0xA, &payload);
                    }
                    Found::Some
                }
                Ok(Some(Event::Close(frame))) => {
                    shared.keep_control_frame(0x8, &close_payload(frame.as_ref()));
                    self.end = Some(Heard::Close(frame));
                    Found::Some
                }
                Err(error) => {
                    self.end = Some(Heard::Violation(error));
                    Found::Some
                }
            };
        }
        found
    }

    fn poll_read<S>(&mut self, socket: &mut S, context: &mut Context<'_>) -> Poll<io::Result<usize>>
    where
        S: AsyncRead + Unpin,
    {
        let missing = self.protocol.missing_bytes(&self.input);
        let wanted = if missing > 0 { missing + BEYOND_BYTES } else { 0 };
        let wanted = wanted.min(LONG_READ_BYTES.max(self.input.len())).max(self.read_bytes);
        let (read, offered) = if wanted <= SHORT_READ_BYTES {
            (self.read_short(socket, context), SHORT_READ_BYTES)
        } else {
            self.input.reserve(wanted);
            let offered = self.input.capacity() - self.input.len();
            (pin!(socket.read_buf(&mut self.input)).poll(context), offered)
        };
        match read {
            Poll::Ready(Ok(read)) => {
                self.arrived_bytes = self.arrived_bytes.saturating_add(read);
                if read == offered {
                    self.read_bytes = (self.read_bytes * 4).min(LONG_READ_BYTES);
                }
            }
            Poll::Ready(Err(_)) => {}
            Poll::Pending => self.pause(),
        }
        read
    }

    /// The peer has paused: it is taken to say as much the next time, which is then read in one go.
    fn pause(&mut self) {
        if self.arrived_bytes > 0 {
            // More than that by a little: see [`BEYOND_BYTES`].
            let expected =
                (self.arrived_bytes.min(LONG_READ_BYTES) + BEYOND_BYTES).next_multiple_of(SHORT_READ_BYTES);
            self.read_bytes = expected.min(LONG_READ_BYTES);
            self.arrived_bytes = 0;
        }
        self.let_go();
    }

    fn read_short<S>(&mut self, socket: &mut S, context: &mut Context<'_>) -> Poll<io::Result<usize>>
    where
        S: AsyncRead + Unpin,
    {
        let mut chunk = [MaybeUninit::uninit(); SHORT_READ_BYTES];
        let mut chunk = ReadBuf::uninit(&mut chunk);
        ready!(Pin::new(socket).poll_read(context, &mut chunk))?;
        self.input.extend_from_slice(chunk.filled());
        Poll::Ready(Ok(chunk.filled().len()))
    }

    /// Gives memory back before a pause whose length nobody knows.
    fn let_go(&mut self) {
        self.protocol.let_go();
        if self.input.is_empty() {
            self.input = BytesMut::new();
        } else if self.input.len() <= SHORT_READ_BYTES && self.input.capacity() > 2 * SHORT_READ_BYTES {
            self.input = BytesMut::from(&self.input[..]);
        }
    }
}

/// A Close's payload as it came (RFC 6455 section 5.5.1).
fn close_payload(frame: Option<&CloseFrame>) -> Vec<u8> {
    frame.map(|frame| [&frame.code.to_be_bytes(), frame.reason.as_bytes()].concat()).unwrap_or_default()
}
