//! Bounds of a request's head, each at the bound and one past it.

use std::{
    io::{self, Write},
    time::{Duration, Instant},
};

use dwebsocket::{
    config::ServerConfig,
    server::{Notice, Told},
};

use super::site::{PATIENCE, Site, answer, answer_with_body, until};

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
    assert_eq!(noted(&site), [(Notice::HeaderTooLarge, 1)]);
}

#[test]
fn header_section_that_has_no_end_gets_431_at_the_limit() {
    let site = limited(ServerConfig { max_header_bytes: 500, ..Default::default() });
    let text = site.connect().send(&request_of(600)[..500]).receive_rest().unwrap();
    assert!(text.starts_with("HTTP/1.1 431 "), "{text}");
    assert_eq!(noted(&site), [(Notice::HeaderTooLarge, 1)]);
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
        assert_eq!(noted(&site), [(Notice::TooManyHeaders, 1)]);
    }
}

#[test]
fn field_at_the_limit_is_taken_and_one_past_it_gets_431() {
    let site = limited(ServerConfig { max_header_field_bytes: Some(20), ..Default::default() });
    let request = |length: usize| format!("GET / HTTP/1.1\r\nHost: a\r\nX: {}\r\n\r\n", "x".repeat(length));
    // "X: ", fifteen and the line end.
    assert_eq!(site.connect().send(request(15)).receive().body, "in");
    let text = site.connect().send(request(16)).receive_rest().unwrap();
    assert!(text.starts_with("HTTP/1.1 431 Request Header Fields Too Large\r\n"), "{text}");
}

#[test]
fn without_keep_alive_a_connection_ends_with_its_first_response() {
    let site = limited(ServerConfig { keep_alive: false, ..Default::default() });
    let mut client = site.connect();
    let received = client.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").receive();
    assert_eq!((received.body.as_str(), received.field("connection")), ("in", Some("close")));
    assert_eq!(client.receive_rest().unwrap(), "");
}

#[test]
fn header_section_that_does_not_end_in_time_gets_408() {
    let site = limited(ServerConfig { header_timeout: Duration::from_millis(30), ..Default::default() });
    let text = until_in_time(|| {
        let mut client = site.connect();
        client.stream.write_all(b"GET / HTTP/1.1\r\nHost")?;
        client.receive_rest()
    });
    assert_eq!(text, "HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n");
    assert_eq!(noted(&site), [(Notice::HeaderTimedOut, 1)]);
}

#[test]
fn header_section_in_single_bytes_gets_408_when_its_time_is_over() {
    let site = limited(ServerConfig { header_timeout: Duration::from_millis(300), ..Default::default() });
    let begin = || {
        let mut client = site.connect();
        client.send("GET / HTTP/1.1\r\nHost: a\r\nX: ");
        client
    };
    let mut client = begin();
    let start = Instant::now();
    // Bytes that go on coming do not put the end off.
    while !site.notices.waits_to_be_told() {
        if client.stream.write_all(b"x").is_err() {
            // The first bytes came so late that the connection was closed as one that is idle.
            client = begin();
        }
        std::thread::sleep(Duration::from_millis(10));
        assert!(start.elapsed() < PATIENCE, "it is still let in");
    }
    assert_eq!(noted(&site), [(Notice::HeaderTimedOut, 1)]);
}

