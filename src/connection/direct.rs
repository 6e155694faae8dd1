//! Frames that the sending thread writes itself, past the driver.
//!
//! A single answer costs two changes of threads when the driver has to be woken for it, and the client waits for both.
//! Where nothing stands before it, the sender may as well write it. A burst is better left to the driver, which writes
//! it together: so it is only done while nothing waits on either side, and once until the driver has come round again.
//!
//! On a single processor the driver gains nothing by writing while the sender goes on, and a loop over many sockets is done
//! sooner without it. There a sender may write again a while after the last one, whether the driver has come round or not.

use std::time::{Duration, Instant};

use bytes::{Buf, Bytes};

use super::sync::Mutex;

/// Longer frames are left to the driver: copying them would keep the sender, and the GIL in its hand, for too long.
const LONGEST_BYTES: usize = 64 << 10;

/// What takes bytes at once or not at all.
pub trait WriteNow {
    /// Writes what can be written without a wait, and tells how much; 0 also where nothing can be written any more.
    fn write_now(&self, bytes: &[u8]) -> usize;
}

/// What became of a frame.
#[derive(Debug)]
pub enum Direct {
    /// The socket has it.
    Written,
    /// The socket has the beginning; the driver has to be woken for the rest, which it will find.
    Begun,
    /// Nothing was written; the frame is given back.
    Untouched(Bytes),
}

/// Who may write: the driver, or between its writes one sender at a time.
///
/// # Order
/// The driver shuts the slot before it takes anything from the outbox, from other slots or from its own queue of control
/// frames, and opens it only when it has found all of these empty. It holds the slot when it queues a Pong, so that no
/// answer to a message behind the Ping goes before it. A sender looks at the slot and, with the lock in its hand,
/// at the outbox: when the slot is open and the outbox empty, everything that was queued before has been written whole,
/// and nothing can be taken from the outbox before the sender lets go of the lock.
///
/// A sender that has written shuts the slot behind it. The driver opens it when it next looks, which it does for each
/// message that arrives, unless others have something to do as well: a view that answers alone finds it open, and one that
/// sends a hundred messages in a row fills the outbox. What a sender has shut may also open by itself, after a pause: the
/// driver has found everything empty before and taken nothing since, or it would have shut the slot itself.
///
/// # Waiting
/// The lock is held for one write that does not block. The driver waits for it no longer than that takes; a sender that
/// finds it taken queues its frame.
#[derive(Debug)]
pub struct DirectSlot<W> {
    state: Mutex<State<W>>,
    pause: Option<Duration>,
}

#[derive(Debug)]
struct State<W> {
    /// The driver's socket while the driver lives.
    socket: Option<W>,
    turn: Turn,
    /// What the socket did not take of a frame: it goes before everything else.
    rest: Option<Bytes>,
}

/// Who writes next.
#[derive(Clone, Copy, Debug)]
enum Turn {
    /// The driver, which may have something in hand.
    Driver,
    /// A sender.
    Sender,
    /// The driver, or from this moment on a sender: one has written a pause before.
    From(Instant),
}

impl<W: WriteNow> DirectSlot<W> {
    /// A shut one. `pause` is how long after a sender has written the next one may; `None`: not before the driver opens.
    pub fn new(pause: Option<Duration>) -> Self {
        Self { state: Mutex::new(State { socket: None, turn: Turn::Driver, rest: None }), pause }
    }

    /// Lets senders write there, once the slot is open, until [`DirectSlot::take_back`].
    pub fn lend(&self, socket: W) {
        self.state.lock().socket = Some(socket);
    }

    /// From now on nobody writes there.
    pub fn take_back(&self) {
        self.state.lock().socket = None;
    }

    /// Writes a frame if the driver has nothing in hand and `nothing_waits`, which is asked under the lock.
    pub fn write(&self, mut frame: Bytes, nothing_waits: impl FnOnce() -> bool) -> Direct {
        if frame.len() > LONGEST_BYTES {
            return Direct::Untouched(frame);
        }
        let Some(mut state) = self.state.try_lock() else { return Direct::Untouched(frame) };
        let is_open = match state.turn {
            Turn::Driver => false,
            Turn::Sender => true,
            Turn::From(moment) => moment <= Instant::now(),
        };
        let Some(socket) = state.socket.as_ref().filter(|_| is_open) else {
            return Direct::Untouched(frame);
        };
        if !nothing_waits() {
            return Direct::Untouched(frame);
        }
        let written = socket.write_now(&frame);
        if written == 0 {
            // A full socket, or one that is broken: the driver will find out which.
            return Direct::Untouched(frame);
        }
        if written == frame.len() {
            state.turn = self.pause.map_or(Turn::Driver, |pause| Turn::From(Instant::now() + pause));
            return Direct::Written;
        }
        frame.advance(written);
        state.turn = Turn::Driver;
        state.rest = Some(frame);
        Direct::Begun
    }

    /// Keeps senders from writing, and takes the rest of a frame that one has begun. For the driver.
    pub fn shut(&self) -> Option<Bytes> {
        let mut state = self.state.lock();
        state.turn = Turn::Driver;
        state.rest.take()
    }

    /// Keeps senders from writing before the driver has: it has queued something, and comes to write it. For the driver.
    pub fn hold(&self) {
        self.state.lock().turn = Turn::Driver;
    }

    /// Lets senders write: the driver has nothing in hand, and is woken by what is put into the outbox.
    pub fn open(&self) {
        self.state.lock().turn = Turn::Sender;
    }
}
