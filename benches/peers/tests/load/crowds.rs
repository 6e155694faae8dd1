//! Broadcast, slow readers, idle clients.

use std::{
    io::{BufReader, Read, Write, pipe},
    net::{SocketAddr, TcpStream},
    sync::{Arc, Mutex},
    thread,
};

use load::{
    broadcast::{self, Broadcast},
    engine::Target,
    error::Failure,
    idle::{self, Idle},
    slow::{self, Slow},
};

use crate::server::{Peer, frame, start};

fn target(address: SocketAddr) -> Target {
    Target { address, path: "/broadcast".to_owned(), is_compressed: false, is_stream: false }
}

/// Sends what comes to all; `change` makes the frame of message `number` for the client that came as number `client`.
fn room(change: impl Fn(usize, u64, Vec<u8>) -> Vec<u8> + Send + Sync + 'static) -> SocketAddr {
    let writers = Arc::new(Mutex::new((Vec::<TcpStream>::new(), 0)));
    start(move |mut peer: Peer| {
        writers.lock().unwrap().0.push(peer.writer());
        if !peer.send(0x81, b"joined") {
            return;
        }
        while let Some((first, payload)) = peer.receive() {
            let mut writers = writers.lock().unwrap();
            let number = writers.1;
            writers.1 += 1;
            for (client, writer) in writers.0.iter_mut().enumerate() {
                // Those that have gone stay in the list.
                let _ = writer.write_all(&change(client, number, frame(first, &payload)));
            }
        }
    })
}

fn broadcast_to(address: SocketAddr, limit_seconds: f64) -> Result<load::report::Report, Failure> {
    broadcast::run(&Broadcast {
        target: target(address),
        clients: 5,
        size: 125,
        seconds: 0.2,
        warm_up_seconds: 0.05,
        limit_seconds,
    })
}

#[test]
fn an_honest_broadcast_counts_every_delivery() {
    assert_eq!(broadcast_to(room(|_, _, frame| frame), 60.0).unwrap().count % 5, 0);
}

#[test]
fn a_broadcast_that_misses_one_client_once_has_no_figure() {
    let address = room(|client, number, frame| if (client, number) == (3, 2) { vec![] } else { frame });
    assert!(matches!(
        broadcast_to(address, 3.0),
        Err(Failure::Missing { missing: 1, of: 5, what: "deliveries", .. })
    ));
}

#[test]
fn a_broadcast_that_doubles_or_spoils_one_delivery_has_no_figure() {
    let doubling = room(|client, number, mut frame| {
        if (client, number) == (3, 2) {
            frame.extend_from_within(..);
        }
        frame
    });
    assert!(matches!(broadcast_to(doubling, 60.0), Err(Failure::Unexpected { .. } | Failure::Wrong { .. })));
    let spoiling = room(|client, number, mut frame| {
        frame[40] ^= u8::from((client, number) == (3, 2));
        frame
    });
    assert!(matches!(broadcast_to(spoiling, 60.0), Err(Failure::Wrong { number: 2, .. })));
}

#[test]
fn a_server_that_says_something_else_than_joined_has_no_figure() {
    let address = start(|mut peer| {
        peer.send(0x81, b"welcome");
    });
    assert!(matches!(broadcast_to(address, 60.0), Err(Failure::Wrong { number: 0, .. })));
}

fn slow(address: SocketAddr, sleepers: usize) -> Result<slow::Outcome, Failure> {
    slow::run(&Slow {
        target: target(address),
        readers: 4,
        sleepers,
        size: 1000,
        pace: 100.0,
        seconds: 0.4,
        drain_seconds: 20.0,
        limit_seconds: 60.0,
    })
}

#[test]
fn everything_sent_and_delivered_is_a_share_of_one() {
    let outcome = slow(room(|_, _, frame| frame), 2).unwrap();
    assert!(outcome.sent_share > 0.0 && outcome.sent_share <= 1.0, "{outcome:?}");
    assert!((outcome.delivered_share - 1.0).abs() < 1e-9, "{outcome:?}");
    assert_eq!((outcome.report.count % 4, outcome.closed_readers), (0, 0));
}

