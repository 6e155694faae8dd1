//! From the socket to the view.

use std::{
    os::fd::BorrowedFd,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    time::{Duration, Instant},
};

use bytes::Bytes;
use dwebsocket::{
    connection::{
        Connection, Taken, WeakConnection,
        waker::{ThreadWaker, Wake},
    },
    error::{ClosedBy, ReceiveError},
    wire::message::{Kind, Message},
};
use futures_util::{SinkExt, StreamExt};
use rustix::{
    buffer::spare_capacity,
    event::{PollFd, PollFlags, Timespec, epoll, poll},
};
use tokio::io::{AsyncWriteExt, duplex};
use tokio_tungstenite::tungstenite::protocol::Message as PeerMessage;

use super::support::{
    LONG, client_frame, config, expect_bytes, finished, lost, on_thread, opened, over_tcp, piped, readable,
    reason, receive, send_bytes, text,
};

const SHORT: Duration = Duration::from_millis(20);

/// Every way to wait for a message.
type Way = fn(&Connection, Option<Duration>) -> Result<Message, ReceiveError>;

fn by_receive(connection: &Connection, timeout: Option<Duration>) -> Result<Message, ReceiveError> {
    connection.receive(timeout)
}

fn by_wait_readable(connection: &Connection, timeout: Option<Duration>) -> Result<Message, ReceiveError> {
    if connection.wait_readable(timeout) { now(connection) } else { Err(ReceiveError::TimedOut) }
}

fn by_waker(connection: &Connection, timeout: Option<Duration>) -> Result<Message, ReceiveError> {
    let deadline = timeout.map(|timeout| Instant::now() + timeout);
    let thread = ThreadWaker::own();
    connection.wake_when_readable(Arc::clone(&thread) as Arc<dyn Wake>);
    loop {
        match now(connection) {
            Err(ReceiveError::TimedOut) if deadline.is_none_or(|deadline| Instant::now() < deadline) => {
                thread.sleep(deadline);
            }
            outcome => return outcome,
        }
    }
}

fn by_descriptor(connection: &Connection, timeout: Option<Duration>) -> Result<Message, ReceiveError> {
    if is_selected(connection, timeout) { now(connection) } else { Err(ReceiveError::TimedOut) }
}

fn is_selected(connection: &Connection, timeout: Option<Duration>) -> bool {
    let raw = connection.readiness_fd().unwrap();
    // SAFETY: the connection keeps the descriptor open, and outlives this function.
    #[allow(unsafe_code, reason = "select works with bare descriptors")]
    let descriptor = unsafe { BorrowedFd::borrow_raw(raw) };
    let timeout = timeout.map(|timeout| Timespec::try_from(timeout).unwrap());
    poll(&mut [PollFd::new(&descriptor, PollFlags::IN)], timeout.as_ref()).unwrap() == 1
}

/// Takes without waiting, as after a wake-up.
fn now(connection: &Connection) -> Result<Message, ReceiveError> {
    match connection.receive_now()? {
        Taken::Message(message) => Ok(message),
        Taken::Empty => Err(ReceiveError::TimedOut),
    }
}

const WAYS: [Way; 4] = [by_receive, by_wait_readable, by_waker, by_descriptor];

#[tokio::test]
async fn every_way_of_waiting_finds_a_message_that_is_already_there() {
    for way in WAYS {
        let (connection, mut peer, _task) = piped(config(|_| {}), 1024);
        send_bytes(&mut peer, &client_frame(0x81, b"hello")).await;
        readable(&connection).await;
        assert_eq!(connection.pending(), 1);
        let received = on_thread(move || way(&connection, Some(LONG))).await;
        assert_eq!(received, Ok(Message { kind: Kind::Text, payload: Bytes::from_static(b"hello") }));
    }
}

#[tokio::test]
async fn every_way_of_waiting_is_woken_by_a_message_that_arrives_later() {
    for way in WAYS {
        let (connection, mut peer, _task) = piped(config(|_| {}), 1024);
        for round in 0..100_u8 {
            let (started, has_started) = tokio::sync::oneshot::channel();
            let waiting = on_thread({
                let connection = connection.clone();
                move || {
                    started.send(()).unwrap();
                    way(&connection, None)
                }
            });
            let sending = async {
                has_started.await.unwrap();
                send_bytes(&mut peer, &client_frame(0x82, &[round])).await;
            };
            let (received, ()) = tokio::join!(waiting, sending);
            assert_eq!(received.unwrap().payload, [round].as_slice());
        }
    }
}

#[tokio::test]
async fn every_way_of_waiting_ends_when_its_time_is_up() {
    for way in WAYS {
        let (connection, _peer, _task) = piped(config(|_| {}), 1024);
        let began = Instant::now();
        let received = on_thread(move || way(&connection, Some(SHORT))).await;
        assert_eq!(received, Err(ReceiveError::TimedOut));
        assert!(began.elapsed() >= SHORT);
    }
}

