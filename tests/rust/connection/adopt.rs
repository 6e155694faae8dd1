//! Sockets taken over from a server, which here is the test.

use std::{
    io::{ErrorKind, Read, Write},
    net::{Shutdown, TcpListener, TcpStream, UdpSocket},
    os::{
        fd::{AsFd, AsRawFd, BorrowedFd},
        unix::net::UnixStream,
    },
    sync::Arc,
};

use bytes::Bytes;
use dwebsocket::{
    config::ConnectionConfig,
    connection::{Connection, adopt::Adopted},
    error::{AdoptError, ClosedBy},
};
use rustix::{
    fs::{OFlags, fcntl_getfl},
    io::{FdFlags, fcntl_getfd},
};
use tokio::runtime::{Builder, Runtime};

use super::support::{LONG, client_frame, config, reason};

const HEAD: Bytes = Bytes::from_static(b"HTTP/1.1 101 Switching Protocols\r\n\r\n");

fn runtime() -> Runtime {
    Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

/// The server's socket and the client's.
fn accepted() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    client.set_read_timeout(Some(LONG)).unwrap();
    (listener.accept().unwrap().0, client)
}

fn take(adopted: &Adopted, server: BorrowedFd<'_>, early: &'static [u8]) -> Connection {
    let adoption = adopted.prepare(server, quiet(), None, usize::MAX).unwrap();
    adoption.take(HEAD, Bytes::from_static(early)).unwrap()
}

fn quiet() -> Arc<ConnectionConfig> {
    config(|_| {})
}

fn expect(mut client: impl Read, expected: &[u8]) {
    let mut received = vec![0; expected.len()];
    client.read_exact(&mut received).unwrap();
    assert_eq!(received, expected);
}

/// Reads until the end of the stream.
fn rest(mut stream: impl Read) -> Vec<u8> {
    let mut received = Vec::new();
    stream.read_to_end(&mut received).unwrap();
    received
}

#[test]
fn the_client_gets_the_head_and_the_websocket_and_nothing_of_the_server() {
    let runtime = runtime();
    let adopted = Adopted::new(runtime.handle().clone(), Arc::default()).unwrap();
    let (mut server, mut client) = accepted();
    let connection = take(&adopted, server.as_fd(), b"");
    expect(&client, &HEAD);
    client.write_all(&client_frame(0x81, b"hello")).unwrap();
    assert_eq!(&connection.receive(Some(LONG)).unwrap().payload[..], b"hello");
    server.write_all(b"HTTP/1.1 200 OK\r\n\r\n").unwrap();
    connection.close(1000, "");
    expect(&client, b"\x88\x02\x03\xE8");
    client.write_all(&client_frame(0x88, b"\x03\xE8")).unwrap();
    assert_eq!(rest(&client), b"");
    drop(client);
    assert!(adopted.wait(LONG));
}

#[test]
fn the_server_reads_the_end_and_writes_closes_and_shuts_down_as_it_likes() {
    let runtime = runtime();
    let adopted = Adopted::new(runtime.handle().clone(), Arc::default()).unwrap();
    let (mut server, client) = accepted();
    let connection = take(&adopted, server.as_fd(), b"");
    let response = vec![b'x'; 1 << 20];
    // More than any buffer between the two: somebody reads it.
    server.write_all(&response).unwrap();
    assert_eq!(server.read(&mut [0; 1]).unwrap(), 0);
    server.shutdown(Shutdown::Write).unwrap();
    drop(server);
    expect(&client, &HEAD);
    connection.close(1000, "");
    expect(&client, b"\x88\x02\x03\xE8");
}

#[test]
fn the_servers_descriptor_keeps_number_mode_and_flags() {
    let runtime = runtime();
    let adopted = Adopted::new(runtime.handle().clone(), Arc::default()).unwrap();
    for nonblocking in [false, true] {
        let (mut server, _client) = accepted();
        server.set_nonblocking(nonblocking).unwrap();
        let number = server.as_raw_fd();
        let _connection = take(&adopted, server.as_fd(), b"");
        assert_eq!(server.as_raw_fd(), number);
        assert_eq!(fcntl_getfl(&server).unwrap().contains(OFlags::NONBLOCK), nonblocking);
        assert!(fcntl_getfd(&server).unwrap().contains(FdFlags::CLOEXEC));
        assert_eq!(server.read(&mut [0; 1]).unwrap(), 0);
    }
}

#[test]
fn what_the_server_has_read_already_comes_before_what_it_has_not() {
    let runtime = runtime();
    let adopted = Adopted::new(runtime.handle().clone(), Arc::default()).unwrap();
    let (server, mut client) = accepted();
    client.write_all(b"llo").unwrap();
    let connection = take(&adopted, server.as_fd(), b"\x81\x85\0\0\0\0he");
    assert_eq!(&connection.receive(Some(LONG)).unwrap().payload[..], b"hello");
}