#[test]
fn idle_connection_is_closed_without_a_word() {
    let site = limited(ServerConfig { header_timeout: Duration::from_millis(30), ..Default::default() });
    assert_eq!(site.connect().receive_rest().unwrap(), "");
    let text = until_in_time(|| {
        let mut client = site.connect();
        client.stream.write_all(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")?;
        client.receive_rest()
    });
    assert!(text.starts_with("HTTP/1.1 200 OK\r\n") && text.ends_with("\r\n\r\nin"), "{text}");
    assert!(!site.notices.waits_to_be_told());
}

/// What a client gets that began its request before the server closed the connection for the silence in it:
/// on a busy machine it tries more than once.
fn until_in_time(mut attempt: impl FnMut() -> io::Result<String>) -> String {
    until("an answer to a client that is quick enough", || attempt().ok().filter(|text| !text.is_empty()))
}

#[test]
fn request_that_will_not_do_is_told_of_with_its_reason() {
    let long = format!("/{}", "x".repeat(1000));
    for (request, detail) in [
        ("GET / HTTP/1.1\r\n\r\n".to_owned(), "/ with 400: A request has one Host.".to_owned()),
        (
            format!("GET {long} HTTP/1.1\r\n\r\n"),
            format!("{} with 400: A request has one Host.", &long[..100]),
        ),
        (
            "GET /chat HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n".to_owned(),
            "/chat with 426: Sec-WebSocket-Version must be 13".to_owned(),
        ),
        ("GE(T / HTTP/1.1\r\n\r\n".to_owned(), "invalid HTTP method parsed".to_owned()),
    ] {
        let site = limited(ServerConfig::default());
        assert!(site.connect().send(&request).receive_rest().unwrap().starts_with("HTTP/1.1 4"));
        let address = "127.0.0.1".parse().ok();
        let expected = Told { notice: Notice::BadRequest, count: 1, address, detail };
        assert_eq!(site.notices.take().unwrap(), [expected]);
    }
}

#[test]
fn target_longer_than_any_that_is_taken_is_told_of_as_such() {
    let site = limited(ServerConfig { max_header_bytes: 1 << 20, ..Default::default() });
    let request = format!("GET /{} HTTP/1.1\r\nHost: a\r\n\r\n", "x".repeat(70_000));
    assert!(site.connect().send(request).receive_rest().unwrap().starts_with("HTTP/1.1 414 "));
    assert_eq!(noted(&site), [(Notice::RequestLineTooLong, 1)]);
}

#[test]
fn body_at_the_limit_is_taken_and_one_byte_more_gets_413_before_it_is_sent() {
    let config = ServerConfig { max_body_bytes: Some(10), ..Default::default() };
    let site = Site::serving(config, |exchange, _| answer_with_body(exchange));
    let post = |length: usize| format!("POST /in HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n");
    assert_eq!(site.connect().send(post(10) + "0123456789").receive().body, "0123456789");
    let text = site.connect().send(post(11)).receive_rest().unwrap();
    assert!(text.starts_with("HTTP/1.1 413 Payload Too Large\r\n"), "{text}");
    assert!(text.contains("\r\nconnection: close\r\n"), "{text}");
    let address = "127.0.0.1".parse().ok();
    let expected = Told { notice: Notice::BodyTooLarge, count: 1, address, detail: "/in".to_owned() };
    assert_eq!(site.notices.take().unwrap(), [expected]);
}

#[test]
fn client_that_waits_to_be_told_to_send_too_large_a_body_is_told_413_instead() {
    let config = ServerConfig { max_body_bytes: Some(10), ..Default::default() };
    let site = Site::serving(config, |exchange, _| answer_with_body(exchange));
    let request = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 11\r\nExpect: 100-continue\r\n\r\n";
    let text = site.connect().send(request).receive_rest().unwrap();
    assert!(text.starts_with("HTTP/1.1 413 "), "{text}");
}

#[test]
fn chunked_body_at_the_limit_is_taken_and_one_byte_more_is_an_error_of_the_body() {
    let config = ServerConfig { max_body_bytes: Some(10), ..Default::default() };
    let site = Site::serving(config, |exchange, _| answer_with_body(exchange));
    let head = "POST /in HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    let at_limit = format!("{head}6\r\n012345\r\n4\r\n6789\r\n0\r\n\r\n");
    assert_eq!(site.connect().send(at_limit).receive().body, "0123456789");
    // No end: it is refused as soon as the byte is there.
    let text = site.connect().send(format!("{head}6\r\n012345\r\n5\r\n6789a\r\n")).receive_rest().unwrap();
    assert!(text.ends_with("TooLarge { limit: 10 }"), "{text}");
    assert!(text.contains("\r\nconnection: close\r\n"), "{text}");
    assert_eq!(noted(&site), [(Notice::BodyTooLarge, 1)]);
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
    let expected = Told { notice: Notice::AddressFull, count: 1, address: here, detail: String::new() };
    assert_eq!(told, [expected]);
    let mut elsewhere = super::client::Client::connect_from("127.0.0.2", site.address);
    assert_eq!(elsewhere.send("GET / HTTP/1.1\r\nHost: a\r\n\r\n").receive().body, "in");
    drop(first);
    until_open(&site, 1);
    greeted(&site);
}
