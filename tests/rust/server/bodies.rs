//! Bodies of requests.

use std::{
    io::{ErrorKind, Write},
    sync::mpsc,
    time::Duration,
};

use dwebsocket::{config::ServerConfig, server::BodyError};

use super::site::{PATIENCE, Site, answer, answer_with_body, until_equal};

fn echo() -> Site {
    Site::serving(ServerConfig::default(), |exchange, _| answer_with_body(exchange))
}

/// Answers without a look at the body.
fn ignore() -> Site {
    Site::serving(ServerConfig::default(), |exchange, _| answer(exchange, "ignored"))
}

#[test]
fn body_of_a_given_length_is_read_to_its_end() {
    let site = echo();
    let mut client = site.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 10\r\n\r\n01234");
    client.send("56789GET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.receive().body, "0123456789");
    assert_eq!(client.receive().body, "");
}

#[test]
fn body_without_bytes_is_empty() {
    for fields in ["", "Content-Length: 0\r\n", "Content-Length: 0\r\nExpect: 100-continue\r\n"] {
        let site = Site::serving(ServerConfig::default(), |exchange, _| {
            assert!(exchange.body.is_empty());
            answer_with_body(exchange);
        });
        let mut client = site.connect();
        let received = client.send(format!("POST / HTTP/1.1\r\nHost: a\r\n{fields}\r\n")).receive();
        assert_eq!((received.status(), received.body.as_str()), ("HTTP/1.1 200 OK", ""), "{fields}");
    }
}

#[test]
fn chunks_with_extensions_and_trailers_are_one_body() {
    let site = echo();
    let mut client = site.connect();
    client.send(
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nTrailer: X-Sum\r\n\r\n\
         3;name=value\r\nabc\r\nA\r\n0123456789\r\n1;q=\"a b\"\r\nz\r\n0\r\nX-Sum: 1\r\n\r\n\
         GET / HTTP/1.1\r\nHost: a\r\n\r\n",
    );
    assert_eq!(client.receive().body, "abc0123456789z");
    assert_eq!(client.receive().body, "");
}

#[test]
fn malformed_chunk_is_an_error_of_the_body() {
    let site = echo();
    let mut client = site.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\nnonsense\r\n");
    assert_eq!(client.receive().body, "Invalid");
    assert_eq!(client.receive_rest().unwrap(), "");
}

#[test]
fn client_that_expects_100_gets_it_at_the_first_read() {
    let (read, may_read) = mpsc::sync_channel::<()>(1);
    let may_read = parking_lot::Mutex::new(may_read);
    let site = Site::serving(ServerConfig::default(), move |exchange, _| {
        may_read.lock().recv_timeout(PATIENCE).unwrap();
        answer_with_body(exchange);
    });
    let mut client = site.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
    until_equal(&1, || site.workers.counts().http);
    read.send(()).unwrap();
    assert_eq!(client.receive_head(), ["HTTP/1.1 100 Continue"]);
    assert_eq!(client.send("ok").receive().body, "ok");
}

#[test]
fn client_that_expects_100_gets_the_answer_alone_when_nobody_reads() {
    let site = ignore();
    let mut client = site.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\nExpect: 100-continue\r\n\r\n");
    let received = client.receive();
    assert_eq!(received.status(), "HTTP/1.1 200 OK");
    assert_eq!(received.field("connection"), Some("close"));
    client.finish_sending();
    assert_eq!(client.receive_rest().unwrap(), "");
}

#[test]
fn client_that_goes_away_in_the_middle_is_gone() {
    for request in [
        "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc",
        "POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
    ] {
        let (sender, outcome) = mpsc::sync_channel(1);
        let site = Site::serving(ServerConfig::default(), move |mut exchange, _| {
            assert_eq!(exchange.body.read().unwrap().unwrap(), "abc");
            sender.send([exchange.body.read(), exchange.body.read()]).unwrap();
        });
        drop(site.connect().send(request).finish_sending().receive_rest());
        let gone = Err(BodyError::ClientGone);
        assert_eq!(outcome.recv_timeout(PATIENCE).unwrap(), [gone.clone(), gone], "{request}");
    }
}

#[test]
fn silent_client_times_out() {
    let config = ServerConfig { body_timeout: Duration::from_millis(20), ..Default::default() };
    let site = Site::serving(config, |exchange, _| answer_with_body(exchange));
    let mut client = site.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\nabc");
    let received = client.receive();
    assert_eq!(received.body, "TimedOut");
    assert_eq!(received.field("connection"), Some("close"));
}

#[test]
fn small_unread_body_does_not_end_the_connection() {
    let site = ignore();
    let mut client = site.connect();
    for length in [1, 64 << 10] {
        client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n"));
        let received = client.receive();
        assert_eq!((received.body.as_str(), received.field("connection")), ("ignored", None));
        client.send(vec![b'x'; length]);
    }
    client.send("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n");
    assert_eq!(client.receive().body, "ignored");
    client.send("3\r\nabc\r\n0\r\n\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.receive().body, "ignored");
}

#[test]
fn large_unread_body_ends_the_connection_after_a_whole_answer() {
    let site = ignore();
    let length = (64 << 10) + 1;
    let mut client = site.connect();
    client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n"));
    let received = client.receive();
    assert_eq!((received.body.as_str(), received.field("connection")), ("ignored", Some("close")));
    assert_eq!(client.receive_rest().unwrap(), "");
}

#[test]
fn answer_reaches_a_client_that_is_still_sending() {
    let site = ignore();
    let mut client = site.connect();
    let length = 3 << 20;
    client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {length}\r\n\r\n"));
    client.send(vec![b'x'; length]);
    assert_eq!(client.receive().body, "ignored");
    assert_eq!(client.finish_sending().receive_rest().unwrap(), "");
}

#[test]
fn body_that_nobody_reads_stays_with_the_client() {
    let (answer_now, may_answer) = mpsc::sync_channel::<()>(1);
    let may_answer = parking_lot::Mutex::new(may_answer);
    let site = Site::serving(ServerConfig::default(), move |exchange, _| {
        may_answer.lock().recv_timeout(PATIENCE).unwrap();
        answer(exchange, "done");
    });
    let mut client = site.connect();
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1073741824\r\n\r\n");
    client.stream.set_write_timeout(Some(Duration::from_millis(200))).unwrap();
    let piece = vec![b'x'; 64 << 10];
    let mut taken = 0;
    let full = loop {
        match client.stream.write(&piece) {
            Ok(written) => taken += written,
            Err(error) => break error,
        }
        assert!(taken < 64 << 20, "the server takes what nobody reads");
    };
    assert_eq!(full.kind(), ErrorKind::WouldBlock);
    answer_now.send(()).unwrap();
    // Who leaves before it would be a view without a client.
    assert_eq!(client.receive_head()[0], "HTTP/1.1 200 OK");
}
