//! When an answer goes out that is there before the driver is done with what it read.

use std::{
    future::Future,
    pin::{Pin, pin},
    sync::{Arc, Weak},
    task::{Context, Poll, Waker},
};

use bytes::Bytes;
use dwebsocket::{
    connection::{Connection, Driver, Patience, Taken, waker::Wake},
    wire::{frame::encode_message, message::Kind},
};
use tokio::io::{AsyncRead, DuplexStream, ReadBuf, duplex};

use super::support::{client_frame, config, counting_waker, opened, send_bytes};

/// Answers each message within the wake that tells of it, as the thread of a view does that runs before the driver goes on.
struct View {
    connection: Connection,
    itself: Weak<Self>,
}

impl View {
    fn start(connection: Connection) -> Arc<Self> {
        let view = Arc::new_cyclic(|itself| Self { connection, itself: itself.clone() });
        view.connection.wake_when_readable(Arc::clone(&view) as Arc<dyn Wake>);
        view
    }
}

impl Wake for View {
    fn wake(&self) {
        loop {
            match self.connection.receive_now() {
                Ok(Taken::Message(message)) => {
                    let answer = encode_message(Kind::Text, &message.payload);
                    self.connection.send(answer, Patience::Other).unwrap();
                }
                Ok(Taken::Empty) => break,
                Err(_) => return,
            }
        }
        if let Some(view) = self.itself.upgrade() {
            self.connection.wake_when_readable(view);
        }
    }
}

fn served() -> (Arc<View>, Driver, DuplexStream, DuplexStream) {
    let (connection, driver) = opened(config(|_| ()));
    let (socket, peer) = duplex(1 << 10);
    (View::start(connection), driver, socket, peer)
}

/// What has come at the peer's end, without waiting.
fn arrived(peer: &mut DuplexStream) -> Vec<u8> {
    let mut bytes = [0; 1 << 10];
    let mut bytes = ReadBuf::new(&mut bytes);
    let looked = Pin::new(peer).poll_read(&mut Context::from_waker(Waker::noop()), &mut bytes);
    if let Poll::Ready(outcome) = looked {
        outcome.unwrap();
    }
    bytes.filled().to_vec()
}

#[tokio::test]
async fn an_answer_given_while_the_driver_reads_goes_out_when_it_is_polled_next_which_it_is() {
    let (_view, driver, socket, mut peer) = served();
    let mut run = pin!(driver.run(socket, Bytes::new()));
    let (waker, count) = counting_waker();
    let mut context = Context::from_waker(&waker);
    assert!(run.as_mut().poll(&mut context).is_pending());

    send_bytes(&mut peer, &client_frame(0x81, b"hello")).await;
    let before = count.count();
    assert!(run.as_mut().poll(&mut context).is_pending());
    assert_eq!(arrived(&mut peer), b"", "other connections are read first");
    assert!(count.count() > before, "the answer wakes the driver");

    assert!(run.as_mut().poll(&mut context).is_pending());
    assert_eq!(arrived(&mut peer), b"\x81\x05hello");
}

#[tokio::test]
async fn a_peer_that_always_has_more_to_say_is_answered_every_other_time() {
    let (_view, driver, socket, mut peer) = served();
    let mut run = pin!(driver.run(socket, Bytes::new()));
    let (waker, count) = counting_waker();
    let mut context = Context::from_waker(&waker);
    assert!(run.as_mut().poll(&mut context).is_pending());
    for _ in 0..10 {
        for answers in [0, 2] {
            send_bytes(&mut peer, &client_frame(0x81, b"more")).await;
            let before = count.count();
            assert!(run.as_mut().poll(&mut context).is_pending());
            assert_eq!(arrived(&mut peer), b"\x81\x04more".repeat(answers));
            assert!(answers > 0 || count.count() > before);
        }
    }
}

#[tokio::test]
async fn what_was_sent_before_the_peer_said_more_is_not_forgotten() {
    let (connection, driver) = opened(config(|_| ()));
    let (socket, mut peer) = duplex(1 << 10);
    let mut run = pin!(driver.run(socket, Bytes::new()));
    let (waker, count) = counting_waker();
    let mut context = Context::from_waker(&waker);
    assert!(run.as_mut().poll(&mut context).is_pending());

    connection.send(encode_message(Kind::Text, b"news"), Patience::Other).unwrap();
    send_bytes(&mut peer, &client_frame(0x81, b"more")).await;
    let mut seen = Vec::new();
    // As the runtime does: again for as long as it is woken.
    for polls in 1.. {
        let before = count.count();
        assert!(run.as_mut().poll(&mut context).is_pending());
        seen.extend(arrived(&mut peer));
        if count.count() == before {
            break;
        }
        assert!(polls < 100);
    }
    assert_eq!(seen, b"\x81\x04news");
}

#[tokio::test]
async fn a_pong_waits_for_nothing() {
    let (_view, driver, socket, mut peer) = served();
    let mut run = pin!(driver.run(socket, Bytes::new()));
    let mut context = Context::from_waker(Waker::noop());
    assert!(run.as_mut().poll(&mut context).is_pending());
    send_bytes(&mut peer, &[client_frame(0x81, b"first"), client_frame(0x89, b"")].concat()).await;
    assert!(run.as_mut().poll(&mut context).is_pending());
    assert_eq!(arrived(&mut peer), b"\x8A\0\x81\x05first");
}
