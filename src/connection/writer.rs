//! The writing half of a driver.

use std::{
    collections::VecDeque,
    io::IoSlice,
    pin::Pin,
    task::{Context, Poll, ready},
};

use bytes::{Buf, Bytes, BytesMut};
use tokio::{io::AsyncWrite, time::Instant};

use super::{
    calls::{called, is_on_one_processor},
    flight::Flight,
    shared::Shared,
};
use crate::wire::frame;

/// What is taken from the outbox at once, to be written together.
const BATCH_FRAMES: usize = 1024;
const BATCH_BYTES: usize = 64 << 10;

/// Shorter frames are copied together; longer ones are written from where they are.
const COPIED_BYTES: usize = 4 << 10;

/// Pieces of one vectored write.
const SLICES: usize = 32;

/// Pongs that may wait for room in the socket. RFC 6455 section 5.5.3 allows to answer only the latest Ping, so the
/// oldest go first; the bound leaves an answer to each Ping of a burst, which is what peers expect.
const WAITING_PONGS: usize = 64;

/// What a look at the socket brought.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Wrote {
    /// Some bytes.
    Bytes,
    /// The Close, as the last frame, and everything before it.
    Close,
    /// An error: nothing more can be written.
    Broken,
}

/// Writes what is queued, oldest first, and the newest of the slots in turns with it; control frames before the next batch
/// of messages. Beside the outbox it holds one batch: at most 64 KiB, or one longer frame, or what one slot held. It holds
/// no buffer while nothing is queued.
#[derive(Debug, Default)]
pub(super) struct Writer {
    pongs: VecDeque<Bytes>,
    ping: Ping,
    /// The batch being written. The front one may have been written in part.
    frames: VecDeque<Bytes>,
    unflushed: bool,
    close: Close,
    /// Whether the slots have their turn before the outbox.
    turn_of_slots: bool,
    /// What of slots is on its way; there once anything was.
    flight: Option<Box<Flight>>,
    slot: Slot,
    /// Pongs stay unread, so that none is waited for.
    is_deaf: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Ping {
    #[default]
    None,
    Waiting,
    InBatch,
}

/// Whether senders may have written to the socket since the last batch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Slot {
    #[default]
    Shut,
    Open,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Close {
    #[default]
    None,
    InBatch,
    Written,
}

impl Writer {
    /// Answers a Ping. Does nothing once the Close is on its way (RFC 6455 section 5.5.1).
    pub(super) fn pong(&mut self, payload: &[u8]) {
        if self.close == Close::None {
            if self.pongs.len() == WAITING_PONGS {
                self.pongs.pop_front();
            }
            self.pongs.push_back(frame::encode_pong(payload));
        }
    }

    /// Queues a Ping, unless one still waits.
    pub(super) fn ping(&mut self) {
        if self.close == Close::None && self.ping == Ping::None {
            self.ping = Ping::Waiting;
        }
    }

    /// A Pong has come. True: it answers a Ping of the writer's own, and is nobody else's business.
    pub(super) fn answered(&mut self, payload: &[u8]) -> bool {
        self.flight.as_mut().is_some_and(|flight| flight.answered(payload, Instant::now()))
    }

    /// Whether what the peer sends is left unread for now.
    pub(super) fn set_deaf(&mut self, is_deaf: bool) {
        self.is_deaf = is_deaf;
    }

    /// Whether the socket has not taken the whole Ping yet.
    pub(super) fn holds_ping(&self) -> bool {
        self.ping != Ping::None
    }

    /// Whether anything of a slot was ever written.
    pub(super) fn took_newest(&self) -> bool {
        self.flight.is_some()
    }

    /// Writes once. Pending: nothing is queued, or the socket has no room.
    pub(super) fn poll<S>(
        &mut self,
        socket: &mut S,
        shared: &Shared,
        context: &mut Context<'_>,
    ) -> Poll<Wrote>
    where
        S: AsyncWrite + Unpin,
    {
        if self.frames.is_empty() {
            self.take_batch(shared, context);
        }
        if self.frames.is_empty() {
            if self.unflushed {
                match ready!(Pin::new(socket).poll_flush(context)) {
                    Ok(()) => self.unflushed = false,
                    Err(_) => return Poll::Ready(Wrote::Broken),
                }
            }
            if self.close == Close::InBatch {
                self.close = Close::Written;
                return Poll::Ready(Wrote::Close);
            }
            return Poll::Pending;
        }
        match ready!(self.poll_write(socket, context)) {
            Ok(written) if written > 0 => {
                self.advance(written);
                Poll::Ready(Wrote::Bytes)
            }
            // Whatever the error is, a stream that stopped in the middle of a frame cannot be taken up again.
            Ok(_) | Err(_) => Poll::Ready(Wrote::Broken),
        }
    }

