//! Responses, whole and piece by piece.

use std::{sync::mpsc, time::Duration};

use bytes::Bytes;
use dwebsocket::{
    config::ServerConfig,
    server::{BodyWriter, WriteError},
};
use http::{Response, StatusCode};
use parking_lot::Mutex;

use super::site::{PATIENCE, Site, answer, is_reset, ok, status};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const HEAD: &str = "HEAD / HTTP/1.1\r\nHost: a\r\n\r\n";
const OLD_GET: &str = "GET / HTTP/1.0\r\n\r\n";

fn with_length(length: &'static str) -> Response<()> {
    Response::builder().header("content-length", length).body(()).unwrap()
}

/// A site that answers a path `/stream` with what `stream` writes, everything else with "plain".
fn streaming(head: fn() -> Response<()>, stream: impl Fn(BodyWriter) + Send + Sync + 'static) -> Site {
    Site::serving(ServerConfig::default(), move |exchange, _| {
        if exchange.head.uri == "/plain" {
            return answer(exchange, "plain");
        }
        stream(exchange.reply.start(head()).unwrap());
    })
}

fn write_abc(mut writer: BodyWriter) {
    for piece in ["a", "", "bc"] {
        writer.write(Bytes::from_static(piece.as_bytes())).unwrap();
    }
    writer.finish().unwrap();
}

#[test]
fn every_piece_reaches_the_client_before_the_next_is_written() {
    let (next, may_write) = mpsc::sync_channel::<()>(0);
    let may_write = Mutex::new(may_write);
    let site = streaming(ok, move |mut writer| {
        for piece in ["one", "two", "three"] {
            writer.write(Bytes::from_static(piece.as_bytes())).unwrap();
            may_write.lock().recv_timeout(PATIENCE).unwrap();
        }
        writer.finish().unwrap();
    });
    let mut client = site.connect();
    client.send(GET);
    assert_eq!(client.receive_head(), ["HTTP/1.1 200 OK", "transfer-encoding: chunked"]);
    for piece in ["one", "two", "three"] {
        assert_eq!(client.receive_chunk(), piece.as_bytes());
        next.send(()).unwrap();
    }
    assert_eq!(client.receive_chunk(), b"");
    assert_eq!(client.send("GET /plain HTTP/1.1\r\nHost: a\r\n\r\n").receive().body, "plain");
}

#[test]
fn head_of_a_stream_reaches_the_client_before_its_first_piece() {
    let (next, may_write) = mpsc::sync_channel::<()>(0);
    let may_write = Mutex::new(may_write);
    let site = streaming(ok, move |writer| {
        may_write.lock().recv_timeout(PATIENCE).unwrap();
        write_abc(writer);
    });
    let mut client = site.connect();
    client.send(GET);
    assert_eq!(client.receive_head()[0], "HTTP/1.1 200 OK");
    next.send(()).unwrap();
    assert_eq!(client.receive_chunk(), b"a");
}

#[test]
fn stream_of_a_told_length_is_not_chunked() {
    let site = streaming(|| with_length("3"), write_abc);
    let mut client = site.connect();
    let received = client.send(GET).receive();
    assert_eq!(received.head, ["HTTP/1.1 200 OK", "content-length: 3"]);
    assert_eq!(received.body, "abc");
    assert_eq!(client.send("GET /plain HTTP/1.1\r\nHost: a\r\n\r\n").receive().body, "plain");
}

#[test]
fn stream_to_http_1_0_ends_with_the_close() {
    let site = streaming(ok, write_abc);
    let text = site.connect().send(OLD_GET).receive_rest().unwrap();
    assert!(text.starts_with("HTTP/1.0 200 OK\r\n"), "{text}");
    assert!(!text.contains("chunked"), "{text}");
    assert!(text.ends_with("\r\n\r\nabc"), "{text}");
}

