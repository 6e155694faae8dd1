//! Frames that the sending thread writes itself. The driver runs only when a test lets it, so that what arrives
//! meanwhile was written by nobody else.
//!
//! A binary of its own, whose tests run one after the other: whether a thread writes depends on what else the process has
//! to do.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used, missing_docs)]

use std::{
    io::{self, Read, Write},
    net::{TcpListener, TcpStream as Peer},
    os::{fd::AsFd, unix::net::UnixStream},
    sync::{Arc, Barrier},
};

use bytes::Bytes;
use dwebsocket::{
    connection::{Patience, Taken, adopt::Adopted},
    wire::{frame::encode_message, message::Kind},
};
use tokio::runtime;

#[allow(dead_code, reason = "others use the rest")]
#[path = "connection/support.rs"]
mod support;

#[path = "connection/standing.rs"]
mod standing;

use standing::{Standing, TURN};
use support::{LONG, client_frame, config};

#[test]
fn single_answer_is_written_by_the_thread_that_sends_it() {
    let mut standing = Standing::new();
    for _ in 0..2 {
        standing.receive(1);
        standing.take();
        standing.send_now("one");
        standing.expect(b"\x81\x03one");
    }
    assert_eq!(standing.connection.counts().sent_messages, 2);
}

#[test]
fn second_answer_is_left_to_the_driver() {
    let mut standing = Standing::new();
    standing.send_now("one");
    standing.expect(b"\x81\x03one");
    standing.send_now("two");
    standing.send_now("three");
    standing.expect_nothing();
    standing.turn();
    standing.expect(b"\x81\x03two\x81\x05three");
    standing.send_now("four");
    standing.expect(b"\x81\x04four");
}

#[test]
fn answer_is_left_to_the_driver_while_another_message_waits() {
    let mut standing = Standing::new();
    standing.receive(2);
    standing.take();
    standing.send_now("one");
    standing.expect_nothing();
    standing.take();
    standing.send_now("two");
    standing.expect_nothing();
    standing.turn();
    standing.expect(b"\x81\x03one\x81\x03two");
    standing.send_now("three");
    standing.expect(b"\x81\x05three");
}

#[test]
fn answer_is_left_to_the_driver_while_another_driver_has_something_to_write() {
    let mut standing = Standing::new();
    let mut other = Standing::another();
    other.connection.send(encode_message(Kind::Text, b"other"), Patience::Other).unwrap();
    standing.send_now("one");
    standing.expect_nothing();
    other.turn();
    other.expect(b"\x81\x05other");
    standing.turn();
    standing.expect(b"\x81\x03one");
    standing.send_now("two");
    standing.expect(b"\x81\x03two");
}

#[test]
fn client_that_reads_nothing_keeps_nobody_else_from_writing() {
    let mut standing = Standing::new();
    let slow = Standing::another();
    let frame = encode_message(Kind::Binary, &vec![0; 60_000]);
    while slow.connection.send_now(frame.clone(), Patience::Owner).is_none() {
        slow.turn();
    }
    for _ in 0..2 {
        standing.receive(1);
        standing.take();
        standing.send_now("one");
        standing.expect(b"\x81\x03one");
    }
}

#[test]
fn connection_that_ends_with_something_to_write_keeps_nobody_else_from_writing() {
    let mut standing = Standing::new();
    let other = Standing::another();
    other.connection.send(encode_message(Kind::Text, b"other"), Patience::Other).unwrap();
    other.task.abort();
    assert!(other.runtime.block_on(other.task).unwrap_err().is_cancelled());
    standing.send_now("one");
    standing.expect(b"\x81\x03one");
}

