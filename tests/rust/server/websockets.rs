//! Handshakes, and sockets that become WebSockets.

use std::sync::{Arc, mpsc};

use bytes::Bytes;
use dwebsocket::{
    config::{ConnectionConfig, ServerConfig},
    connection::{Connection, Patience},
    error::{CloseReason, ClosedBy, ReceiveError},
    server::{Exchange, Slot},
    wire::frame,
};
use futures_util::{SinkExt, StreamExt};
use http::StatusCode;
use parking_lot::Mutex;
use tokio_tungstenite::tungstenite::{self, Message};

use super::{
    client::Client,
    site::{PATIENCE, Site, answer, status, until_equal},
};

const HANDSHAKE: &str = "GET /socket HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
/// "Hello", masked (RFC 6455 section 5.7), and what an echo makes of it.
pub(super) const HELLO: &[u8] = &[0x81, 0x85, 0x37, 0xfa, 0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58];
pub(super) const HELLO_BACK: &[u8] = b"\x81\x05Hello";

fn accept(exchange: Exchange, slot: &Slot) -> Connection {
    let head = exchange.handshake.unwrap().response(None, None).unwrap();
    let connection = exchange.reply.upgrade(head, None);
    slot.opened();
    connection
}

fn echo_until_the_end(connection: &Connection) -> ReceiveError {
    loop {
        match connection.receive(None) {
            Ok(message) => {
                // A client that leaves in between is not what these tests are about.
                let _lost =
                    connection.send(frame::encode_message(message.kind, &message.payload), Patience::Owner);
            }
            Err(error) => return error,
        }
    }
}

/// Echoes on a handshake and tells how each WebSocket ended; answers HTTP with "plain".
pub(super) fn echo(config: ServerConfig) -> (Site, mpsc::Receiver<ReceiveError>) {
    let (sender, ends) = mpsc::sync_channel(64);
    let site = Site::serving(config, move |exchange, slot| {
        if exchange.handshake.is_none() {
            return answer(exchange, "plain");
        }
        let end = echo_until_the_end(&accept(exchange, slot));
        // Some tests do not listen.
        let _unheard = sender.try_send(end);
    });
    (site, ends)
}

pub(super) fn upgrade(client: &mut Client) {
    client.send(HANDSHAKE);
    assert_eq!(
        client.receive_head(),
        [
            "HTTP/1.1 101 Switching Protocols",
            "upgrade: websocket",
            "connection: Upgrade",
            "sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=",
        ]
    );
}

#[test]
fn accepted_handshake_becomes_a_websocket() {
    let (site, _) = echo(ServerConfig::default());
    let mut client = site.connect();
    upgrade(&mut client);
    assert_eq!(client.send(HELLO).receive_bytes(7), HELLO_BACK);
}

#[test]
fn frame_in_the_packet_of_the_handshake_is_answered() {
    let (site, _) = echo(ServerConfig::default());
    let mut client = site.connect();
    client.send([HANDSHAKE.as_bytes(), HELLO].concat()).receive_head();
    assert_eq!(client.receive_bytes(7), HELLO_BACK);
}