#[test]
fn stream_to_head_has_no_body() {
    for (head, fields) in [
        (ok as fn() -> Response<()>, vec!["HTTP/1.1 200 OK"]),
        (|| with_length("3"), vec!["HTTP/1.1 200 OK", "content-length: 3"]),
    ] {
        let site = streaming(head, write_abc);
        let mut client = site.connect();
        assert_eq!(client.send(HEAD).receive_head(), fields);
        assert_eq!(client.send("GET /plain HTTP/1.1\r\nHost: a\r\n\r\n").receive().body, "plain");
    }
}

#[test]
fn statuses_without_a_body_are_sent_without_it() {
    for code in [StatusCode::NO_CONTENT, StatusCode::NOT_MODIFIED] {
        let site = Site::serving(ServerConfig::default(), move |exchange, _| {
            if exchange.head.uri == "/stream" {
                return write_abc(exchange.reply.start(status(code)).unwrap());
            }
            let mut head = status(code);
            head.headers_mut().insert("content-length", "3".parse().unwrap());
            exchange.reply.send(head, Bytes::from_static(b"abc")).unwrap();
        });
        let mut client = site.connect();
        for target in ["/", "/stream", "/"] {
            client.send(format!("GET {target} HTTP/1.1\r\nHost: a\r\n\r\n"));
            assert_eq!(client.receive_head(), [format!("HTTP/1.1 {code}")], "{target}");
        }
    }
}

#[test]
fn informational_status_is_no_answer() {
    let site = Site::serving(ServerConfig::default(), |exchange, _| {
        exchange.reply.send(status(StatusCode::PROCESSING), Bytes::new()).unwrap();
    });
    let text = site.connect().send(GET).receive_rest().unwrap();
    assert!(text.starts_with("HTTP/1.1 500 Internal Server Error\r\n"), "{text}");
}

#[test]
fn empty_response_tells_its_length() {
    let site = Site::serving(ServerConfig::default(), |exchange, _| answer(exchange, ""));
    let received = site.connect().send(GET).receive();
    assert_eq!(received.head, ["HTTP/1.1 200 OK", "content-length: 0"]);
}

#[test]
fn whole_response_longer_than_its_told_length_is_cut() {
    let site = Site::serving(ServerConfig::default(), |exchange, _| {
        exchange.reply.send(with_length("3"), Bytes::from_static(b"abcdef")).unwrap();
    });
    let mut client = site.connect();
    assert_eq!(client.send(GET).receive().body, "abc");
    assert_eq!(client.send(GET).receive().body, "abc");
}

#[test]
fn whole_response_shorter_than_its_told_length_ends_in_the_close() {
    let site = Site::serving(ServerConfig::default(), |exchange, _| {
        exchange.reply.send(with_length("9"), Bytes::from_static(b"abc")).unwrap();
    });
    let text = site.connect().send(GET).receive_rest().unwrap();
    assert!(text.contains("\r\ncontent-length: 9\r\n"), "{text}");
    assert!(!text.ends_with("\r\n\r\n"), "{text}");
}

#[test]
fn stream_longer_than_its_told_length_is_cut() {
    let site = streaming(|| with_length("2"), write_abc);
    let mut client = site.connect();
    assert_eq!(client.send(GET).receive().body, "ab");
}

#[test]
fn stream_shorter_than_its_told_length_ends_in_the_close() {
    let site = streaming(|| with_length("4"), write_abc);
    let text = site.connect().send(GET).receive_rest().unwrap();
    assert!(text.ends_with("\r\n\r\nabc"), "{text}");
}

/// Writes "abc", lets the client see it, and gives the response up.
fn abandoned() -> (Site, mpsc::SyncSender<()>) {
    let (next, may_drop) = mpsc::sync_channel::<()>(0);
    let may_drop = Mutex::new(may_drop);
    let site = streaming(ok, move |mut writer| {
        writer.write(Bytes::from_static(b"abc")).unwrap();
        may_drop.lock().recv_timeout(PATIENCE).unwrap();
    });
    (site, next)
}

