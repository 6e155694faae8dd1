//! The end of a server.

use std::{
    net::TcpStream,
    sync::{Arc, mpsc},
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use dwebsocket::{
    config::ServerConfig,
    server::{App, BodyError, Exchange, Workers, WriteError},
};
use parking_lot::Mutex;

use super::{
    client::Client,
    site::{PATIENCE, Site, answer, ok, start, until_equal},
};

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
    let workers = Workers::new(&ServerConfig::default(), Arc::default());
    let (server, address, _runtime) = start(workers, ServerConfig::default(), &Arc::default());
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
    let mut idle = site.connect();
    until_equal(&(1, 2), || (site.workers.counts().http, site.server.connections()));
    site.server.close_connections(1001, "");
    // The end of the idle connection shows that the runtime's only thread has left the step that called the view.
    assert_eq!(idle.receive_rest().unwrap(), "");
    go.send(()).unwrap();
    let received = client.receive();
    assert_eq!((received.body.as_str(), received.field("connection")), ("done", Some("close")));
    assert_eq!(client.receive_rest().unwrap(), "");
    assert!(site.server.wait(PATIENCE));
}

#[test]
fn runtime_that_ends_frees_the_threads_that_wait_for_a_client() {
    let workers = Workers::new(&ServerConfig::default(), Arc::default());
    let app: Arc<dyn App> = Arc::clone(&workers) as Arc<dyn App>;
    let (server, address, runtime) = start(app, ServerConfig::default(), &Arc::default());
    let mut client = Client::connect(address);
    client.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\n");
    let Exchange { mut body, .. } = *workers.take().unwrap().exchange;
    let mut other = Client::connect(address);
    other.send(GET);
    let Exchange { reply, .. } = *workers.take().unwrap().exchange;
    let mut writer = reply.start(ok()).unwrap();
    let reading = thread::spawn(move || body.read());
    let writing = thread::spawn(move || {
        loop {
            if let Err(error) = writer.write(Bytes::from(vec![b'x'; 64 << 10])) {
                return error;
            }
        }
    });
    other.receive_head();
    runtime.shutdown_background();
    assert_eq!(reading.join().unwrap(), Err(BodyError::ClientGone));
    assert_eq!(writing.join().unwrap(), WriteError::ClientGone);
    assert!(server.wait(PATIENCE));
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
    thread::scope(|scope| {
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
