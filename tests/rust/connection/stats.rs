//! The sums over the WebSockets of a process.

use std::{collections::BTreeMap, os::fd::AsFd, os::unix::net::UnixStream, sync::Arc};

use bytes::Bytes;
use dwebsocket::{
    config::SlowClient,
    connection::{
        Connection, Counts, Patience,
        adopt::Adopted,
        stats::{Figures, Refusal, Stats},
    },
    error::AdoptError,
    wire::{frame::encode_message, message::Kind},
};

use super::support::{
    client_frame, config, expect_bytes, finished, opened, piped, readable, receive, send_bytes,
};

fn text(payload: &str) -> Bytes {
    encode_message(Kind::Text, payload.as_bytes())
}

fn sent_and_received(received: (u64, u64), sent: (u64, u64)) -> Counts {
    Counts {
        received_messages: received.0,
        received_bytes: received.1,
        sent_messages: sent.0,
        sent_bytes: sent.1,
        dropped_messages: 0,
    }
}

fn refused(figures: &Figures, reason: Refusal) -> u64 {
    figures.refused.iter().find(|(of, _)| *of == reason).unwrap().1
}

#[tokio::test]
async fn sums_are_the_same_before_and_after_the_connections_have_ended() {
    let stats = Arc::new(Stats::default());
    let mut ends = Vec::new();
    for _ in 0..3 {
        let (connection, peer, task) = piped(config(|_| {}), 4096);
        connection.count_in(&stats);
        ends.push((connection, peer, task));
    }
    for (connection, peer, _) in &mut ends {
        for payload in ["one", "three", "fifteen bytes.."] {
            send_bytes(peer, &client_frame(0x81, payload.as_bytes())).await;
            assert_eq!(receive(connection).await.unwrap().kind, Kind::Text);
        }
        connection.send(text("hello"), Patience::Owner).unwrap();
        expect_bytes(peer, b"\x81\x05hello").await;
    }
    let before = stats.figures();
    assert_eq!((before.open, before.opened, &before.closed), (3, 3, &BTreeMap::new()));
    assert_eq!(before.counts, sent_and_received((9, 69), (3, 21)));

    let (connection, mut peer, _) = ends.pop().unwrap();
    send_bytes(&mut peer, &client_frame(0x88, b"\x03\xE8")).await;
    readable(&connection).await;
    assert!(connection.receive_now().is_err());
    expect_bytes(&mut peer, b"\x88\x02\x03\xE8").await;
    drop(peer);
    finished(&connection).await;
    let (lost, peer, _) = ends.pop().unwrap();
    drop(peer);
    finished(&lost).await;

    let after = stats.figures();
    assert_eq!((after.open, after.opened), (1, 3));
    assert_eq!(after.closed, BTreeMap::from([(1000, 1), (1006, 1)]));
    assert_eq!(after.counts, before.counts);
    drop((connection, lost));
    assert_eq!(stats.figures(), after, "nobody holds them any more");
}

#[tokio::test]
async fn what_waits_is_summed_over_the_open_ones() {
    let stats = Arc::new(Stats::default());
    let (first, mut peer, _task) = piped(config(|_| {}), 4096);
    let (second, unserved) = opened(config(|_| {}));
    first.count_in(&stats);
    second.count_in(&stats);
    send_bytes(&mut peer, &[client_frame(0x82, b"12345"), client_frame(0x82, b"67")].concat()).await;
    while first.pending() < 2 {
        tokio::task::yield_now().await;
    }
    second.send(text("abc"), Patience::Owner).unwrap();
    second.send(text("d"), Patience::Owner).unwrap();
    let figures = stats.figures();
    assert_eq!((figures.inbox_messages, figures.inbox_bytes, figures.outbox_bytes), (2, 7, 8));

    let [one, two] = stats.sockets().try_into().unwrap();
    assert_eq!((one.identity, two.identity), (1, 2));
    assert_eq!((first.identity(), second.identity()), (Some(1), Some(2)));
    assert_eq!((one.inbox_messages, one.inbox_bytes, one.outbox_messages, one.outbox_bytes), (2, 7, 0, 0));
    assert_eq!((two.inbox_messages, two.inbox_bytes, two.outbox_messages, two.outbox_bytes), (0, 0, 2, 8));
    assert_eq!((&two.peer[..], two.closing), ("192.0.2.1:4711", None));
    assert_eq!(one.counts, sent_and_received((2, 7), (0, 0)));
    second.close(1001, "");
    assert_eq!(stats.sockets()[1].closing, Some(1001));
    drop(unserved);
    assert_eq!(stats.sockets().len(), 1);
    assert_eq!(stats.figures().outbox_bytes, 0, "it has ended, though somebody holds it");
}