#[test]
fn abandoned_stream_lacks_its_last_chunk() {
    let (site, give_up) = abandoned();
    let mut client = site.connect();
    client.send(GET).receive_head();
    assert_eq!(client.receive_chunk(), b"abc");
    give_up.send(()).unwrap();
    assert_eq!(client.receive_rest().unwrap(), "");
}

#[test]
fn abandoned_stream_to_http_1_0_is_reset() {
    let (site, give_up) = abandoned();
    let mut client = site.connect();
    client.send(OLD_GET).receive_head();
    assert_eq!(client.receive_bytes(3), b"abc");
    give_up.send(()).unwrap();
    assert!(is_reset(&client.receive_rest().unwrap_err()));
}

/// A site whose view writes for ever, and what ended it.
fn endless(config: ServerConfig) -> (Site, mpsc::Receiver<(u64, WriteError)>) {
    let (sender, outcome) = mpsc::sync_channel(1);
    let site = Site::serving(config, move |exchange, _| {
        let mut writer = exchange.reply.start(ok()).unwrap();
        let piece = Bytes::from(vec![b'x'; 16 << 10]);
        let mut written = 0;
        let error = loop {
            match writer.write(piece.clone()) {
                Ok(()) => written += piece.len() as u64,
                Err(error) => break error,
            }
        };
        assert_eq!(writer.finish(), Err(error));
        sender.send((written, error)).unwrap();
    });
    (site, outcome)
}

#[test]
fn client_that_goes_away_ends_the_stream() {
    let (site, outcome) = endless(ServerConfig::default());
    let mut client = site.connect();
    client.send(GET).receive_head();
    drop(client);
    let (_, error) = outcome.recv_timeout(PATIENCE).unwrap();
    assert_eq!(error, WriteError::ClientGone);
}

#[test]
fn client_that_takes_nothing_is_given_up() {
    let config = ServerConfig { write_timeout: Duration::from_millis(50), ..Default::default() };
    let (site, outcome) = endless(config);
    let mut client = site.connect();
    client.send(GET).receive_head();
    let (written, error) = outcome.recv_timeout(PATIENCE).unwrap();
    assert_eq!(error, WriteError::TimedOut);
    assert!(written < 64 << 20, "{written} bytes waited for a client that takes none");
}

#[test]
fn whole_response_to_a_client_that_takes_nothing_is_given_up() {
    let config = ServerConfig { write_timeout: Duration::from_millis(50), ..Default::default() };
    let site = Site::serving(config, |exchange, _| {
        exchange.reply.send(ok(), Bytes::from(vec![b'x'; 16 << 20])).unwrap();
    });
    let mut client = site.connect();
    client.send(GET).receive_head();
    assert!(site.server.wait(PATIENCE));
}

#[test]
fn slow_client_that_takes_something_now_and_then_is_not_given_up() {
    let length = 8 << 20;
    let config = ServerConfig { write_timeout: Duration::from_secs(2), ..Default::default() };
    let body = Bytes::from(vec![b'x'; length]);
    let site = Site::serving(config, move |exchange, _| exchange.reply.send(ok(), body.clone()).unwrap());
    let mut client = site.connect();
    client.send(GET);
    assert_eq!(client.receive().body.len(), length);
}

#[test]
fn answer_to_a_client_that_left_in_its_request_ends_with_its_connection() {
    let (sender, answered) = mpsc::sync_channel(1);
    let site = Site::serving(ServerConfig::default(), move |mut exchange, _| {
        while exchange.body.read().is_ok() {}
        // Taken or not: the connection is just ending.
        let _sent = exchange.reply.send(ok(), Bytes::new());
        sender.send(()).unwrap();
    });
    let mut client = site.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc");
    drop(client);
    answered.recv_timeout(PATIENCE).unwrap();
    assert!(site.server.wait(PATIENCE));
}
