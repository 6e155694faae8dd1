//! Bounds of a request's head, each at the bound and one past it.

use std::time::Duration;

use dwebsocket::{
    config::ServerConfig,
    server::{Notice, Told},
};

use super::site::{Site, answer};

fn limited(config: ServerConfig) -> Site {
    Site::serving(config, |exchange, _| answer(exchange, "in"))
}

/// A request whose header section, the request line and the empty line included, has `length` bytes.
fn request_of(length: usize) -> String {
    let start = "GET / HTTP/1.1\r\nHost: a\r\nX: ";
    format!("{start}{}\r\n\r\n", "x".repeat(length - start.len() - 4))
}

#[test]
fn header_section_at_the_limit_is_taken_and_one_past_it_gets_431() {
    let site = limited(ServerConfig { max_header_bytes: 500, ..Default::default() });
    assert_eq!(site.connect().send(request_of(500)).receive().body, "in");
    let text = site.connect().send(request_of(501)).receive_rest().unwrap();
    assert!(text.starts_with("HTTP/1.1 431 Request Header Fields Too Large\r\n"), "{text}");
}

#[test]
fn default_limit_takes_64_kib() {
    let site = limited(ServerConfig::default());
    assert_eq!(site.connect().send(request_of(64 << 10)).receive().body, "in");
    let text = site.connect().send(request_of((64 << 10) + 1)).receive_rest().unwrap();
    assert!(text.starts_with("HTTP/1.1 431 "), "{text}");
}

#[test]
fn refusal_reaches_a_client_that_goes_on_sending() {
    let site = limited(ServerConfig::default());
    let text = site.connect().send(request_of(1 << 20)).receive_rest().unwrap();
    assert!(text.starts_with("HTTP/1.1 431 "), "{text}");
}

#[test]
fn number_of_fields_at_the_limit_is_taken_and_one_past_it_gets_431() {
    for limit in [2, 100, 101] {
        let site = limited(ServerConfig { max_headers: limit, ..Default::default() });
        let request =
            |fields: usize| format!("GET / HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(fields - 1));
        assert_eq!(site.connect().send(request(limit)).receive().body, "in", "{limit}");
        let text = site.connect().send(request(limit + 1)).receive_rest().unwrap();
        assert!(text.starts_with("HTTP/1.1 431 "), "{limit}: {text}");
    }
}

#[test]
fn header_section_that_does_not_end_in_time_gets_408() {
    let site = limited(ServerConfig { header_timeout: Duration::from_millis(30), ..Default::default() });
    let text = site.connect().send("GET / HTTP/1.1\r\nHost").receive_rest().unwrap();
    assert_eq!(text, "HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
}

#[test]
fn idle_connection_is_closed_without_a_word() {
    let site = limited(ServerConfig { header_timeout: Duration::from_millis(30), ..Default::default() });
    assert_eq!(site.connect().receive_rest().unwrap(), "");
    let mut client = site.connect();
    assert_eq!(client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").receive().body, "in");
    assert_eq!(client.receive_rest().unwrap(), "");
}

#[test]
fn request_line_at_the_limit_is_taken_and_one_past_it_gets_414() {
    let site = limited(ServerConfig { max_request_line_bytes: 100, ..Default::default() });
    let request = |length: usize| {
        let target = "x".repeat(length - "GET / HTTP/1.1".len());
        format!("GET /{target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    };
    assert_eq!(site.connect().send(request(100)).receive().body, "in");
    let text = site.connect().send(request(101)).receive_rest().unwrap();
    assert!(text.starts_with("HTTP/1.1 414 URI Too Long\r\n"), "{text}");
    assert_eq!(noted(&site), [(Notice::RequestLineTooLong, 1)]);
}

#[test]
fn default_limit_of_the_request_line_is_8190_bytes() {
    let site = limited(ServerConfig::default());
    let request = |length: usize| {
        let target = "x".repeat(length - "GET /? HTTP/1.1".len());
        format!("GET /?{target} HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
    };
    assert_eq!(site.connect().send(request(8190)).receive().body, "in");
    assert!(site.connect().send(request(8191)).receive_rest().unwrap().starts_with("HTTP/1.1 414 "));
}

const REFUSED: &str = "HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\n";

fn greeted(site: &Site) -> super::client::Client {
    let mut client = site.connect();
    assert_eq!(client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").receive().body, "in");
    client
}

fn noted(site: &Site) -> Vec<(Notice, u64)> {
    let told = site.notices.take().unwrap();
    told.into_iter().map(|Told { notice, count, .. }| (notice, count)).collect()
}

/// A connection is counted until its task has ended, which tells nobody.
fn until_open(site: &Site, connections: usize) {
    while site.server.connections() != connections {
        std::thread::yield_now();
    }
}

#[test]
fn connections_at_the_limit_are_served_and_one_past_it_gets_503() {
    let site = limited(ServerConfig { max_tcp_connections: Some(2), ..Default::default() });
    let (first, second) = (greeted(&site), greeted(&site));
    let text = site.connect().receive_rest().unwrap();
    assert!(text.starts_with(REFUSED), "{text}");
    assert_eq!(noted(&site), [(Notice::ConnectionsFull, 1)]);
    drop(first);
    until_open(&site, 1);
    drop((greeted(&site), second));
}

#[test]
fn connections_of_one_address_at_the_limit_are_served_and_one_past_it_gets_503() {
    let site = limited(ServerConfig { max_connections_per_address: Some(1), ..Default::default() });
    let first = greeted(&site);
    let text = site.connect().receive_rest().unwrap();
    assert!(text.starts_with(REFUSED), "{text}");
    let told = site.notices.take().unwrap();
    let here = "127.0.0.1".parse().ok();
    assert_eq!(told, [Told { notice: Notice::AddressFull, count: 1, address: here }]);
    let mut elsewhere = super::client::Client::connect_from("127.0.0.2", site.address);
    assert_eq!(elsewhere.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").receive().body, "in");
    drop(first);
    until_open(&site, 1);
    greeted(&site);
}
