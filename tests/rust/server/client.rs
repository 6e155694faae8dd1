//! A client that sends literal bytes and tells what came back.

use std::{
    io::{self, Read, Write},
    net::{Shutdown, SocketAddr, TcpStream},
};

use super::site::PATIENCE;

pub(super) struct Client {
    pub(super) stream: TcpStream,
    received: Vec<u8>,
}

/// A response as it was sent, without its `date` field.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Received {
    /// Status line and fields, each without its line end.
    pub(super) head: Vec<String>,
    pub(super) body: String,
}

impl Received {
    pub(super) fn status(&self) -> &str {
        &self.head[0]
    }

    pub(super) fn field(&self, name: &str) -> Option<&str> {
        let prefix = format!("{name}: ");
        self.head.iter().find_map(|line| line.strip_prefix(&prefix))
    }
}

impl Client {
    pub(super) fn connect(address: SocketAddr) -> Self {
        Self::over(TcpStream::connect(address).unwrap())
    }

    /// Connects from another address of this machine.
    pub(super) fn connect_from(own: &str, address: SocketAddr) -> Self {
        let socket = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).unwrap();
        let own: std::net::IpAddr = own.parse().unwrap();
        socket.bind(&SocketAddr::new(own, 0).into()).unwrap();
        socket.connect(&address.into()).unwrap();
        Self::over(socket.into())
    }

    fn over(stream: TcpStream) -> Self {
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        Self { stream, received: Vec::new() }
    }

    pub(super) fn send(&mut self, bytes: impl AsRef<[u8]>) -> &mut Self {
        self.stream.write_all(bytes.as_ref()).unwrap();
        self
    }

    /// Sends nothing more; still reads.
    pub(super) fn finish_sending(&mut self) -> &mut Self {
        self.stream.shutdown(Shutdown::Write).unwrap();
        self
    }

    /// Reads the next response; how long its body is, its fields tell.
    pub(super) fn receive(&mut self) -> Received {
        let head = self.receive_head();
        let received = Received { head, body: String::new() };
        let body = if received.field("transfer-encoding") == Some("chunked") {
            self.receive_chunks()
        } else {
            let length = received.field("content-length").map_or(0, |length| length.parse().unwrap());
            self.receive_bytes(length)
        };
        Received { body: String::from_utf8(body).unwrap(), ..received }
    }

    /// Reads up to and including the empty line behind a head.
    pub(super) fn receive_head(&mut self) -> Vec<String> {
        let text = self.receive_until(b"\r\n\r\n");
        let lines = text.trim_end().split("\r\n").map(str::to_owned);
        lines.filter(|line| !line.starts_with("date: ")).collect()
    }

    pub(super) fn receive_until(&mut self, end: &[u8]) -> String {
        loop {
            if let Some(at) = self.received.windows(end.len()).position(|window| window == end) {
                let rest = self.received.split_off(at + end.len());
                return String::from_utf8(std::mem::replace(&mut self.received, rest)).unwrap();
            }
            assert_ne!(self.read_more().unwrap(), 0, "closed behind {:?}", self.text());
        }
    }

    pub(super) fn receive_bytes(&mut self, length: usize) -> Vec<u8> {
        while self.received.len() < length {
            assert_ne!(self.read_more().unwrap(), 0, "closed behind {:?}", self.text());
        }
        let rest = self.received.split_off(length);
        std::mem::replace(&mut self.received, rest)
    }

    /// Reads one chunk; empty at the last.
    pub(super) fn receive_chunk(&mut self) -> Vec<u8> {
        let size = self.receive_until(b"\r\n");
        let size = usize::from_str_radix(size.trim_end(), 16).unwrap();
        let mut chunk = self.receive_bytes(size + 2);
        assert_eq!(chunk.split_off(size), b"\r\n");
        chunk
    }

    fn receive_chunks(&mut self) -> Vec<u8> {
        let mut body = Vec::new();
        loop {
            let chunk = self.receive_chunk();
            if chunk.is_empty() {
                return body;
            }
            body.extend(chunk);
        }
    }

    /// Reads to the end of the stream.
    pub(super) fn receive_rest(&mut self) -> io::Result<String> {
        while self.read_more()? > 0 {}
        Ok(String::from_utf8(std::mem::take(&mut self.received)).unwrap())
    }

    /// Forgets what was read ahead, and tells how much it was.
    pub(super) fn take_received(&mut self) -> usize {
        std::mem::take(&mut self.received).len()
    }

    fn text(&self) -> String {
        String::from_utf8_lossy(&self.received).into_owned()
    }

    fn read_more(&mut self) -> io::Result<usize> {
        let mut buffer = vec![0; 64 << 10];
        let read = self.stream.read(&mut buffer)?;
        self.received.extend_from_slice(&buffer[..read]);
        Ok(read)
    }
}