#[tokio::test]
async fn every_way_of_waiting_is_woken_when_the_peer_is_lost() {
    for way in WAYS {
        let (connection, peer, _task) = piped(config(|_| {}), 1024);
        let (started, has_started) = tokio::sync::oneshot::channel();
        let waiting = on_thread(move || {
            started.send(()).unwrap();
            way(&connection, None)
        });
        let losing = async {
            has_started.await.unwrap();
            drop(peer);
        };
        assert_eq!(tokio::join!(waiting, losing).0, Err(ReceiveError::Closed(lost())));
    }
}

#[tokio::test]
async fn the_descriptor_is_readable_exactly_while_something_can_be_taken() {
    let (connection, mut peer, _task) = piped(config(|_| {}), 1024);
    assert!(!is_selected(&connection, Some(Duration::ZERO)));
    send_bytes(&mut peer, &[client_frame(0x81, b"one"), client_frame(0x81, b"two")].concat()).await;
    readable(&connection).await;
    assert!(is_selected(&connection, Some(LONG)));
    now(&connection).unwrap();
    assert!(is_selected(&connection, Some(Duration::ZERO)));
    now(&connection).unwrap();
    assert!(!is_selected(&connection, Some(Duration::ZERO)));
    connection.close(1000, "");
    for _ in 0..2 {
        assert!(is_selected(&connection, Some(Duration::ZERO)));
        assert_eq!(now(&connection), Err(ReceiveError::Closed(reason(1000, "", ClosedBy::Us))));
    }
}

