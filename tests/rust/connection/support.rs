//! A served connection with its peer at the other end.

use std::{
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    task::{Context, Poll, Wake as TaskWake, Waker},
    time::{Duration, Instant},
};

use bytes::Bytes;
use dwebsocket::{
    config::ConnectionConfig,
    connection::{Connection, Driver, Taken, open, waker::Wake},
    error::{CloseReason, ClosedBy, ReceiveError},
    wire::message::Message,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::protocol::{Message as PeerMessage, Role},
};

/// Longer than anything a test waits for; only a test that fails reaches it.
pub(crate) const LONG: Duration = Duration::from_secs(60);

pub(crate) fn config(change: impl FnOnce(&mut ConnectionConfig)) -> Arc<ConnectionConfig> {
    let mut config = ConnectionConfig { ping_interval: None, ..ConnectionConfig::default() };
    change(&mut config);
    Arc::new(config)
}

pub(crate) fn opened(config: Arc<ConnectionConfig>) -> (Connection, Driver) {
    open(config, "192.0.2.1:4711".to_owned())
}

/// A connection served over a pipe in memory of `capacity` bytes each way; the peer's end speaks raw bytes.
pub(crate) fn piped(
    config: Arc<ConnectionConfig>,
    capacity: usize,
) -> (Connection, DuplexStream, JoinHandle<()>) {
    let (connection, driver) = opened(config);
    let (socket, peer) = duplex(capacity);
    let task = tokio::spawn(driver.run(socket, Bytes::new()));
    (connection, peer, task)
}

/// A pair of connected sockets on the loopback interface: ours, the peer's.
pub(super) async fn tcp_pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (accepted, peer) = tokio::join!(listener.accept(), TcpStream::connect(address));
    let (socket, _) = accepted.unwrap();
    socket.set_nodelay(true).unwrap();
    (socket, peer.unwrap())
}

/// A connection served over TCP; the peer is tungstenite's client.
pub(super) async fn over_tcp(
    config: Arc<ConnectionConfig>,
) -> (Connection, WebSocketStream<TcpStream>, JoinHandle<()>) {
    let (connection, driver) = opened(config);
    let (socket, peer) = tcp_pair().await;
    let task = tokio::spawn(driver.run(socket, Bytes::new()));
    (connection, WebSocketStream::from_raw_socket(peer, Role::Client, None).await, task)
}

/// Runs something that blocks a thread, as a view does.
pub(crate) async fn on_thread<R: Send + 'static>(work: impl FnOnce() -> R + Send + 'static) -> R {
    tokio::task::spawn_blocking(work).await.unwrap()
}

/// A masked client frame with the mask 0, so that the payload can be read in the test.
pub(crate) fn client_frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        length @ ..=125 => frame.push(0x80 | u8::try_from(length).unwrap()),
        length @ ..=0xFFFF => {
            frame.push(0xFE);
            frame.extend(u16::try_from(length).unwrap().to_be_bytes());
        }
        length => {
            frame.push(0xFF);
            frame.extend((length as u64).to_be_bytes());
        }
    }
    frame.extend([0; 4]);
    frame.extend(payload);
    frame
}

pub(super) fn text(text: &str) -> PeerMessage {
    PeerMessage::text(text)
}

/// Reads exactly as many bytes as are expected, and compares.
pub(crate) async fn expect_bytes(peer: &mut (impl AsyncReadExt + Unpin), expected: &[u8]) {
    let mut read = vec![0; expected.len()];
    peer.read_exact(&mut read).await.unwrap();
    assert_eq!(read, expected);
}

pub(crate) async fn send_bytes(peer: &mut (impl AsyncWriteExt + Unpin), bytes: &[u8]) {
    peer.write_all(bytes).await.unwrap();
}

/// Counts its wakes, as a waker of ours and as one of a task.
#[derive(Default)]
pub(super) struct WakeCount(AtomicUsize);

impl WakeCount {
    pub(super) fn count(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }
}

impl Wake for WakeCount {
    fn wake(&self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

impl TaskWake for WakeCount {
    fn wake(self: Arc<Self>) {
        Wake::wake(&*self);
    }
}

pub(super) fn counting_waker() -> (Waker, Arc<WakeCount>) {
    let count = Arc::new(WakeCount::default());
    (Waker::from(Arc::clone(&count)), count)
}

/// Polls on the calling thread, which sleeps in between. `None`: the time ran out.
pub(super) fn block_on<R>(
    timeout: Option<Duration>,
    mut poll: impl FnMut(&Context<'_>) -> Poll<R>,
) -> Option<R> {
    struct Unpark(std::thread::Thread);
    impl TaskWake for Unpark {
        fn wake(self: Arc<Self>) {
            self.0.unpark();
        }
    }
    let deadline = timeout.map(|timeout| Instant::now() + timeout);
    let waker = Waker::from(Arc::new(Unpark(std::thread::current())));
    loop {
        if let Poll::Ready(outcome) = poll(&Context::from_waker(&waker)) {
            return Some(outcome);
        }
        match deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())) {
            None => std::thread::park(),
            Some(Duration::ZERO) => return None,
            Some(left) => std::thread::park_timeout(left),
        }
    }
}

/// Waits, as a task, until a message or the end can be taken.
pub(super) async fn readable(connection: &Connection) {
    struct Notified(tokio::sync::Notify);
    impl Wake for Notified {
        fn wake(&self) {
            self.0.notify_one();
        }
    }
    let notified = Arc::new(Notified(tokio::sync::Notify::new()));
    connection.wake_when_readable(Arc::clone(&notified) as Arc<dyn Wake>);
    notified.0.notified().await;
}

/// Takes the next message, as a task.
pub(crate) async fn receive(connection: &Connection) -> Result<Message, ReceiveError> {
    loop {
        readable(connection).await;
        match connection.receive_now()? {
            Taken::Message(message) => return Ok(message),
            Taken::Empty => {}
        }
    }
}

/// Waits, as a task, until the driver has let go of the socket.
pub(crate) async fn finished(connection: &Connection) {
    let connection = connection.clone();
    assert!(on_thread(move || connection.wait_closed(Some(LONG))).await);
}

/// Makes the drop of `socket` a reset instead of an end of the stream.
pub(super) fn reset(socket: TcpStream) {
    socket2::SockRef::from(&socket).set_linger(Some(Duration::ZERO)).unwrap();
    drop(socket);
}

pub(super) fn reason(code: u16, reason: &str, by: ClosedBy) -> CloseReason {
    CloseReason { code, reason: reason.to_owned(), by }
}

pub(super) fn lost() -> CloseReason {
    reason(1006, "", ClosedBy::Lost)
}

/// The next frame of a server: its first byte and its payload.
pub(crate) async fn next_frame(peer: &mut DuplexStream) -> (u8, Vec<u8>) {
    let mut header = [0; 2];
    peer.read_exact(&mut header).await.unwrap();
    let length = match header[1] {
        126 => usize::from(peer.read_u16().await.unwrap()),
        127 => usize::try_from(peer.read_u64().await.unwrap()).unwrap(),
        length => usize::from(length),
    };
    let mut payload = vec![0; length];
    peer.read_exact(&mut payload).await.unwrap();
    (header[0], payload)
}
