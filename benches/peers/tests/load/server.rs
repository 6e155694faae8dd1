//! A small server with a thread for each client, which says what a test tells it to.

use std::{
    io::{BufRead, BufReader, Read, Write},
    net::{SocketAddr, TcpListener, TcpStream},
    sync::Arc,
    thread,
};

use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

/// One client, as the server sees it.
pub(crate) struct Peer {
    reader: BufReader<TcpStream>,
}

impl Peer {
    /// The next frame, unmasked; `None` at the end.
    pub(crate) fn receive(&mut self) -> Option<(u8, Vec<u8>)> {
        let mut header = [0; 2];
        self.reader.read_exact(&mut header).ok()?;
        let length = match header[1] & 0x7F {
            126 => {
                let mut length = [0; 2];
                self.reader.read_exact(&mut length).ok()?;
                usize::from(u16::from_be_bytes(length))
            }
            127 => {
                let mut length = [0; 8];
                self.reader.read_exact(&mut length).ok()?;
                usize::try_from(u64::from_be_bytes(length)).unwrap()
            }
            short => usize::from(short),
        };
        assert_eq!(header[1] & 0x80, 0x80, "a client masks");
        let mut key = [0; 4];
        self.reader.read_exact(&mut key).ok()?;
        let mut payload = vec![0; length];
        self.reader.read_exact(&mut payload).ok()?;
        for (index, byte) in payload.iter_mut().enumerate() {
            *byte ^= key[index % 4];
        }
        Some((header[0], payload))
    }

    /// Writes bytes as they are; whether the client still takes them.
    pub(crate) fn write(&mut self, bytes: &[u8]) -> bool {
        self.reader.get_mut().write_all(bytes).is_ok()
    }

    /// Writes a frame with this first byte.
    pub(crate) fn send(&mut self, first: u8, payload: &[u8]) -> bool {
        self.write(&frame(first, payload))
    }

    /// A second hand on the same socket.
    pub(crate) fn writer(&self) -> TcpStream {
        self.reader.get_ref().try_clone().unwrap()
    }
}

/// An unmasked frame.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first];
    match payload.len() {
        length @ 0..=125 => frame.push(u8::try_from(length).unwrap()),
        length @ 126..=65535 => {
            frame.push(126);
            frame.extend_from_slice(&u16::try_from(length).unwrap().to_be_bytes());
        }
        length => {
            frame.push(127);
            frame.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    frame.extend_from_slice(payload);
    frame
}

/// Serves clients with `serve`, after a right answer to their handshake.
pub(crate) fn start(serve: impl Fn(Peer) + Send + Sync + 'static) -> SocketAddr {
    start_with(|accept| format!("Sec-WebSocket-Accept: {accept}\r\n"), serve)
}

/// As [`start`]; `fields` makes the fields of the answer from the right accept key.
pub(crate) fn start_with(
    fields: impl Fn(&str) -> String + Send + Sync + 'static,
    serve: impl Fn(Peer) + Send + Sync + 'static,
) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let serve = Arc::new((fields, serve));
    thread::spawn(move || {
        for stream in listener.incoming() {
            let serve = Arc::clone(&serve);
            thread::spawn(move || {
                if let Some(peer) = shake_hands(stream.unwrap(), &serve.0) {
                    (serve.1)(peer);
                }
            });
        }
    });
    address
}

fn shake_hands(stream: TcpStream, fields: impl Fn(&str) -> String) -> Option<Peer> {
    stream.set_nodelay(true).unwrap();
    let mut reader = BufReader::new(stream);
    let mut accept = String::new();
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if let Some(key) = line.strip_prefix("Sec-WebSocket-Key: ") {
            accept = derive_accept_key(key.trim().as_bytes());
        }
        if line == "\r\n" {
            break;
        }
    }
    let fields = fields(&accept);
    let answer = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n{fields}\r\n"
    );
    let mut peer = Peer { reader };
    peer.write(answer.as_bytes()).then_some(peer)
}
