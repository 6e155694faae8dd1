//! What a server counts for the sums of its process.

use std::collections::BTreeMap;

use bytes::Bytes;
use dwebsocket::{config::ServerConfig, connection::stats::Refusal};

use super::{
    client::Client,
    site::{Site, answer, until_equal},
};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const HANDSHAKE: &str = "GET / HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

/// Of what was refused, the reasons and how often.
fn refused(site: &Site) -> Vec<(Refusal, u64)> {
    let refused = site.notices.stats().figures().refused.into_iter();
    refused.filter(|(_, count)| *count > 0).collect()
}

fn status_of(client: &mut Client) -> String {
    client.receive().status()["HTTP/1.1 ".len()..][..3].to_owned()
}

#[test]
fn requests_beyond_the_queue_are_counted() {
    let site = Site::open(ServerConfig { http_threads: 1, http_waiting: 1, ..Default::default() });
    let mut waiting = [site.connect(), site.connect()];
    for client in &mut waiting {
        client.send(GET);
    }
    until_equal(&2, || site.workers.counts().http_waiting);
    assert_eq!(status_of(site.connect().send(GET)), "503");
    assert_eq!(refused(&site), [(Refusal::HttpBusy, 1)]);
    site.workers.stop();
    assert_eq!(waiting.each_mut().map(status_of), ["503", "503"]);
    assert_eq!(status_of(site.connect().send(GET)), "503");
    assert_eq!(refused(&site), [(Refusal::HttpBusy, 1), (Refusal::Stopping, 3)]);
}

#[test]
fn connections_and_websockets_beyond_their_limits_are_counted() {
    let full = Site::open(ServerConfig { max_tcp_connections: Some(1), ..Default::default() });
    let _first = full.connect();
    assert_eq!(status_of(&mut full.connect()), "503");
    assert_eq!(refused(&full), [(Refusal::ConnectionsFull, 1)]);

    let full = Site::open(ServerConfig { max_connections_per_address: Some(1), ..Default::default() });
    let _first = full.connect();
    assert_eq!(status_of(&mut full.connect()), "503");
    assert_eq!(refused(&full), [(Refusal::AddressFull, 1)]);

    let full = Site::open(ServerConfig { max_websocket_connections: 1, ..Default::default() });
    let mut first = full.connect();
    first.send(HANDSHAKE);
    until_equal(&1, || full.workers.counts().websockets);
    assert_eq!(status_of(full.connect().send(HANDSHAKE)), "503");
    assert_eq!(refused(&full), [(Refusal::WebSocketsFull, 1)]);
}

#[test]
fn requests_that_no_view_sees_are_counted_by_their_fault() {
    let config = ServerConfig { max_request_line_bytes: 200, max_header_bytes: 500, ..Default::default() };
    let site = Site::serving(config, |exchange, _| answer(exchange, "in"));
    let long = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(200));
    assert_eq!(status_of(site.connect().send(long)), "414");
    assert_eq!(refused(&site), [(Refusal::RequestLineTooLong, 1)]);
    assert_eq!(status_of(site.connect().send("GET / HTTP/1.1\r\nHost: a\r\nHost: a\r\n\r\n")), "400");
    let large = format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(500));
    assert_eq!(status_of(site.connect().send(large)), "431");
    let expected = [(Refusal::RequestLineTooLong, 1), (Refusal::HeaderTooLarge, 1), (Refusal::BadRequest, 1)];
    until_equal(&expected.to_vec(), || refused(&site));
    assert_eq!(status_of(site.connect().send(HANDSHAKE.replace("13", "12"))), "426");
    assert_eq!(refused(&site)[2..], [(Refusal::BadRequest, 2)], "a handshake is a request as well");
    assert_eq!(site.connect().send(GET).receive().body, "in");
    assert_eq!(refused(&site)[2..], [(Refusal::BadRequest, 2)], "what is served is not refused");
}

#[test]
fn websockets_of_a_server_are_counted_from_the_101_to_the_end() {
    let site = Site::serving(ServerConfig::default(), |exchange, slot| {
        let head = exchange.handshake.unwrap().response(None, None).unwrap();
        let connection = exchange.reply.upgrade(head, None);
        slot.opened();
        connection
            .send(Bytes::from_static(b"\x81\x05Hello"), dwebsocket::connection::Patience::Owner)
            .unwrap();
        assert!(connection.receive(None).is_err());
    });
    let stats = site.notices.stats();
    let mut client = site.connect();
    client.send(HANDSHAKE).receive_head();
    assert_eq!(client.receive_bytes(7), b"\x81\x05Hello");
    // Who sends counts behind the sending.
    let counted = || {
        let figures = stats.figures();
        (figures.open, figures.opened, figures.counts.sent_bytes)
    };
    until_equal(&(1, 1, 7), counted);
    client.send(b"\x88\x82\0\0\0\0\x0f\xA1");
    assert_eq!(client.receive_bytes(4), b"\x88\x02\x0f\xA1");
    drop(client);
    until_equal(&BTreeMap::from([(4001, 1)]), || stats.figures().closed);
    assert_eq!(counted(), (0, 1, 7));
}
