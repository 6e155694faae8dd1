//! Listening sockets and what is accepted from them.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    os::unix::net::{UnixListener, UnixStream},
    process::Command,
    sync::Arc,
};

use bytes::Bytes;
use dwebsocket::{
    config::ServerConfig,
    server::{App, Exchange, Listener, Preface, Server},
};
use tokio::runtime::Runtime;

use super::{
    client::Client,
    site::{PATIENCE, ok, until},
};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

/// Answers on the runtime's thread, with the addresses it sees.
struct Addresses;

impl App for Addresses {
    fn call(&self, exchange: Exchange) {
        let text = format!("{:?} {:?}", exchange.peer, exchange.local);
        // A client that is gone is no failure of these tests.
        let _gone = exchange.reply.send(ok(), Bytes::from(text));
    }
}

fn serve(listeners: Vec<Listener>) -> (Server, Runtime) {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let server = Server::start(
        runtime.handle(),
        listeners,
        Arc::new(Addresses),
        Arc::new(ServerConfig::default()),
        &Arc::default(),
        Preface::default(),
    )
    .unwrap();
    (server, runtime)
}

#[test]
fn several_listeners_of_both_families_are_served_at_once() {
    let mut listeners = vec![TcpListener::bind("127.0.0.1:0").unwrap()];
    // Some machines have no IPv6.
    listeners.extend(TcpListener::bind("[::1]:0"));
    listeners.push(TcpListener::bind("127.0.0.1:0").unwrap());
    let addresses: Vec<_> = listeners.iter().map(|listener| listener.local_addr().unwrap()).collect();
    let (server, _runtime) = serve(listeners.into_iter().map(Listener::from).collect());
    for address in addresses {
        let mut client = Client::connect(address);
        let own = client.stream.local_addr().unwrap();
        assert_eq!(client.send(GET).receive().body, format!("{:?} {:?}", Some(own), Some(address)));
    }
    assert_eq!(server.accept_failures(), 0);
}

#[test]
fn unix_socket_is_served_without_addresses() {
    let path = std::env::temp_dir().join(format!("dwebsocket-{}.socket", std::process::id()));
    let listener = UnixListener::bind(&path).unwrap();
    let (_server, _runtime) = serve(vec![listener.into()]);
    let mut stream = UnixStream::connect(&path).unwrap();
    std::fs::remove_file(&path).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(b"GET / HTTP/1.0\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    assert!(text.ends_with("\r\n\r\nNone None"), "{text}");
}

#[test]
fn listener_knows_its_address() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    assert_eq!(Listener::from(listener).local_addr(), Some(address));
}

/// Asks this test binary to run the ignored test below with few descriptors.
#[test]
fn server_out_of_descriptors_pauses_and_goes_on() {
    let binary = std::env::current_exe().unwrap();
    let output = Command::new("sh")
        .args(["-c", "ulimit -n 40 && exec \"$0\" \"$@\""])
        .arg(binary)
        .args(["--exact", "server::listening::with_few_descriptors", "--ignored", "--nocapture"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{output:?}");
}

#[test]
#[ignore = "run by server_out_of_descriptors_pauses_and_goes_on, in a process of its own"]
fn with_few_descriptors() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (server, _runtime) = serve(vec![listener.into()]);
    let mut clients = Vec::new();
    // Each connection takes a descriptor at either end, so the client's connect or the server's accept fails first.
    until("the server runs out of descriptors", || {
        if let Ok(stream) = TcpStream::connect(address) {
            clients.push(stream);
        } else {
            clients.truncate(clients.len().saturating_sub(1));
        }
        (server.accept_failures() > 0).then_some(())
    });
    drop(clients);
    assert_eq!(Client::connect(address).send(GET).receive().status(), "HTTP/1.1 200 OK");
}