    fn take_batch(&mut self, shared: &Shared, context: &Context<'_>) {
        if self.close != Close::None {
            return;
        }
        shared.rest.end();
        if std::mem::take(&mut self.slot) == Slot::Open {
            self.frames.extend(shared.direct.shut());
        }
        self.frames.append(&mut self.pongs);
        if self.ping == Ping::Waiting {
            self.frames.push_back(frame::encode_ping(&[]));
            self.ping = Ping::InBatch;
        }
        // In turns, so that neither the queue nor the slots wait for more than one batch of the other.
        if self.turn_of_slots && self.take_newest(shared) {
            return;
        }
        match shared.outbox.poll_take_many(context, &mut self.frames, BATCH_FRAMES, BATCH_BYTES) {
            Poll::Ready(true) => self.turn_of_slots = true,
            // Only now that the outbox will wake the task: what is put from here on is nudged for.
            Poll::Pending => {
                self.take_newest(shared);
            }
            Poll::Ready(false) => {
                if let Some(close_frame) = shared.close_frame() {
                    self.frames.push_back(close_frame);
                    self.close = Close::InBatch;
                }
            }
        }
        if self.frames.is_empty() {
            shared.rest.begin();
            // One may be called: whoever answers the message that has just come. On a single processor a loop may come to this
            // socket long after the driver; it looks itself whether anybody is called then.
            if called() <= 1 || is_on_one_processor() {
                shared.direct.open();
                self.slot = Slot::Open;
            }
        }
        gather(&mut self.frames);
    }

    fn take_newest(&mut self, shared: &Shared) -> bool {
        self.turn_of_slots = false;
        // What is held needs no nudge: the Pong that makes room wakes the task, which reads before it writes.
        if let Some(flight) = self.flight.as_mut().filter(|flight| !self.is_deaf && !flight.has_room()) {
            if shared.has_newest() {
                flight.holds();
            }
            return false;
        }
        let first = self.frames.len();
        if !shared.take_newest(&mut self.frames) {
            return false;
        }
        let bytes = self.frames.iter().skip(first).map(Bytes::len).sum();
        let (flight, now) = (self.flight.get_or_insert_default(), Instant::now());
        if let Some(ping) = flight.before(bytes, now) {
            self.frames.insert(first, ping);
        }
        self.frames.extend(flight.behind(bytes, now));
        true
    }

    fn poll_write<S>(&mut self, socket: &mut S, context: &mut Context<'_>) -> Poll<std::io::Result<usize>>
    where
        S: AsyncWrite + Unpin,
    {
        self.unflushed = true;
        let socket = Pin::new(socket);
        if self.frames.len() > 1 && socket.is_write_vectored() {
            let mut slices = [IoSlice::new(&[]); SLICES];
            for (slice, frame) in slices.iter_mut().zip(&self.frames) {
                *slice = IoSlice::new(frame);
            }
            let used = SLICES.min(self.frames.len());
            socket.poll_write_vectored(context, &slices[..used])
        } else {
            socket.poll_write(context, &self.frames[0])
        }
    }

    fn advance(&mut self, mut written: usize) {
        while let Some(front) = self.frames.front_mut() {
            if written < front.len() {
                front.advance(written);
                return;
            }
            written -= front.len();
            self.frames.pop_front();
        }
        if self.ping == Ping::InBatch {
            self.ping = Ping::None;
        }
        // What a burst needed is given back; a single frame always fits.
        if self.frames.capacity() > 4 || self.pongs.capacity() > 0 {
            self.frames.shrink_to(4);
            self.pongs.shrink_to(0);
        }
    }
}

/// Copies neighbours together that are short: one long write costs less than many short slices.
fn gather(frames: &mut VecDeque<Bytes>) {
    if frames.len() < 2 {
        return;
    }
    let is_short = |frame: &Bytes| frame.len() < COPIED_BYTES;
    let short_bytes: usize = frames.iter().filter(|frame| is_short(frame)).map(Bytes::len).sum();
    if short_bytes == 0 {
        return;
    }
    let mut run = BytesMut::with_capacity(short_bytes);
    for frame in std::mem::take(frames) {
        if is_short(&frame) {
            run.extend_from_slice(&frame);
            continue;
        }
        if !run.is_empty() {
            frames.push_back(run.split().freeze());
        }
        frames.push_back(frame);
    }
    if !run.is_empty() {
        frames.push_back(run.freeze());
    }
}
