//! The one task of a connection.

use std::{
    fmt,
    future::poll_fn,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, Waker, ready},
    thread,
    time::Duration,
};

use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::{Instant, Sleep, sleep_until},
};

use super::{
    clock::{Alarm, Clock},
    lending::Lending,
    reader::{Heard, Reader},
    shared::Shared,
    socket::Socket,
    writer::{Writer, Wrote},
};
use crate::{
    error::{CloseReason, ClosedBy, Fault, ProtocolError},
    wire::{
        close::{CloseFrame, NO_STATUS},
        deflate::Inflater,
        frame,
        protocol::Protocol,
    },
};

/// Reads and writes in a row before other tasks get their turn.
const ROUNDS: usize = 32;

/// Serves one socket. Dropped without being run, or while it runs (its task is aborted or panics), its connection is
/// lost (1006).
pub struct Driver {
    shared: Arc<Shared>,
}

impl Driver {
    pub(super) fn new(shared: Arc<Shared>) -> Self {
        Self { shared }
    }

    /// How long its owner has patience with the peer.
    pub(super) fn send_timeout(&self) -> Duration {
        self.shared.config.send_timeout
    }

    /// Reads, writes, pings and closes until the connection has ended and the socket is shut down.
    /// `early` is what the client sent right behind its handshake.
    ///
    /// Needs a tokio runtime with a clock. Every wait for the peer is bounded: a Ping's answer by `ping_timeout`, the
    /// Close and the end of the stream by `close_timeout` each, what is queued before the Close by `close_timeout`
    /// without a byte taken and by `send_timeout` in all.
    pub async fn run<S>(self, socket: S, early: Bytes)
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        self.serve(socket, early, |_| ()).await;
    }

    /// As [`Driver::run`]; senders may write to the socket themselves (see [`Connection::send_now`]).
    ///
    /// [`Connection::send_now`]: super::Connection::send_now
    pub async fn run_socket(self, socket: Socket, early: Bytes) {
        let lend = |shared: &Arc<Shared>, socket: &Socket| Some(Lending::begin(shared, socket));
        self.drive(socket, early, Socket::hold_little, lend).await;
    }

    /// As [`Driver::run`]. `hold_little` is called once the connection watches a series of which only the newest counts: it
    /// tells the operating system to hold little of what is not sent yet.
    pub(crate) async fn serve<S>(self, socket: S, early: Bytes, hold_little: fn(&S))
    where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        self.drive(socket, early, hold_little, |_, _| None).await;
    }

    async fn drive<S>(
        self,
        socket: S,
        early: Bytes,
        hold_little: fn(&S),
        lend: fn(&Arc<Shared>, &S) -> Option<Lending>,
    ) where
        S: AsyncRead + AsyncWrite + Unpin + Send,
    {
        let config = Arc::clone(&self.shared.config);
        let protocol = match self.shared.agreement {
            Some(agreement) => Protocol::with_inflater(config.max_message_bytes, Inflater::new(agreement)),
            None => Protocol::new(config.max_message_bytes),
        };
        let mut session = Session {
            _lending: lend(&self.shared, &socket),
            socket,
            reader: Reader::new(protocol, early),
            writer: Writer::default(),
            clock: Clock::new(config, Instant::now()),
            phase: Phase::Open,
            asker: None,
            peer_has_ended: false,
            hold_little: Some(hold_little),
            driver: self,
        };
        let mut sleep = pin!(sleep_until(session.clock.first_alarm()));
        poll_fn(|context| session.poll(sleep.as_mut(), context)).await;
    }
}

impl Drop for Driver {
    fn drop(&mut self) {
        self.shared.lose_for(thread::panicking().then_some(Fault::Panic));
        self.shared.close_slots();
        self.shared.rest.end();
        // Before anybody can see that it is over.
        self.shared.count_closed();
        self.shared.finished.close();
    }
}

impl fmt::Debug for Driver {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Driver").field("peer", &self.shared.peer).finish_non_exhaustive()
    }
}