#[tokio::test]
async fn the_descriptor_stays_the_same_and_is_closed_with_the_last_clone() {
    let (connection, _driver) = opened(config(|_| {}));
    connection.close(1000, "");
    let raw = connection.readiness_fd().unwrap();
    let clone = connection.clone();
    assert_eq!(clone.readiness_fd().unwrap(), raw);
    let open = std::fs::read_to_string(format!("/proc/self/fdinfo/{raw}")).unwrap();
    assert!(open.contains("flags:\t02004002"), "close-on-exec and non-blocking: {open}");
    drop(connection);
    assert!(is_selected(&clone, Some(Duration::ZERO)));
    // Another test may get the number, and even the identity of the eventfd, as soon as they are free. What an
    // epoll watches, it watches until it is closed.
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).unwrap();
    // SAFETY: The connection keeps it open until `clone` is dropped.
    #[allow(unsafe_code, reason = "epoll works with bare descriptors")]
    let watched = unsafe { BorrowedFd::borrow_raw(raw) };
    epoll::add(&epoll, watched, epoll::EventData::new_u64(0), epoll::EventFlags::IN).unwrap();
    let open = || {
        let mut events = Vec::with_capacity(1);
        epoll::wait(&epoll, spare_capacity(&mut events), Some(&Timespec::default())).unwrap() == 1
    };
    assert!(open());
    drop(clone);
    let deadline = Instant::now() + LONG;
    // A child that another test just started has it too, until its exec.
    while open() {
        assert!(Instant::now() < deadline, "it is still open");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn messages_of_every_size_arrive_whole_and_in_order() {
    let (connection, peer, _task) = over_tcp(config(|_| {})).await;
    let sizes = [0, 1, 125, 126, 4095, 4096, 4097, 65_535, 65_536, 1 << 20, 3, (1 << 20) + 1];
    let (mut sink, _stream) = peer.split();
    let sending = tokio::spawn(async move {
        for (index, size) in sizes.into_iter().enumerate() {
            let payload = vec![u8::try_from(index).unwrap(); size];
            sink.send(PeerMessage::binary(payload)).await.unwrap();
        }
        // Dropped any earlier, it would end the stream under the messages.
        sink
    });
    for (index, size) in sizes.into_iter().enumerate() {
        let message = receive(&connection).await.unwrap();
        assert_eq!(message.payload.len(), size);
        assert!(message.payload.iter().all(|byte| usize::from(*byte) == index));
    }
    drop(sending.await.unwrap());
    let counts = connection.counts();
    assert_eq!(counts.received_messages, sizes.len() as u64);
    assert_eq!(counts.received_bytes, sizes.iter().sum::<usize>() as u64);
}

#[tokio::test]
async fn a_frame_that_came_with_the_handshake_is_the_first_message() {
    let (connection, driver) = opened(config(|_| {}));
    let (socket, mut peer) = duplex(1024);
    let whole = client_frame(0x81, b"early bird");
    let (early, late) = whole.split_at(9);
    let _task = tokio::spawn(driver.run(socket, Bytes::copy_from_slice(early)));
    send_bytes(&mut peer, late).await;
    assert_eq!(receive(&connection).await.unwrap().payload, "early bird");
}

/// Notes how many messages waited at its wake.
struct PendingWhenWoken {
    connection: WeakConnection,
    pending: AtomicUsize,
}

impl Wake for PendingWhenWoken {
    fn wake(&self) {
        let pending = self.connection.upgrade().map_or(0, |connection| connection.pending());
        self.pending.store(pending, Ordering::SeqCst);
    }
}

#[tokio::test]
async fn a_burst_is_there_as_a_whole_when_its_one_wake_comes() {
    let (connection, mut peer, _task) = piped(config(|_| {}), 64 << 10);
    let waker =
        Arc::new(PendingWhenWoken { connection: connection.downgrade(), pending: AtomicUsize::new(0) });
    connection.wake_when_readable(Arc::clone(&waker) as Arc<dyn Wake>);
    send_bytes(&mut peer, &client_frame(0x81, b"x").repeat(200)).await;
    readable(&connection).await;
    assert_eq!(waker.pending.load(Ordering::SeqCst), 200);
}

#[tokio::test]
async fn several_takers_share_the_messages_and_none_gets_one_twice() {
    const MESSAGES: usize = 3_000;
    let (connection, mut peer, _task) = over_tcp(config(|_| {})).await;
    let takers: Vec<_> = (0..4)
        .map(|_| {
            let connection = connection.clone();
            std::thread::spawn(move || {
                let mut taken = Vec::new();
                while let Ok(message) = connection.receive(Some(LONG)) {
                    taken.push(String::from_utf8(message.payload.to_vec()).unwrap());
                }
                taken
            })
        })
        .collect();
    for number in 0..MESSAGES {
        peer.feed(text(&format!("{number:06}"))).await.unwrap();
    }
    peer.flush().await.unwrap();
    peer.close(None).await.unwrap();
    while peer.next().await.is_some() {}
    drop(peer);
    finished(&connection).await;
    let mut taken: Vec<_> = takers.into_iter().flat_map(|taker| taker.join().unwrap()).collect();
    taken.sort();
    assert!(taken.into_iter().eq((0..MESSAGES).map(|number| format!("{number:06}"))));
}

/// How many frames a peer can write before it has to wait, when each takes as much as the whole pipe.
async fn accepted_frames(
    connection: &Connection,
    peer: &mut (impl AsyncWriteExt + Unpin),
    frame: &[u8],
) -> usize {
    let mut accepted = 0;
    loop {
        let pending = connection.pending();
        if tokio::time::timeout(Duration::from_secs(1), peer.write_all(frame)).await.is_err() {
            return accepted;
        }
        accepted += 1;
        // With the clock paused this gives the driver all the time it needs.
        tokio::time::timeout(Duration::from_secs(1), async {
            while connection.pending() == pending {
                tokio::task::yield_now().await;
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        })
        .await
        .ok();
    }
}

#[tokio::test(start_paused = true)]
async fn the_socket_is_not_read_while_as_many_messages_wait_as_may() {
    let frame = client_frame(0x82, &[7; 26]);
    let (connection, mut peer, _task) = piped(config(|config| config.inbox_messages = 5), frame.len());
    // Five in the inbox, the sixth in the pipe.
    assert_eq!(accepted_frames(&connection, &mut peer, &frame).await, 6);
    assert_eq!(connection.pending(), 5);
    for _ in 0..6 {
        assert_eq!(receive(&connection).await.unwrap().payload.len(), 26);
    }
}

#[tokio::test(start_paused = true)]
async fn the_socket_is_not_read_while_as_many_bytes_wait_as_may() {
    let frame = client_frame(0x82, &[7; 100]);
    let (connection, mut peer, _task) = piped(config(|config| config.inbox_bytes = 300), frame.len());
    assert_eq!(accepted_frames(&connection, &mut peer, &frame).await, 4);
    assert_eq!(connection.pending(), 3);
    for _ in 0..4 {
        assert_eq!(receive(&connection).await.unwrap().payload.len(), 100);
    }
}

#[tokio::test(start_paused = true)]
async fn a_message_that_does_not_fit_beside_the_others_waits_with_the_driver() {
    let frame = client_frame(0x82, &[7; 100]);
    let (connection, mut peer, _task) = piped(config(|config| config.inbox_bytes = 299), frame.len());
    // Two in the inbox, the third read and held back, the fourth in the pipe.
    assert_eq!(accepted_frames(&connection, &mut peer, &frame).await, 4);
    assert_eq!(connection.pending(), 2);
    for _ in 0..4 {
        assert_eq!(receive(&connection).await.unwrap().payload.len(), 100);
    }
}

#[tokio::test]
async fn a_message_larger_than_the_inbox_is_received_alone() {
    let (connection, mut peer, _task) = piped(config(|config| config.inbox_bytes = 10), 4096);
    for size in [11, 5, 5, 200] {
        send_bytes(&mut peer, &client_frame(0x82, &vec![1; size])).await;
    }
    for size in [11, 5, 5, 200] {
        assert_eq!(receive(&connection).await.unwrap().payload.len(), size);
    }
}

#[tokio::test(start_paused = true)]
async fn a_ping_behind_unread_messages_waits_and_is_answered_when_they_are_read() {
    let (connection, mut peer, _task) = piped(config(|config| config.inbox_messages = 1), 1024);
    let message = client_frame(0x81, b"unread");
    send_bytes(&mut peer, &[message.clone(), message, client_frame(0x89, b"?")].concat()).await;
    readable(&connection).await;
    send_bytes(&mut peer, &client_frame(0x89, b"!")).await;
    for _ in 0..2 {
        receive(&connection).await.unwrap();
    }
    expect_bytes(&mut peer, b"\x8A\x01?\x8A\x01!").await;
}

#[tokio::test]
async fn control_frames_are_kept_only_for_those_who_observe_them() {
    let (connection, mut peer, _task) = piped(config(|_| {}), 1024);
    send_bytes(&mut peer, &client_frame(0x89, b"unseen")).await;
    expect_bytes(&mut peer, b"\x8A\x06unseen").await;
    connection.observe_control_frames();
    send_bytes(&mut peer, &client_frame(0x89, b"ping")).await;
    send_bytes(&mut peer, &client_frame(0x8A, b"pong")).await;
    send_bytes(&mut peer, &client_frame(0x88, b"\x03\xE8bye")).await;
    expect_bytes(&mut peer, b"\x8A\x04ping\x88\x05\x03\xE8bye").await;
    let kept: Vec<_> = connection.take_control_frames();
    let expected: [(u8, &[u8]); 3] = [(0x9, b"ping"), (0xA, b"pong"), (0x8, b"\x03\xE8bye")];
    assert!(kept.iter().map(|(opcode, payload)| (*opcode, &payload[..])).eq(expected));
    assert!(connection.take_control_frames().is_empty());
}

#[tokio::test]
async fn control_frames_are_given_in_their_place_among_the_messages() {
    let (connection, mut peer, _task) = piped(config(|_| {}), 1024);
    connection.observe_control_frames();
    let frames = [
        client_frame(0x89, b"1"),
        client_frame(0x81, b"2"),
        client_frame(0x8A, b"3"),
        client_frame(0x89, b"4"),
        client_frame(0x81, b"5"),
        client_frame(0x89, b"6"),
    ];
    send_bytes(&mut peer, &frames.concat()).await;
    expect_bytes(&mut peer, b"\x8A\x011\x8A\x014\x8A\x016").await;
    let kept = || connection.take_control_frames().iter().map(|(_, payload)| payload[0]).collect::<Vec<_>>();
    assert_eq!(kept(), b"1");
    assert_eq!(kept(), b"");
    receive(&connection).await.unwrap();
    assert_eq!(kept(), b"34");
    receive(&connection).await.unwrap();
    assert_eq!(kept(), b"6");
}

#[tokio::test]
async fn control_frames_behind_messages_that_were_never_delivered_are_given_at_the_end() {
    let (connection, mut peer, _task) = piped(config(|config| config.inbox_messages = 1), 1024);
    connection.observe_control_frames();
    let message = client_frame(0x81, b"message");
    send_bytes(&mut peer, &[message.clone(), message, client_frame(0x8A, b"pong")].concat()).await;
    readable(&connection).await;
    connection.close(1000, "");
    expect_bytes(&mut peer, b"\x88\x02\x03\xE8").await;
    send_bytes(&mut peer, &client_frame(0x88, b"\x03\xE8")).await;
    while receive(&connection).await.is_ok() {}
    assert_eq!(connection.take_control_frames()[0], (0xA, Bytes::from_static(b"pong")));
}

#[tokio::test]
async fn no_more_than_64_control_frames_are_kept() {
    let (connection, mut peer, _task) = piped(config(|_| {}), 4096);
    connection.observe_control_frames();
    for number in 0..65_u8 {
        send_bytes(&mut peer, &client_frame(0x8A, &[number])).await;
    }
    send_bytes(&mut peer, &client_frame(0x81, b"end")).await;
    receive(&connection).await.unwrap();
    let kept = connection.take_control_frames();
    assert_eq!(kept.len(), 64);
    assert_eq!(kept[0], (0xA, Bytes::from_static(&[1])));
}
