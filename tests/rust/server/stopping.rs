//! The end of a server.

use std::{
    net::TcpStream,
    sync::{Arc, mpsc},
    time::{Duration, Instant},
};

use dwebsocket::config::ServerConfig;
use parking_lot::Mutex;

use super::site::{PATIENCE, Site, answer, until_equal};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// A site whose views wait for the signal.
fn held() -> (Site, mpsc::SyncSender<()>) {
    let (go, may_answer) = mpsc::sync_channel::<()>(8);
    let may_answer = Arc::new(Mutex::new(may_answer));
    let site = Site::serving(ServerConfig::default(), move |exchange, _| {
        may_answer.lock().recv_timeout(PATIENCE).unwrap();
        answer(exchange, "done");
    });
    (site, go)
}

#[test]
fn server_that_stopped_accepting_refuses_connections_and_serves_the_open_ones() {
    let (site, go) = held();
    let mut client = site.connect();
    client.send(GET);
    until_equal(&1, || site.server.connections());
    site.server.stop_accepting();
    until_equal(&true, || TcpStream::connect(site.address).is_err());
    go.send(()).unwrap();
    assert_eq!(client.receive().body, "done");
    go.send(()).unwrap();
    assert_eq!(client.send(GET).receive().body, "done");
}

#[test]
fn dropped_server_stops_accepting() {
    use super::site::start;
    struct Silent;
    impl dwebsocket::server::App for Silent {
        fn call(&self, exchange: dwebsocket::server::Exchange) {
            drop(exchange);
        }
    }
    let (server, address, _runtime) = start(Arc::new(Silent), ServerConfig::default());
    drop(server);
    until_equal(&true, || TcpStream::connect(address).is_err());
}

#[test]
fn idle_connections_end_at_once() {
    let (site, go) = held();
    let mut fresh = site.connect();
    let mut used = site.connect();
    go.send(()).unwrap();
    assert_eq!(used.send(GET).receive().body, "done");
    until_equal(&2, || site.server.connections());
    site.server.close_connections(1001, "");
    assert_eq!(fresh.receive_rest().unwrap(), "");
    assert_eq!(used.receive_rest().unwrap(), "");
    assert!(site.server.wait(PATIENCE));
}

#[test]
fn request_in_flight_is_answered_before_its_connection_ends() {
    let (site, go) = held();
    let mut client = site.connect();
    client.send(GET);
    until_equal(&1, || site.workers.counts().http);
    site.server.close_connections(1001, "");
    go.send(()).unwrap();
    let received = client.receive();
    assert_eq!((received.body.as_str(), received.field("connection")), ("done", Some("close")));
    assert_eq!(client.receive_rest().unwrap(), "");
    assert!(site.server.wait(PATIENCE));
}

#[test]
fn wait_gives_up_when_its_time_is_over() {
    let (site, go) = held();
    let mut client = site.connect();
    client.send(GET);
    until_equal(&1, || site.workers.counts().http);
    let begin = Instant::now();
    assert!(!site.server.wait(Duration::from_millis(30)));
    assert!(begin.elapsed() >= Duration::from_millis(30));
    assert!(!site.server.wait(Duration::ZERO));
    go.send(()).unwrap();
    assert_eq!(client.receive().body, "done");
}

#[test]
fn wait_ends_with_the_last_connection() {
    let (site, _go) = held();
    assert!(site.server.wait(Duration::ZERO));
    let client = site.connect();
    until_equal(&1, || site.server.connections());
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| site.server.wait(PATIENCE));
        drop(client);
        assert!(waiting.join().unwrap());
    });
    assert_eq!(site.server.connections(), 0);
}

#[test]
fn wait_after_stop_accepting_leaves_no_listening_socket() {
    let (site, _go) = held();
    site.server.stop_accepting();
    assert!(site.server.wait(PATIENCE));
    assert!(TcpStream::connect(site.address).is_err());
}