/// How far the end has come on this side. Each phase follows the one before it, or is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Frames go both ways; or the peer has ended, and what it said before is still being answered.
    Open,
    /// The outbox is closed; what is in it and the Close are being written.
    Flushing,
    /// A write failed. What the peer sent before is still read: it may well be messages and a Close.
    Broken,
    /// The Close has been written; the peer's is awaited.
    Awaiting,
    /// Neither side has more to say: the end of the stream is being written.
    ShuttingDown,
    /// The peer's end of the stream is awaited. The server closes first (RFC 6455 section 7.1.1), and does not close
    /// with bytes unread, because the reset that follows could overtake the Close.
    Lingering,
    /// The socket can be dropped.
    Over,
}

struct Session<S> {
    // Dropped before the socket, which it lends to others.
    _lending: Option<Lending>,
    // Dropped before the driver, so that whoever waits for the end finds the descriptor closed.
    socket: S,
    reader: Reader,
    writer: Writer,
    clock: Clock,
    phase: Phase,
    /// Who is woken when the outbox is closed.
    asker: Option<Waker>,
    /// The peer has sent a Close, or something after which nothing can be understood.
    peer_has_ended: bool,
    /// Called once, when the first message of a slot is written.
    hold_little: Option<fn(&S)>,
    driver: Driver,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Session<S> {
    fn poll(&mut self, mut sleep: Pin<&mut Sleep>, context: &mut Context<'_>) -> Poll<()> {
        let mut rounds = 0;
        loop {
            let moved = rounds < ROUNDS && self.step(context);
            rounds += 1;
            if self.phase == Phase::Over {
                return Poll::Ready(());
            }
            if moved {
                continue;
            }
            if self.poll_alarm(sleep.as_mut(), context).is_pending() {
                if rounds > ROUNDS {
                    context.waker().wake_by_ref();
                }
                return Poll::Pending;
            }
        }
    }

    /// Reads once and writes once. False: neither was possible, and the task is woken when one is.
    fn step(&mut self, context: &mut Context<'_>) -> bool {
        if self.phase == Phase::Open && self.poll_closed(context).is_ready() {
            self.phase = Phase::Flushing;
            self.driver.shared.close_slots();
            self.clock.begin_flush();
        }
        match self.phase {
            Phase::Open | Phase::Flushing => {
                // Both in every round, so that neither waits for the other.
                let heard = self.read(context);
                heard | self.write(context)
            }
            Phase::Broken | Phase::Awaiting => self.read(context),
            Phase::ShuttingDown => self.shut_down(context),
            Phase::Lingering => self.linger(context),
            Phase::Over => false,
        }
    }

    /// Ready once nothing more is to be sent.
    fn poll_closed(&mut self, context: &mut Context<'_>) -> Poll<()> {
        let outbox = &self.driver.shared.outbox;
        // A task that has asked once is woken for the close, whenever that comes.
        if self.asker.as_ref().is_some_and(|asker| asker.will_wake(context.waker())) {
            return if outbox.is_closed() { Poll::Ready(()) } else { Poll::Pending };
        }
        self.asker = Some(context.waker().clone());
        outbox.poll_closed(context)
    }

    fn read(&mut self, context: &mut Context<'_>) -> bool {
        let shared = &*self.driver.shared;
        let Poll::Ready(heard) = self.reader.poll(&mut self.socket, shared, &mut self.writer, context) else {
            return false;
        };
        match heard {
            Heard::Bytes if self.phase == Phase::Broken => self.clock.begin_wait(),
            Heard::Bytes => self.clock.heard(),
            Heard::Close(frame) => {
                shared.end_of_peer(close_of_peer(frame.as_ref()), frame::encode_close(frame.as_ref()), None);
                self.peer_ended();
            }
            Heard::Violation(error) => {
                let (reason, close_frame) = close_for(&error);
                shared.end_of_peer(reason, close_frame, Some(Fault::Violation(error)));
                self.peer_ended();
            }
            Heard::Nothing => self.lose(),
        }
        true
    }

    fn write(&mut self, context: &mut Context<'_>) -> bool {
        // Reading may just have ended it all.
        if !matches!(self.phase, Phase::Open | Phase::Flushing) {
            return false;
        }
        let shared = &*self.driver.shared;
        self.writer.set_deaf(self.reader.is_stalled());
        let Poll::Ready(wrote) = self.writer.poll(&mut self.socket, shared, context) else {
            return false;
        };
        if self.writer.took_newest()
            && let Some(hold_little) = self.hold_little.take()
        {
            hold_little(&self.socket);
        }
        match wrote {
            Wrote::Bytes => self.clock.wrote(self.writer.holds_ping()),
            Wrote::Close => {
                self.phase = if self.peer_has_ended { Phase::ShuttingDown } else { Phase::Awaiting };
                self.clock.begin_wait();
            }
            Wrote::Broken if self.peer_has_ended => self.lose(),
            Wrote::Broken => {
                shared.outbox.close_and_clear();
                shared.close_slots();
                self.phase = Phase::Broken;
                self.clock.begin_wait();
            }
        }
        true
    }

    fn peer_ended(&mut self) {
        self.peer_has_ended = true;
        self.driver.shared.close_slots();
        match self.phase {
            Phase::Awaiting => {
                self.phase = Phase::ShuttingDown;
                self.clock.begin_wait();
            }
            // Nothing can be answered.
            Phase::Broken => self.lose(),
            Phase::Open => self.clock.begin_answering(),
            _ => {}
        }
    }

    /// Gives up the socket. A reason that is already known stays.
    fn lose(&mut self) {
        self.driver.shared.lose();
        self.phase = Phase::Over;
    }

    fn shut_down(&mut self, context: &mut Context<'_>) -> bool {
        let Poll::Ready(outcome) = Pin::new(&mut self.socket).poll_shutdown(context) else {
            return false;
        };
        self.phase = if outcome.is_ok() { Phase::Lingering } else { Phase::Over };
        true
    }

    fn linger(&mut self, context: &mut Context<'_>) -> bool {
        let mut discarded = [std::mem::MaybeUninit::uninit(); 4096];
        let mut discarded = ReadBuf::uninit(&mut discarded);
        let Poll::Ready(outcome) = Pin::new(&mut self.socket).poll_read(context, &mut discarded) else {
            return false;
        };
        if outcome.is_err() || discarded.filled().is_empty() {
            self.phase = Phase::Over;
        }
        true
    }

    /// Looks at the clock. Ready: something was due and has been done. Pending: the task is woken when something is.
    fn poll_alarm(&mut self, mut sleep: Pin<&mut Sleep>, context: &mut Context<'_>) -> Poll<()> {
        loop {
            let Some(next) = self.clock.next_alarm() else { return Poll::Pending };
            // An alarm that moved away is looked at when the old time has come: moving the timer costs more.
            if next < sleep.deadline() || sleep.is_elapsed() {
                sleep.as_mut().reset(next);
            }
            ready!(sleep.as_mut().poll(context));
            match self.clock.ring(Instant::now(), self.reader.is_stalled(), self.writer.holds_ping()) {
                None => {}
                Some(Alarm::Ping) => {
                    self.writer.ping();
                    return Poll::Ready(());
                }
                // No more time for answers.
                Some(Alarm::Over) if self.phase == Phase::Open && self.peer_has_ended => {
                    self.driver.shared.outbox.close();
                    return Poll::Ready(());
                }
                Some(Alarm::Over) => {
                    // While it is open, only a Ping is waited for.
                    let fault = (self.phase == Phase::Open).then_some(Fault::Silence);
                    self.driver.shared.lose_for(fault);
                    self.phase = Phase::Over;
                    return Poll::Ready(());
                }
            }
        }
    }
}

fn close_of_peer(frame: Option<&CloseFrame>) -> CloseReason {
    match frame {
        Some(frame) => CloseReason { code: frame.code, reason: frame.reason.clone(), by: ClosedBy::Peer },
        None => CloseReason { code: NO_STATUS, reason: String::new(), by: ClosedBy::Peer },
    }
}

fn close_for(error: &ProtocolError) -> (CloseReason, Bytes) {
    let close = CloseFrame { code: error.close_code(), reason: error.to_string() };
    let close_frame = frame::encode_close(Some(&close));
    (CloseReason { code: close.code, reason: close.reason, by: ClosedBy::Us }, close_frame)
}