#[test]
fn socket_of_another_server_is_left_to_its_driver() {
    let turn = Some(TURN.lock());
    let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let adopted = Adopted::new(runtime.handle().clone(), Arc::default()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let peer = Peer::connect(listener.local_addr().unwrap()).unwrap();
    peer.set_read_timeout(Some(LONG)).unwrap();
    let server = listener.accept().unwrap().0;
    let adoption = adopted.prepare(server.as_fd(), config(|_| {}), None, usize::MAX).unwrap();
    let connection = adoption.take(Bytes::from_static(b"head"), Bytes::new()).unwrap();
    let task = runtime.spawn(async {});
    let mut standing = Standing { runtime, connection, peer, task, turn };
    standing.turn();
    standing.expect(b"head");
    standing.send_now("one");
    standing.expect_nothing();
    standing.turn();
    standing.expect(b"\x81\x03one");
}

#[test]
fn what_is_queued_goes_first() {
    let mut standing = Standing::new();
    standing.queue("one");
    standing.send_now("two");
    standing.expect_nothing();
    standing.turn();
    standing.expect(b"\x81\x03one\x81\x03two");
}

#[test]
fn long_frame_is_left_to_the_driver() {
    let mut standing = Standing::new();
    // 64 KiB with the header of four bytes, and one more.
    let text = "x".repeat(65_532);
    standing.send_now(&text);
    standing.expect(&[b"\x81\x7e\xff\xfc", text.as_bytes()].concat());
    standing.receive(1);
    standing.take();
    let text = "x".repeat(65_533);
    standing.send_now(&text);
    standing.expect_nothing();
    standing.turn();
    standing.expect(&[b"\x81\x7e\xff\xfd", text.as_bytes()].concat());
}

#[test]
fn frame_that_the_socket_takes_in_part_is_finished_before_anything_else() {
    let mut standing = Standing::new();
    let mut expected = Vec::new();
    let mut number: u32 = 0;
    // Until the peer, who does not read, has let the outbox fill.
    loop {
        let frame = encode_message(Kind::Binary, &number.to_be_bytes().repeat(10_000));
        standing.receive(1);
        standing.take();
        if standing.connection.send_now(frame.clone(), Patience::Owner).is_some() {
            break;
        }
        expected.extend_from_slice(&frame);
        number += 1;
    }
    assert!(number > 100, "{number}");
    let mut peer = standing.peer.try_clone().unwrap();
    let reader = std::thread::spawn(move || {
        let mut read = vec![0; expected.len()];
        peer.read_exact(&mut read).unwrap();
        assert!(read == expected, "bytes are lost, doubled or in another order");
    });
    standing
        .runtime
        .block_on(async { tokio::task::spawn_blocking(|| reader.join().unwrap()).await.unwrap() });
    standing.send_now("and on");
    standing.expect(b"\x81\x06and on");
}

#[test]
fn threads_that_write_and_queue_lose_double_and_mix_nothing() {
    const THREADS: usize = 4;
    const EACH: usize = 3_000;
    let Standing { runtime, connection, mut peer, task, turn: _turn } = Standing::new();
    let senders: Vec<_> = (0..THREADS)
        .map(|thread| {
            let connection = connection.clone();
            std::thread::spawn(move || {
                for number in 0..EACH {
                    let text = format!("{thread:02} {number:06} {}", "x".repeat(number % 100));
                    let frame = encode_message(Kind::Text, text.as_bytes());
                    // Half of them only queue.
                    let refused = if thread % 2 == 0 {
                        connection.send_now(frame, Patience::Owner)
                    } else {
                        Some(frame)
                    };
                    if let Some(frame) = refused {
                        connection.send(frame, Patience::Owner).unwrap();
                    }
                }
            })
        })
        .collect();
    let reader = std::thread::spawn(move || {
        let mut next = [0; THREADS];
        for _ in 0..THREADS * EACH {
            let mut head = [0; 2];
            peer.read_exact(&mut head).unwrap();
            assert_eq!(head[0], 0x81);
            let mut text = vec![0; usize::from(head[1])];
            peer.read_exact(&mut text).unwrap();
            let text = String::from_utf8(text).unwrap();
            let (thread, number) =
                (text[..2].parse::<usize>().unwrap(), text[3..9].parse::<usize>().unwrap());
            assert_eq!(number, next[thread]);
            assert_eq!(text.len(), 10 + number % 100);
            next[thread] += 1;
        }
    });
    runtime.block_on(async {
        tokio::task::spawn_blocking(move || {
            for sender in senders {
                sender.join().unwrap();
            }
            reader.join().unwrap();
        })
        .await
        .unwrap();
    });
    task.abort();
}

#[test]
fn answer_to_a_message_behind_a_ping_goes_behind_the_pong() {
    const TIMES: usize = 2_000;
    let Standing { runtime, connection, mut peer, task, turn: _turn } = Standing::new();
    let view = std::thread::spawn(move || {
        // It asks all the time, and so takes a message before the driver gets on.
        for _ in 0..TIMES {
            while !matches!(connection.receive_now(), Ok(Taken::Message(_))) {
                std::hint::spin_loop();
            }
            if let Some(frame) = connection.send_now(encode_message(Kind::Text, b"answer"), Patience::Owner) {
                connection.send(frame, Patience::Owner).unwrap();
            }
        }
    });
    let client = std::thread::spawn(move || {
        let sent = [client_frame(0x89, b"ping"), client_frame(0x81, b"hi")].concat();
        for _ in 0..TIMES {
            peer.write_all(&sent).unwrap();
            let mut read = [0; 14];
            peer.read_exact(&mut read).unwrap();
            assert_eq!(&read, b"\x8a\x04ping\x81\x06answer");
        }
    });
    runtime.block_on(task).unwrap();
    client.join().unwrap();
    view.join().unwrap();
}

/// The number of a closed descriptor is given to the next one that is opened.
#[test]
fn nothing_is_written_to_a_descriptor_that_took_the_number_of_the_sockets() {
    for _ in 0..200 {
        let Standing { runtime, connection, peer, task, turn: _turn } = Standing::new();
        let start = Arc::new(Barrier::new(2));
        let sender = std::thread::spawn({
            let start = Arc::clone(&start);
            move || {
                start.wait();
                // Written, or refused where the connection is lost by now.
                drop(connection.send_now(encode_message(Kind::Text, b"hello"), Patience::Owner));
            }
        });
        task.abort();
        start.wait();
        assert!(runtime.block_on(task).unwrap_err().is_cancelled());
        let pairs: Vec<_> = (0..8).map(|_| UnixStream::pair().unwrap()).collect();
        sender.join().unwrap();
        for end in pairs.iter().flat_map(|(one, other)| [one, other]) {
            end.set_nonblocking(true).unwrap();
            let mut end = end;
            assert_eq!(end.read(&mut [0; 1]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        }
        drop(peer);
    }
}

#[test]
#[allow(unsafe_code, reason = "only the C library forks")]
fn forked_child_writes_nothing_between_the_frames_of_its_parent() {
    let mut standing = Standing::new();
    let frame = encode_message(Kind::Text, b"of the child");
    // SAFETY: the child needs nothing that another thread of this process may have locked: it puts a frame that is there
    // already into a queue of this test, wakes a task of this test, and ends.
    let child = unsafe { libc::fork() };
    if child == 0 {
        let refused = standing.connection.send_now(frame, Patience::Owner).is_some();
        // SAFETY: it ends the process, with nothing of its parent's put in order.
        unsafe { libc::_exit(i32::from(refused)) };
    }
    let mut status = -1;
    // SAFETY: the status is written to a place of its own.
    assert_eq!(unsafe { libc::waitpid(child, &raw mut status, 0) }, child);
    assert_eq!(status, 0);
    standing.expect_nothing();
    standing.send_now("one");
    standing.expect(b"\x81\x03one");
}