#[tokio::test]
async fn messages_to_a_connection_that_has_ended_count_as_dropped_until_nobody_can_send_any() {
    let stats = Arc::new(Stats::default());
    let (connection, driver) = opened(config(|_| {}));
    connection.count_in(&stats);
    drop(driver);
    assert_eq!(stats.figures().closed, BTreeMap::from([(1006, 1)]));
    let held = connection.clone();
    for _ in 0..4 {
        assert!(held.send(text("late"), Patience::Other).is_err());
    }
    assert_eq!(stats.figures().counts.dropped_messages, 4);
    drop((held, connection));
    assert_eq!(stats.figures().counts.dropped_messages, 4);
}

fn full(policy: SlowClient) -> (Arc<Stats>, Connection, dwebsocket::connection::Driver) {
    let stats = Arc::new(Stats::default());
    let (connection, driver) = opened(config(|config| {
        config.outbox_bytes = 8;
        config.slow_client = policy;
    }));
    connection.count_in(&stats);
    connection.send(text("123456"), Patience::Other).unwrap();
    (stats, connection, driver)
}

#[tokio::test]
async fn a_slow_client_that_is_closed_is_counted_once() {
    let (stats, connection, driver) = full(SlowClient::Close);
    assert_eq!(stats.figures().slow_clients, 0);
    for _ in 0..2 {
        assert!(connection.send(text("7"), Patience::Other).is_err());
    }
    let figures = stats.figures();
    assert_eq!((figures.slow_clients, figures.counts.dropped_messages, figures.open), (1, 2, 1));
    drop((driver, connection));
    let figures = stats.figures();
    assert_eq!((figures.slow_clients, figures.open), (1, 0));
    assert_eq!(figures.closed, BTreeMap::from([(1013, 1)]));
}

#[tokio::test]
async fn an_application_that_closes_with_1013_has_no_slow_client() {
    let (stats, connection, _driver) = full(SlowClient::Close);
    connection.close(1013, "");
    assert!(connection.send(text("7"), Patience::Other).is_err());
    assert_eq!(stats.figures().slow_clients, 0);
}

#[tokio::test]
async fn a_slow_client_whose_oldest_messages_are_dropped_is_not_closed() {
    let (stats, connection, _driver) = full(SlowClient::DropOldest);
    connection.send(text("7"), Patience::Other).unwrap();
    let figures = stats.figures();
    assert_eq!((figures.slow_clients, figures.counts.dropped_messages, figures.outbox_bytes), (0, 1, 3));
}

#[tokio::test]
async fn a_peer_that_tries_every_code_gets_no_row_for_each() {
    let stats = Arc::new(Stats::default());
    for code in 3000..3070 {
        let (connection, driver) = opened(config(|_| {}));
        connection.count_in(&stats);
        connection.close(code, "");
        drop(driver);
    }
    let (connection, driver) = opened(config(|_| {}));
    connection.count_in(&stats);
    connection.close(3000, "");
    drop(driver);
    let figures = stats.figures();
    assert_eq!((figures.closed.len(), figures.closed[&0], figures.closed[&3063]), (65, 6, 1));
    assert_eq!(figures.closed[&3000], 2, "a code that is known already stays known");
    assert_eq!((figures.open, figures.opened), (0, 71));
}

#[tokio::test]
async fn a_connection_is_counted_once_and_one_that_was_not_counted_is_nowhere() {
    let stats = Arc::new(Stats::default());
    let (connection, _driver) = opened(config(|_| {}));
    assert_eq!(connection.identity(), None);
    connection.count_in(&stats);
    connection.count_in(&stats);
    connection.count_in(&Arc::default());
    drop(opened(config(|_| {})));
    let figures = stats.figures();
    assert_eq!((figures.open, figures.opened, figures.closed.len()), (1, 1, 0));
}

#[tokio::test]
async fn an_adopted_socket_counts_when_it_is_taken_and_one_too_many_as_refused() {
    let stats = Arc::new(Stats::default());
    let adopted = Adopted::new(tokio::runtime::Handle::current(), Arc::clone(&stats)).unwrap();
    let (server, client) = UnixStream::pair().unwrap();
    drop(adopted.prepare(server.as_fd(), config(|_| {}), None, 1).unwrap());
    assert_eq!(stats.figures(), Stats::default().figures(), "it stayed the server's");
    let adoption = adopted.prepare(server.as_fd(), config(|_| {}), None, 1).unwrap();
    let connection = adoption.take(Bytes::new(), Bytes::new()).unwrap();
    let (another, _client) = UnixStream::pair().unwrap();
    let full = adopted.prepare(another.as_fd(), config(|_| {}), None, 1);
    assert!(matches!(full, Err(AdoptError::TooMany)));
    let figures = stats.figures();
    assert_eq!((figures.open, figures.opened, refused(&figures, Refusal::WebSocketsFull)), (1, 1, 1));
    drop(client);
    finished(&connection).await;
    assert_eq!(stats.figures().closed, BTreeMap::from([(1006, 1)]));
}
