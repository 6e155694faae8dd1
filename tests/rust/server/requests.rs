//! Requests and the connections they come by.

use dwebsocket::{config::ServerConfig, server::Exchange};

use super::site::{Site, answer, ok};

fn hello() -> Site {
    Site::serving(ServerConfig::default(), |exchange, _| answer(exchange, "hello"))
}

/// Answers with method, target and version.
fn echo_line() -> Site {
    Site::serving(ServerConfig::default(), |exchange, _| {
        let Exchange { head, reply, .. } = exchange;
        let line = format!("{} {} {:?}", head.method, head.uri, head.version);
        reply.send(ok(), line.into()).unwrap();
    })
}

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

#[test]
fn whole_response_has_a_length_and_a_date_and_names_no_server() {
    let site = hello();
    let text = site.connect().send(GET).finish_sending().receive_rest().unwrap();
    let (before, after) = text.split_once("date: ").unwrap();
    assert_eq!(before, "HTTP/1.1 200 OK\r\ncontent-length: 5\r\n");
    let (date, after) = after.split_once("\r\n").unwrap();
    assert!(httpdate::parse_http_date(date).is_ok(), "{date}");
    assert_eq!(after, "\r\nhello");
}

#[test]
fn connection_serves_one_request_after_another() {
    let site = echo_line();
    let mut client = site.connect();
    for number in 0..3 {
        client.send(format!("GET /{number} HTTP/1.1\r\nHost: a\r\n\r\n"));
        assert_eq!(client.receive().body, format!("GET /{number} HTTP/1.1"));
    }
    assert_eq!(site.server.connections(), 1);
}

#[test]
fn pipelined_requests_are_answered_in_their_order() {
    let site = echo_line();
    let mut client = site.connect();
    client.send(
        "GET /1 HTTP/1.1\r\nHost: a\r\n\r\nPOST /2 HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc\
         GET /3 HTTP/1.1\r\nHost: a\r\n\r\n",
    );
    let bodies = [(); 3].map(|()| client.receive().body);
    assert_eq!(bodies, ["GET /1 HTTP/1.1", "POST /2 HTTP/1.1", "GET /3 HTTP/1.1"]);
}

#[test]
fn request_in_single_bytes_is_understood() {
    let site = echo_line();
    let mut client = site.connect();
    client.stream.set_nodelay(true).unwrap();
    for byte in GET.as_bytes() {
        client.send([*byte]);
    }
    assert_eq!(client.receive().body, "GET / HTTP/1.1");
}

#[test]
fn connection_of_http_1_0_closes_after_the_response() {
    let site = echo_line();
    let mut client = site.connect();
    client.send("GET / HTTP/1.0\r\n\r\n");
    let received = client.receive();
    assert_eq!(received.head, ["HTTP/1.0 200 OK", "content-length: 14"]);
    assert_eq!(received.body, "GET / HTTP/1.0");
    assert_eq!(client.receive_rest().unwrap(), "");
}

#[test]
fn connection_of_http_1_0_that_asks_to_be_kept_is_kept() {
    let site = echo_line();
    let mut client = site.connect();
    for _ in 0..2 {
        let received = client.send("GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n").receive();
        assert_eq!(received.field("connection"), Some("keep-alive"));
        assert_eq!(received.body, "GET / HTTP/1.0");
    }
}

#[test]
fn connection_close_is_honoured_and_told() {
    let site = hello();
    let mut client = site.connect();
    client.send("GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
    assert_eq!(client.receive().field("connection"), Some("close"));
    assert_eq!(client.receive_rest().unwrap(), "");
}

#[test]
fn client_that_shuts_its_sending_side_down_still_gets_its_answer() {
    let site = hello();
    let text = site.connect().send(GET).finish_sending().receive_rest().unwrap();
    assert!(text.ends_with("\r\n\r\nhello"), "{text}");
}

#[test]
fn head_tells_the_length_of_the_body_it_leaves_out() {
    let site = hello();
    let mut client = site.connect();
    client.send("HEAD / HTTP/1.1\r\nHost: a\r\n\r\n");
    assert_eq!(client.receive_head(), ["HTTP/1.1 200 OK", "content-length: 5"]);
    client.send(GET);
    assert_eq!(client.receive().body, "hello");
}

#[test]
fn request_without_a_host_is_refused() {
    let site = hello();
    let received = site.connect().send("GET / HTTP/1.1\r\n\r\n").receive();
    assert_eq!(received.status(), "HTTP/1.1 400 Bad Request");
    assert_eq!(received.body, "A request has one Host.\n");
}

#[test]
fn request_with_two_hosts_is_refused() {
    let site = hello();
    let received = site.connect().send("GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n").receive();
    assert_eq!(received.status(), "HTTP/1.1 400 Bad Request");
}

#[test]
fn connect_is_refused() {
    let site = hello();
    let received = site.connect().send("CONNECT a:80 HTTP/1.1\r\nHost: a:80\r\n\r\n").receive();
    assert_eq!(received.status(), "HTTP/1.1 501 Not Implemented");
}

#[test]
fn gibberish_is_answered_with_400_and_the_close() {
    let site = hello();
    let text = site.connect().send("what is this\r\n\r\n").receive_rest().unwrap();
    assert!(text.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{text}");
}

#[test]
fn conflicting_lengths_are_refused() {
    let site = hello();
    let request = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab";
    let text = site.connect().send(request).receive_rest().unwrap();
    assert!(text.starts_with("HTTP/1.1 400 Bad Request\r\n"), "{text}");
}

#[test]
fn application_that_does_not_answer_sends_500() {
    let site = Site::serving(ServerConfig::default(), |exchange, _| drop(exchange));
    let mut client = site.connect();
    let received = client.send(GET).receive();
    assert_eq!(received.status(), "HTTP/1.1 500 Internal Server Error");
    assert_eq!(received.body, "The server made an error.\n");
    assert_eq!(client.send(GET).receive().status(), "HTTP/1.1 500 Internal Server Error");
}

#[test]
fn exchange_knows_both_addresses() {
    let site = Site::serving(ServerConfig::default(), |exchange, _| {
        let text = format!("{} {}", exchange.peer.unwrap(), exchange.local.unwrap());
        exchange.reply.send(ok(), text.into()).unwrap();
    });
    let mut client = site.connect();
    let expected = format!("{} {}", client.stream.local_addr().unwrap(), site.address);
    assert_eq!(client.send(GET).receive().body, expected);
}