#[test]
fn what_is_dropped_is_missing_in_the_share_and_order_still_counts() {
    // Of the first ten.
    let dropping = room(|_, number, frame| if number % 2 == 1 && number < 10 { vec![] } else { frame });
    let outcome = slow(dropping, 0).unwrap();
    let sent = (outcome.sent_share * 40.0).round();
    let dropped = (sent.min(10.0) / 2.0).floor();
    assert!((outcome.delivered_share - (sent - dropped) / sent).abs() < 1e-9, "{outcome:?}");
    let doubling = room(|_, number, mut frame| {
        if number == 3 {
            frame.extend_from_within(..);
        }
        frame
    });
    assert!(matches!(slow(doubling, 0), Err(Failure::Wrong { what: "it is doubled or out of order", .. })));
}

#[test]
fn a_reader_that_is_closed_is_told() {
    let address =
        room(
            |client, number, frame_of| {
                if number == 2 && client == 4 { frame(0x88, &1013_u16.to_be_bytes()) } else { frame_of }
            },
        );
    // Clients come in any order: one of the five that read is closed.
    let outcome = slow::run(&Slow {
        target: target(address),
        readers: 5,
        sleepers: 0,
        size: 100,
        pace: 100.0,
        seconds: 0.4,
        drain_seconds: 20.0,
        limit_seconds: 60.0,
    })
    .unwrap();
    assert_eq!(outcome.closed_readers, 1);
}

/// Runs the idle case and says go when the clients are held; gives what was told meanwhile, and the end.
fn idle(address: SocketAddr, clients: usize) -> (serde_json::Value, idle::Alive) {
    let (go_reader, mut go_writer) = pipe().unwrap();
    let (mut told_reader, told_writer) = pipe().unwrap();
    let idle = Idle { target: target(address), clients, at_once: 4, limit_seconds: 3.0 };
    let running = thread::spawn(move || idle::run(&idle, BufReader::new(go_reader), told_writer).unwrap());
    let mut told = Vec::new();
    let mut byte = [0];
    while byte != *b"\n" {
        told_reader.read_exact(&mut byte).unwrap();
        told.extend_from_slice(&byte);
    }
    go_writer.write_all(b"\n").unwrap();
    (serde_json::from_slice(&told).unwrap(), running.join().unwrap())
}

#[test]
fn idle_clients_are_counted_when_they_are_open_and_again_at_the_end() {
    let address = start(|mut peer| {
        while let Some((first, payload)) = peer.receive() {
            peer.send(first, &payload);
        }
    });
    let (held, alive) = idle(address, 10);
    assert_eq!((&held["opened"], &held["reason"], alive.alive), (&10.into(), &serde_json::Value::Null, 10));
}

#[test]
fn idle_clients_that_answer_no_more_are_not_alive() {
    let seats = Mutex::new(3);
    let address = start(move |mut peer| {
        let (first, payload) = peer.receive().unwrap();
        peer.send(first, &payload);
        let keeps = {
            let mut seats = seats.lock().unwrap();
            *seats -= 1;
            *seats >= 0
        };
        // A Ping in between is answered and changes nothing.
        peer.send(0x89, b"");
        while let Some((first, payload)) = peer.receive() {
            if first == 0x81 && !(keeps && peer.send(first, &payload)) {
                return;
            }
        }
    });
    let (held, alive) = idle(address, 10);
    assert_eq!((&held["opened"], alive.alive), (&10.into(), 3));
}

#[test]
fn a_server_that_stops_answering_handshakes_holds_those_it_answered() {
    let seats = Mutex::new(7);
    let address = start_limited(seats);
    let (held, alive) = idle(address, 10);
    assert_eq!((&held["opened"], alive.alive), (&7.into(), 7));
    assert!(held["reason"].as_str().unwrap().contains("3 of 10 handshakes"), "{held}");
}

/// Answers so many handshakes, and leaves the next ones waiting.
fn start_limited(seats: Mutex<i32>) -> SocketAddr {
    crate::server::start_with(
        move |accept| {
            let mut seats = seats.lock().unwrap();
            *seats -= 1;
            let is_late = *seats < 0;
            drop(seats);
            if is_late {
                loop {
                    thread::park();
                }
            }
            format!("Sec-WebSocket-Accept: {accept}\r\n")
        },
        |mut peer| {
            while let Some((first, payload)) = peer.receive() {
                peer.send(first, &payload);
            }
        },
    )
}