#[test]
fn connection_that_served_http_can_become_a_websocket() {
    let (site, _) = echo(ServerConfig::default());
    let mut client = site.connect();
    assert_eq!(client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").receive().body, "plain");
    upgrade(&mut client);
    assert_eq!(client.send(HELLO).receive_bytes(7), HELLO_BACK);
}

#[test]
fn handshake_pipelined_behind_a_request_becomes_a_websocket() {
    let (site, _) = echo(ServerConfig::default());
    let mut client = site.connect();
    client.send([b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", HANDSHAKE.as_bytes(), HELLO].concat());
    assert_eq!(client.receive().body, "plain");
    assert_eq!(client.receive_head()[0], "HTTP/1.1 101 Switching Protocols");
    assert_eq!(client.receive_bytes(7), HELLO_BACK);
}

#[test]
fn client_of_another_make_talks_and_closes() {
    let (site, ends) = echo(ServerConfig::default());
    let url = format!("ws://{}/socket", site.address);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let (mut socket, _) = tokio_tungstenite::connect_async(url).await.unwrap();
        for message in [Message::text("grüße"), Message::binary(vec![7; 100_000])] {
            socket.send(message.clone()).await.unwrap();
            assert_eq!(socket.next().await.unwrap().unwrap(), message);
        }
        socket.close(None).await.unwrap();
        while let Some(message) = socket.next().await {
            assert!(message.unwrap().is_close());
        }
    });
    let end = CloseReason { code: 1005, reason: String::new(), by: ClosedBy::Peer };
    assert_eq!(ends.recv_timeout(PATIENCE).unwrap(), ReceiveError::Closed(end));
    until_equal(&0, || site.workers.counts().websockets);
    assert!(site.server.wait(PATIENCE));
}

#[test]
fn handshake_may_be_answered_with_a_plain_response() {
    let site = Site::serving(ServerConfig::default(), |exchange, _| {
        exchange.reply.send(status(StatusCode::FORBIDDEN), Bytes::from_static(b"no")).unwrap();
    });
    let mut client = site.connect();
    let received = client.send(HANDSHAKE).receive();
    assert_eq!((received.status(), received.body.as_str()), ("HTTP/1.1 403 Forbidden", "no"));
    assert_eq!(client.send(HANDSHAKE).receive().status(), "HTTP/1.1 403 Forbidden");
    until_equal(&0, || site.workers.counts().websockets);
}

#[test]
fn wrong_version_is_refused_with_the_version_that_works() {
    let (site, _) = echo(ServerConfig::default());
    let received = site.connect().send(HANDSHAKE.replace("13", "8")).receive();
    assert_eq!(received.status(), "HTTP/1.1 426 Upgrade Required");
    assert_eq!(received.field("sec-websocket-version"), Some("13"));
    assert_eq!(received.field("upgrade"), Some("websocket"));
    assert_eq!(received.field("connection"), Some("Upgrade, close"));
    assert_eq!(received.field("content-type"), Some("text/plain; charset=utf-8"));
    assert!(received.body.ends_with('\n'));
}

#[test]
fn malformed_handshake_never_reaches_the_application() {
    let site = Site::open(ServerConfig::default());
    for (from, to) in [("dGhlIHNhbXBsZSBub25jZQ==", "short"), ("Connection: Upgrade\r\n", "")] {
        let mut client = site.connect();
        let received = client.send(HANDSHAKE.replace(from, to)).receive();
        assert_eq!(received.status(), "HTTP/1.1 400 Bad Request", "{to}");
        assert_eq!(client.receive_rest().unwrap(), "");
    }
    assert_eq!(site.workers.counts(), dwebsocket::server::ThreadCounts::default());
}

#[test]
fn handshake_with_a_body_is_refused() {
    let site = Site::open(ServerConfig::default());
    let request = HANDSHAKE.replace("Host: a\r\n", "Host: a\r\nContent-Length: 2\r\n") + "ab";
    let received = site.connect().send(request).receive();
    assert_eq!(received.status(), "HTTP/1.1 400 Bad Request");
    assert_eq!(received.body, "A WebSocket handshake has no body.\n");
}

#[test]
fn websocket_of_a_client_that_left_before_the_101_is_lost() {
    let (go, may_accept) = mpsc::sync_channel::<()>(0);
    let may_accept = Mutex::new(may_accept);
    let (sender, ends) = mpsc::sync_channel(1);
    let site = Site::serving(ServerConfig::default(), move |exchange, slot| {
        may_accept.lock().recv_timeout(PATIENCE).unwrap();
        let connection = accept(exchange, slot);
        sender.send(connection.receive(Some(PATIENCE)).unwrap_err()).unwrap();
    });
    let mut client = site.connect();
    client.send(HANDSHAKE);
    until_equal(&1, || site.workers.counts().handshakes);
    drop(client);
    go.send(()).unwrap();
    let end = CloseReason { code: 1006, reason: String::new(), by: ClosedBy::Lost };
    assert_eq!(ends.recv_timeout(PATIENCE).unwrap(), ReceiveError::Closed(end));
    assert!(site.server.wait(PATIENCE));
}

#[test]
fn closing_the_server_reaches_every_websocket() {
    // The last client answers when all others have.
    let patient = ConnectionConfig { close_timeout: PATIENCE, ..Default::default() };
    let (site, ends) = echo(ServerConfig { connection: Arc::new(patient), ..Default::default() });
    let mut clients: Vec<Client> = (0..20).map(|_| site.connect()).collect();
    for client in &mut clients {
        upgrade(client);
    }
    site.server.close_connections(1012, "again");
    site.server.close_connections(1001, "only the first counts");
    for client in &mut clients {
        assert_eq!(client.receive_bytes(9), b"\x88\x07\x03\xf4again");
        // The Close with 1012, masked with zeros.
        client.send(b"\x88\x82\x00\x00\x00\x00\x03\xf4");
        assert_eq!(client.receive_rest().unwrap(), "");
        let ReceiveError::Closed(end) = ends.recv_timeout(PATIENCE).unwrap() else { panic!("timed out") };
        assert_eq!((end.code, end.by), (1012, ClosedBy::Us));
    }
    drop(clients);
    assert!(site.server.wait(PATIENCE));
    until_equal(&0, || site.workers.counts().websockets);
}

#[test]
fn websocket_that_opens_while_the_server_closes_gets_the_close() {
    let (go, may_accept) = mpsc::sync_channel::<()>(0);
    let may_accept = Mutex::new(may_accept);
    let site = Site::serving(ServerConfig::default(), move |exchange, slot| {
        may_accept.lock().recv_timeout(PATIENCE).unwrap();
        echo_until_the_end(&accept(exchange, slot));
    });
    let mut client = site.connect();
    client.send(HANDSHAKE);
    until_equal(&1, || site.workers.counts().handshakes);
    site.server.close_connections(1001, "");
    go.send(()).unwrap();
    assert_eq!(client.receive_head()[0], "HTTP/1.1 101 Switching Protocols");
    assert_eq!(client.receive_bytes(4), b"\x88\x02\x03\xe9");
}

#[test]
fn many_clients_open_talk_and_close_and_nothing_is_left() {
    let (site, _) = echo(ServerConfig { handshake_threads: 4, ..Default::default() });
    let url = format!("ws://{}/socket", site.address);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let talk = |url: String| async move {
        let (mut socket, _) = tokio_tungstenite::connect_async(url).await?;
        for number in 0..10 {
            let message = Message::text(number.to_string());
            socket.send(message.clone()).await?;
            assert_eq!(socket.next().await.unwrap()?, message);
        }
        socket.close(None).await?;
        while socket.next().await.transpose()?.is_some() {}
        Ok::<(), tungstenite::Error>(())
    };
    runtime.block_on(async {
        let clients: Vec<_> = (0..100).map(|_| tokio::spawn(talk(url.clone()))).collect();
        for client in clients {
            tokio::time::timeout(PATIENCE, client).await.unwrap().unwrap().unwrap();
        }
    });
    assert!(site.server.wait(PATIENCE));
    until_equal(&0, || site.workers.counts().websockets);
    assert_eq!(site.workers.counts().handshakes, 0);
}

#[test]
fn handshake_that_nobody_answers_gets_500() {
    let site = Site::serving(ServerConfig::default(), |exchange, _| drop(exchange));
    let received = site.connect().send(HANDSHAKE).receive();
    assert_eq!(received.status(), "HTTP/1.1 500 Internal Server Error");
    until_equal(&0, || site.workers.counts().websockets);
}
