//! The end of a server without haste.

use std::{
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use dwebsocket::{
    config::{ConnectionConfig, ServerConfig},
    connection::{Connection, Driver, open},
    server::{Job, Workers, close_in_turn},
};

use super::{
    client::Client,
    site::{PATIENCE, Site, answer, start, until_equal},
    websockets::{HELLO, HELLO_BACK, echo, upgrade},
};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const LONG: Duration = Duration::from_secs(600);
const CLOSE_1012: &[u8] = b"\x88\x02\x03\xf4";

fn sockets(count: usize) -> Vec<(Connection, Driver)> {
    let config = Arc::new(ConnectionConfig::default());
    (0..count).map(|number| open(Arc::clone(&config), number.to_string())).collect()
}

fn closed(sockets: &[(Connection, Driver)]) -> usize {
    sockets.iter().filter(|(connection, _)| connection.close_reason().is_some()).count()
}

#[tokio::test(start_paused = true)]
async fn sockets_are_closed_evenly_over_the_spread_the_first_at_once() {
    let sockets = sockets(5);
    let weak = sockets.iter().map(|(connection, _)| connection.downgrade()).collect();
    let closing = tokio::spawn(close_in_turn(weak, 1012, "", Duration::from_secs(5)));
    for second in 1..=5 {
        tokio::time::sleep(Duration::from_millis(10)).await;
        assert_eq!(closed(&sockets), second);
        tokio::time::sleep(Duration::from_millis(980)).await;
        assert_eq!(closed(&sockets), second);
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
    closing.await.unwrap();
    assert!(sockets.iter().all(|(connection, _)| connection.close_reason().unwrap().code == 1012));
}

#[tokio::test(start_paused = true)]
async fn a_thousand_sockets_are_closed_some_at_a_time() {
    let sockets = sockets(1000);
    let weak = sockets.iter().map(|(connection, _)| connection.downgrade()).collect();
    let closing = tokio::spawn(close_in_turn(weak, 1001, "", Duration::from_secs(2)));
    tokio::time::sleep(Duration::from_millis(1)).await;
    // A hundred turns of ten.
    assert_eq!(closed(&sockets), 10);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(closed(&sockets), 510);
    closing.await.unwrap();
    assert_eq!(closed(&sockets), 1000);
}

#[tokio::test(start_paused = true)]
async fn without_a_spread_every_socket_is_closed_at_once() {
    let sockets = sockets(100);
    let weak = sockets.iter().map(|(connection, _)| connection.downgrade()).collect();
    let begin = tokio::time::Instant::now();
    close_in_turn(weak, 1001, "", Duration::ZERO).await;
    assert_eq!((closed(&sockets), begin.elapsed().as_millis()), (100, 0));
}

/// Answers "done" to each request once the signal for it has come.
fn held() -> (Site, mpsc::SyncSender<()>) {
    let (go, may_answer) = mpsc::sync_channel::<()>(8);
    let may_answer = parking_lot::Mutex::new(may_answer);
    let site = Site::serving(ServerConfig::default(), move |exchange, _| {
        may_answer.lock().recv_timeout(PATIENCE).unwrap();
        answer(exchange, "done");
    });
    (site, go)
}

#[test]
fn request_in_flight_is_answered_and_ends_its_connection() {
    let (site, go) = held();
    let mut client = site.connect();
    client.send(GET);
    until_equal(&1, || site.workers.counts().http);
    let mut idle = site.connect();
    until_equal(&2, || site.server.connections());
    site.server.drain(1001, "", Duration::ZERO, LONG);
    assert!(!site.server.wait(Duration::from_millis(30)));
    // The answer to a request that came later shows that the runtime's only thread has seen the drain.
    idle.send(GET);
    go.send(()).unwrap();
    go.send(()).unwrap();
    for client in [&mut idle, &mut client] {
        let received = client.receive();
        assert_eq!((received.body.as_str(), received.field("connection")), ("done", Some("close")));
        assert_eq!(client.receive_rest().unwrap(), "");
    }
    assert!(site.server.wait(PATIENCE));
}

#[test]
fn request_on_an_idle_connection_is_answered_while_it_lingers() {
    let (site, go) = held();
    let mut used = site.connect();
    go.send(()).unwrap();
    assert_eq!(used.send(GET).receive().field("connection"), None);
    let mut fresh = site.connect();
    until_equal(&2, || site.server.connections());
    site.server.drain(1001, "", Duration::ZERO, LONG);
    for client in [&mut used, &mut fresh] {
        go.send(()).unwrap();
        let received = client.send(GET).receive();
        assert_eq!((received.body.as_str(), received.field("connection")), ("done", Some("close")));
        assert_eq!(client.receive_rest().unwrap(), "");
    }
    assert!(site.server.wait(PATIENCE));
}

#[test]
fn idle_connection_ends_when_it_has_lingered() {
    let (site, _go) = held();
    let mut client = site.connect();
    until_equal(&1, || site.server.connections());
    let begin = Instant::now();
    site.server.drain(1001, "", Duration::ZERO, Duration::from_millis(50));
    assert_eq!(client.receive_rest().unwrap(), "");
    assert!(begin.elapsed() >= Duration::from_millis(50));
    assert!(site.server.wait(PATIENCE));
}

#[test]
fn drained_websocket_gets_the_close_and_a_later_one_at_once() {
    let (site, _) = echo(ServerConfig::default());
    let (mut early, mut late) = (site.connect(), site.connect());
    upgrade(&mut early);
    assert_eq!(early.send(HELLO).receive_bytes(7), HELLO_BACK);
    until_equal(&2, || site.server.connections());
    site.server.drain(1012, "", LONG, LONG);
    assert_eq!(early.receive_bytes(4), CLOSE_1012);
    upgrade(&mut late);
    assert_eq!(late.receive_bytes(4), CLOSE_1012);
}

#[test]
fn close_connections_makes_haste_of_a_drain_and_keeps_its_code() {
    let (site, _) = echo(ServerConfig::default());
    let mut clients = [site.connect(), site.connect()];
    for client in &mut clients {
        upgrade(client);
    }
    let mut idle = site.connect();
    until_equal(&3, || site.server.connections());
    // The second one's turn would come in five minutes.
    site.server.drain(1012, "", LONG, LONG);
    site.server.close_connections(1001, "");
    for client in &mut clients {
        assert_eq!(client.receive_bytes(4), CLOSE_1012);
    }
    assert_eq!(idle.receive_rest().unwrap(), "");
}

#[test]
fn drain_after_close_connections_changes_nothing() {
    let (site, _) = echo(ServerConfig::default());
    let mut client = site.connect();
    upgrade(&mut client);
    site.server.close_connections(1001, "");
    site.server.drain(1012, "", LONG, LONG);
    assert_eq!(client.receive_bytes(4), b"\x88\x02\x03\xe9");
}

#[test]
fn connection_that_waits_to_be_accepted_is_served_at_the_end() {
    let workers = Workers::new(&ServerConfig::default(), Arc::default());
    let (server, address, runtime) = start(workers.clone(), ServerConfig::default(), &Arc::default());
    // The runtime's only thread is kept busy until the client waits and the server has stopped accepting.
    let (go, may_go) = mpsc::sync_channel::<()>(1);
    let (busy, is_busy) = mpsc::sync_channel(1);
    runtime.spawn(async move {
        busy.send(()).unwrap();
        may_go.recv_timeout(PATIENCE).unwrap();
    });
    is_busy.recv_timeout(PATIENCE).unwrap();
    let mut client = Client::connect(address);
    client.send(GET);
    server.drain(1001, "", Duration::ZERO, LONG);
    go.send(()).unwrap();
    let Job { exchange, slot, .. } = workers.take().unwrap();
    answer(*exchange, "accepted");
    drop(slot);
    assert_eq!(client.receive().body, "accepted");
    assert!(server.wait(PATIENCE));
}