#[test]
fn an_adoption_that_is_not_taken_leaves_the_socket_to_the_server() {
    let runtime = runtime();
    let adopted = Adopted::new(runtime.handle().clone(), Arc::default()).unwrap();
    let (mut server, mut client) = accepted();
    drop(adopted.prepare(server.as_fd(), quiet(), None, 1).unwrap());
    assert_eq!(adopted.count(), 0);
    client.write_all(b"GET").unwrap();
    expect(&server, b"GET");
    server.write_all(b"HTTP").unwrap();
    expect(&client, b"HTTP");
    assert!(!fcntl_getfl(&server).unwrap().contains(OFlags::NONBLOCK));
    drop(server);
    assert_eq!(rest(&client), b"");
}

#[test]
fn an_adoption_that_fails_leaves_the_socket_as_it_was() {
    let runtime = runtime();
    let adopted = Adopted::new(runtime.handle().clone(), Arc::default()).unwrap();
    let server = UdpSocket::bind("127.0.0.1:0").unwrap();
    let before = fcntl_getfl(&server).unwrap();
    let adoption = adopted.prepare(server.as_fd(), quiet(), None, 1).unwrap();
    assert_eq!(adoption.take(HEAD, Bytes::new()).unwrap_err().kind(), ErrorKind::InvalidInput);
    assert_eq!(fcntl_getfl(&server).unwrap(), before);
    let address = server.local_addr().unwrap();
    server.send_to(b"still there", address).unwrap();
    assert_eq!(server.recv(&mut [0; 20]).unwrap(), 11);
    assert_eq!(adopted.count(), 0);
}

#[test]
fn as_many_are_adopted_as_the_limit_says_and_one_more_is_refused() {
    let runtime = runtime();
    let adopted = Adopted::new(runtime.handle().clone(), Arc::default()).unwrap();
    let (server, client) = accepted();
    let connection = take(&adopted, server.as_fd(), b"");
    let (next, _other) = accepted();
    let refused = adopted.prepare(next.as_fd(), quiet(), None, 1);
    assert!(matches!(refused, Err(AdoptError::TooMany)));
    assert!(adopted.prepare(next.as_fd(), quiet(), None, 2).is_ok());
    drop(client);
    assert!(adopted.wait(LONG));
    assert_eq!(connection.close_reason(), Some(reason(1006, "", ClosedBy::Lost)));
    assert!(adopted.prepare(next.as_fd(), quiet(), None, 1).is_ok());
}

#[test]
fn closing_all_closes_those_that_are_open_and_those_that_come_later() {
    let runtime = runtime();
    let adopted = Adopted::new(runtime.handle().clone(), Arc::default()).unwrap();
    let (server, client) = accepted();
    let _connection = take(&adopted, server.as_fd(), b"");
    adopted.close(1001, "");
    expect(&client, &[&HEAD[..], b"\x88\x02\x03\xE9"].concat());
    let (server, later) = accepted();
    let _connection = take(&adopted, server.as_fd(), b"");
    expect(&later, &[&HEAD[..], b"\x88\x02\x03\xE9"].concat());
    assert!(!adopted.wait(std::time::Duration::ZERO));
    drop((client, later));
    assert!(adopted.wait(LONG));
}

#[test]
fn a_client_that_has_left_already_gives_a_connection_that_is_lost() {
    let runtime = runtime();
    let adopted = Adopted::new(runtime.handle().clone(), Arc::default()).unwrap();
    let (server, client) = accepted();
    socket2::SockRef::from(&client).set_linger(Some(std::time::Duration::ZERO)).unwrap();
    drop(client);
    let connection = take(&adopted, server.as_fd(), b"");
    assert!(connection.wait_closed(Some(LONG)));
    assert_eq!(connection.close_reason(), Some(reason(1006, "", ClosedBy::Lost)));
}

#[test]
fn a_unix_socket_is_adopted_as_well() {
    let runtime = runtime();
    let adopted = Adopted::new(runtime.handle().clone(), Arc::default()).unwrap();
    let (server, mut client) = UnixStream::pair().unwrap();
    let connection = take(&adopted, server.as_fd(), b"");
    expect(&client, &HEAD);
    client.write_all(&client_frame(0x81, b"hello")).unwrap();
    assert_eq!(&connection.receive(Some(LONG)).unwrap().payload[..], b"hello");
    assert_eq!(connection.peer(), "unix");
}

#[test]
fn its_tasks_end_when_the_websocket_and_the_server_are_done() {
    let runtime = runtime();
    let adopted = Adopted::new(runtime.handle().clone(), Arc::default()).unwrap();
    let (server, client) = accepted();
    let connection = take(&adopted, server.as_fd(), b"");
    expect(&client, &HEAD);
    connection.close(1000, "");
    expect(&client, b"\x88\x02\x03\xE8");
    drop(server);
    client.shutdown(Shutdown::Write).unwrap();
    assert_eq!(rest(&client), b"");
    assert!(adopted.wait(LONG));
    assert!(connection.wait_closed(Some(LONG)));
    // They end a moment after what they serve; the one that is left waits for signals.
    let tasks = runtime.handle().clone();
    while tasks.metrics().num_alive_tasks() > 1 {
        std::thread::yield_now();
    }
}
