//! Panics in the tasks of single connections, and what becomes of the others.

use std::{
    env,
    process::Command,
    sync::{Arc, mpsc},
};

use bytes::Bytes;
use dwebsocket::{
    config::ServerConfig,
    connection::{Connection, Patience, waker::Wake},
    error::{CloseReason, ClosedBy, Fault, ReceiveError},
    server::{App, Exchange, Notice, Slot, note_panics},
    wire::{frame, message::Kind},
};

use super::{
    client::Client,
    site::{PATIENCE, Site, answer, start, until_equal},
};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
/// An empty text message, masked with zeros.
const EMPTY: &[u8] = b"\x81\x80\x00\x00\x00\x00";

fn handshake(target: &str) -> String {
    format!(
        "GET {target} HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
}

fn accept(exchange: Exchange, slot: &Slot) -> Connection {
    let head = exchange.handshake.unwrap().response(None, None).unwrap();
    let connection = exchange.reply.upgrade(head, None);
    slot.opened();
    connection
}

fn lost() -> ReceiveError {
    ReceiveError::Closed(CloseReason { code: 1006, reason: String::new(), by: ClosedBy::Lost })
}

/// Panics when the driver tells of a message, on the driver's task.
struct PanicsWhenWoken;

impl Wake for PanicsWhenWoken {
    fn wake(&self) {
        panic!("this panic is part of a test");
    }
}

/// A frame whose memory panics when the driver has written it and lets it go.
struct PanicsWhenWritten;

impl AsRef<[u8]> for PanicsWhenWritten {
    fn as_ref(&self) -> &[u8] {
        b"\x81\x04last"
    }
}

impl Drop for PanicsWhenWritten {
    fn drop(&mut self) {
        panic!("this panic is part of a test");
    }
}

/// A site with places for two sockets whose views, on `/victim`, do `harm` to their own driver and then wait; the others
/// echo. It tells how each socket ended.
fn harmed(harm: fn(&Connection)) -> (Site, mpsc::Receiver<ReceiveError>) {
    let config = ServerConfig {
        max_tcp_connections: Some(2),
        max_websocket_connections: 2,
        max_connections_per_address: Some(2),
        ..Default::default()
    };
    let (sender, ends) = mpsc::sync_channel(8);
    let site = Site::serving(config, move |exchange, slot| {
        let is_victim = exchange.head.uri == "/victim";
        let connection = accept(exchange, slot);
        if is_victim {
            harm(&connection);
        }
        let end = loop {
            match connection.receive(None) {
                Ok(message) => {
                    let echo = frame::encode_message(message.kind, &message.payload);
                    // A client that leaves in between is noticed by the next receive.
                    let _lost = connection.send(echo, Patience::Owner);
                }
                Err(end) => break end,
            }
        };
        sender.send(end).unwrap();
    });
    (site, ends)
}

fn opened(site: &Site, target: &str) -> Client {
    let mut client = site.connect();
    client.send(handshake(target));
    assert_eq!(client.receive_head()[0], "HTTP/1.1 101 Switching Protocols");
    client
}

/// One driver after the other panics, of a client that has read `said` and then sends `provoke`; each time the client finds
/// the stream ended without a Close, its view ends, its place can be taken, and the socket beside it goes on.
fn driver_panics(harm: fn(&Connection), said: &[u8], provoke: &[u8]) {
    let (site, ends) = harmed(harm);
    let mut bystander = opened(&site, "/");
    for _ in 0..5 {
        let mut victim = opened(&site, "/victim");
        assert_eq!(victim.receive_bytes(said.len()), said);
        victim.send(provoke);
        assert_eq!(victim.receive_rest().unwrap(), "");
        assert_eq!(ends.recv_timeout(PATIENCE).unwrap(), lost());
        until_equal(&(1, 1), || (site.server.connections(), site.workers.counts().websockets));
        assert_eq!(bystander.send(EMPTY).receive_bytes(2), b"\x81\x00");
    }
    site.server.close_connections(1001, "");
    assert_eq!(bystander.receive_bytes(4), b"\x88\x02\x03\xe9");
    bystander.send(b"\x88\x82\x00\x00\x00\x00\x03\xe9");
    assert_eq!(bystander.receive_rest().unwrap(), "");
    assert!(site.server.wait(PATIENCE));
}

/// Where the panics of a process of the tests are told of: a hook would keep those of the other tests from their output.
const TOLD: &str = "DWEBSOCKET_TESTS_NOTE_PANICS";

#[test]
fn driver_that_panics_is_told_of_in_the_log_and_on_standard_error_without_one() {
    if env::var_os(TOLD).is_some() {
        return panics_are_told();
    }
    let name = "server::faults::driver_that_panics_is_told_of_in_the_log_and_on_standard_error_without_one";
    let arguments = ["--exact", name, "--nocapture"];
    let child = Command::new(env::current_exe().unwrap()).args(arguments).env(TOLD, "1").output().unwrap();
    let said = String::from_utf8(child.stderr).unwrap();
    assert!(child.status.success(), "{said}");
    assert!(String::from_utf8(child.stdout).unwrap().contains("1 passed"));
    assert!(!said.contains("part of a test"), "{said}");
    assert!(said.contains("nobody tells of this one"), "{said}");
}

fn panics_are_told() {
    note_panics();
    let (connections, victims) = mpsc::sync_channel(1);
    let site = Site::serving(ServerConfig::default(), move |exchange, slot| {
        let connection = accept(exchange, slot);
        connection.wake_when_readable(Arc::new(PanicsWhenWoken));
        connections.send(connection.clone()).unwrap();
        while connection.receive(None).is_ok() {}
    });
    let mut client = opened(&site, "/");
    let victim = victims.recv_timeout(PATIENCE).unwrap();
    client.send(EMPTY);
    assert_eq!(client.receive_rest().unwrap(), "");
    let told = site.notices.take().unwrap();
    let [told] = told.as_slice() else { panic!("{told:?}") };
    assert_eq!((told.notice, told.count), (Notice::Panicked, 1));
    assert!(told.detail.starts_with("tests/rust/server/faults.rs:"), "{}", told.detail);
    assert!(told.detail.ends_with(": this panic is part of a test"), "{}", told.detail);
    until_equal(&Some(Fault::Panic), || victim.fault());
    site.notices.close();
    std::thread::spawn(|| panic!("nobody tells of this one")).join().unwrap_err();
}

#[test]
fn driver_that_panics_over_a_message_loses_its_connection_and_no_other() {
    let harm = |connection: &Connection| {
        connection.wake_when_readable(Arc::new(PanicsWhenWoken));
        connection.send(frame::encode_message(Kind::Text, b"harmed"), Patience::Owner).unwrap();
    };
    driver_panics(harm, b"\x81\x06harmed", EMPTY);
}

#[test]
fn driver_that_panics_over_a_frame_it_wrote_loses_its_connection_and_no_other() {
    let harm = |connection: &Connection| {
        connection.send(Bytes::from_owner(PanicsWhenWritten), Patience::Owner).unwrap();
    };
    driver_panics(harm, b"\x81\x04last", b"");
}

#[test]
fn request_whose_task_panics_gives_its_connection_and_its_place_back() {
    struct Fragile;
    impl App for Fragile {
        fn call(&self, exchange: Exchange) {
            assert_ne!(exchange.head.uri, "/panic", "this panic is part of a test");
            answer(exchange, "well");
        }
    }
    let config = ServerConfig {
        max_tcp_connections: Some(2),
        max_connections_per_address: Some(2),
        ..Default::default()
    };
    let (server, address, _runtime) = start(Arc::new(Fragile), config, &Arc::default());
    let mut bystander = Client::connect(address);
    assert_eq!(bystander.send(GET).receive().body, "well");
    let requests = [GET.replace("/ ", "/panic "), handshake("/panic")];
    for request in requests.iter().cycle().take(6) {
        let mut victim = Client::connect(address);
        victim.send(request);
        assert_eq!(victim.receive_rest().unwrap(), "");
        // With a place for two, the next victim would get 503 were this one's not free again.
        until_equal(&1, || server.connections());
        assert_eq!(bystander.send(GET).receive().body, "well");
    }
    drop(bystander);
    server.close_connections(1001, "");
    assert!(server.wait(PATIENCE));
}

#[test]
fn view_thread_that_never_comes_back_keeps_its_places_and_nothing_else() {
    let (go, may_end) = mpsc::sync_channel::<()>(0);
    let may_end = parking_lot::Mutex::new(may_end);
    let config = ServerConfig { http_threads: 2, handshake_threads: 1, ..Default::default() };
    let site = Site::serving(config, move |exchange, slot| {
        if exchange.head.uri == "/forever" {
            let connection = exchange.handshake.is_some().then(|| accept(exchange, slot));
            let _ended = may_end.lock().recv();
            drop(connection);
        } else if exchange.handshake.is_some() {
            let connection = accept(exchange, slot);
            while let Ok(message) = connection.receive(None) {
                connection
                    .send(frame::encode_message(Kind::Binary, &message.payload), Patience::Owner)
                    .unwrap();
            }
        } else {
            answer(exchange, "well");
        }
    });
    let _stuck_socket = opened(&site, "/forever");
    let mut stuck_request = site.connect();
    stuck_request.send("GET /forever HTTP/1.1\r\nHost: a\r\n\r\n");
    until_equal(&(1, 1), || (site.workers.counts().http, site.workers.counts().websockets));
    let mut socket = opened(&site, "/");
    assert_eq!(socket.send(EMPTY).receive_bytes(2), b"\x82\x00");
    assert_eq!(site.connect().send(GET).receive().body, "well");
    site.workers.stop();
    site.server.close_connections(1001, "");
    assert!(!site.server.wait(std::time::Duration::from_millis(50)));
    drop(go);
    until_equal(&(0, 0), || (site.workers.counts().http, site.workers.counts().websockets));
}
