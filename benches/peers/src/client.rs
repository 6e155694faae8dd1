//! One WebSocket on a socket that does not block, or an HTTP response that goes on and on.

use std::{
    io::{self, Read, Write},
    net::SocketAddr,
};

use flate2::{Decompress, FlushDecompress, Status};
use mio::net::TcpStream;
use socket2::{Domain, Socket, Type};
use tokio_tungstenite::tungstenite::handshake::{client::generate_key, derive_accept_key};

use crate::{
    chunk,
    engine::Target,
    error::Failure,
    frame::{self, BINARY, CLOSE, CONTINUATION, PING, TEXT},
};

/// What a client reads into at first. It grows with the messages.
const INPUT_BYTES: usize = 4 << 10;
const MAX_HEAD_BYTES: usize = 64 << 10;

const OFFER: &str = "Sec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover; client_no_context_takeover\r\n";

/// One WebSocket; or a response in chunks, each of which counts as a message.
pub struct Client {
    number: usize,
    /// The socket, for the poll.
    pub stream: TcpStream,
    accept: String,
    is_open: bool,
    kind: Kind,
    inflater: Option<Inflater>,
    input: Vec<u8>,
    /// What of `input` has been read from the socket and not been looked at yet.
    begin: usize,
    end: usize,
    /// The server has ended its side.
    is_at_end: bool,
    /// What is to be sent, and how much of it has been.
    output: Vec<u8>,
    written: usize,
    /// The opcode of a message that comes in pieces, whether it is compressed, and the pieces.
    assembly: Option<(u8, bool)>,
    pieces: Vec<u8>,
}

/// What a client asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Kind {
    /// A WebSocket.
    Plain,
    /// One with permessage-deflate.
    Compressed,
    /// A response in chunks.
    Stream,
}

struct Inflater {
    state: Decompress,
    forgets: bool,
    output: Vec<u8>,
}

impl Client {
    /// Begins to connect; the handshake leaves as soon as it can.
    /// `holds`: bytes that its socket takes before they are read; `None`: what the system thinks right.
    pub fn connect(number: usize, target: &Target, holds: Option<usize>) -> Result<Self, Failure> {
        let io = |error| Failure::Io { client: number, error };
        let Target { address, path, .. } = target;
        let kind = match (target.is_stream, target.is_compressed) {
            (true, _) => Kind::Stream,
            (false, true) => Kind::Compressed,
            (false, false) => Kind::Plain,
        };
        let stream = match holds {
            None => TcpStream::connect(*address),
            Some(bytes) => connect_holding(*address, bytes),
        };
        let stream = stream.map_err(io)?;
        stream.set_nodelay(true).map_err(io)?;
        // Of clients that let go no socket stays behind, of which a machine has only some ten thousand.
        socket2::SockRef::from(&stream).set_linger(Some(std::time::Duration::ZERO)).map_err(io)?;
        let key = generate_key();
        let offer = if kind == Kind::Compressed { OFFER } else { "" };
        let upgrade = format!(
            "Origin: http://{address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
             Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n{offer}"
        );
        let fields: &str = if kind == Kind::Stream { "" } else { &upgrade };
        let request = format!("GET {path} HTTP/1.1\r\nHost: {address}\r\n{fields}\r\n");
        Ok(Self {
            number,
            stream,
            accept: derive_accept_key(key.as_bytes()),
            is_open: false,
            kind,
            inflater: None,
            input: vec![0; INPUT_BYTES],
            begin: 0,
            end: 0,
            is_at_end: false,
            output: request.into_bytes(),
            written: 0,
            assembly: None,
            pieces: Vec::new(),
        })
    }

    /// Whether the handshake has been answered.
    pub fn is_open(&self) -> bool {
        self.is_open
    }

    /// Whether the server has ended its side of the connection and everything it said before has been looked at.
    pub fn is_over(&self) -> bool {
        self.is_at_end && self.begin == self.end
    }

    /// Neither reads nor writes any more.
    pub fn give_up(&mut self) {
        self.output.clear();
        self.written = 0;
        self.is_at_end = true;
    }

    /// What is to be sent next is appended here; [`Client::flush`] sends it.
    pub fn output(&mut self) -> &mut Vec<u8> {
        &mut self.output
    }

    /// Bytes that the socket has not taken yet.
    pub fn unsent(&self) -> usize {
        self.output.len() - self.written
    }

    /// Reads what there is.
    pub fn fill(&mut self) -> Result<(), Failure> {
        self.fill_at_most(usize::MAX).map(drop)
    }

    /// Reads what there is, but no more bytes than `most`; gives how many it were.
    pub fn fill_at_most(&mut self, most: usize) -> Result<usize, Failure> {
        let mut left = most;
        while !self.is_at_end && left > 0 {
            if self.end == self.input.len() {
                self.make_room();
            }
            let room = self.input.len().min(self.end.saturating_add(left));
            let room = &mut self.input[self.end..room];
            match self.stream.read(room) {
                Ok(0) => self.is_at_end = true,
                Ok(count) => {
                    let is_all = count < room.len();
                    self.end += count;
                    left -= count;
                    // An edge-triggered poll tells of what comes from now on (epoll(7)).
                    if is_all {
                        break;
                    }
                }
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                // Some servers reset what their client has closed.
                Err(error) if error.kind() == io::ErrorKind::ConnectionReset => self.is_at_end = true,
                Err(error) => return Err(self.io(error)),
            }
        }
        Ok(most - left)
    }

    /// Sends what is to be sent, as far as the socket takes it.
    pub fn flush(&mut self) -> Result<(), Failure> {
        while self.written < self.output.len() {
            match self.stream.write(&self.output[self.written..]) {
                Ok(count) => self.written += count,
                Err(error)
                    if matches!(error.kind(), io::ErrorKind::WouldBlock | io::ErrorKind::NotConnected) =>
                {
                    return Ok(());
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(self.io(error)),
            }
        }
        self.output.clear();
        self.written = 0;
        Ok(())
    }

    /// Looks for the answer to the handshake, or the head of the response; whether the WebSocket or the body is open.
    pub fn open(&mut self) -> Result<bool, Failure> {
        if self.is_open {
            return Ok(true);
        }
        let read = &self.input[self.begin..self.end];
        let Some(length) = read.windows(4).position(|window| window == b"\r\n\r\n") else {
            if self.is_at_end || read.len() > MAX_HEAD_BYTES {
                let answer = String::from_utf8_lossy(&read[..read.len().min(200)]).into_owned();
                return Err(Failure::Handshake { client: self.number, answer });
            }
            return Ok(false);
        };
        let head = String::from_utf8_lossy(&read[..length]).into_owned();
        let values = |wanted: &str| -> Vec<String> {
            let fields = head.lines().skip(1).filter_map(|line| line.split_once(':'));
            let own = fields.filter(|(name, _)| name.trim().eq_ignore_ascii_case(wanted));
            own.map(|(_, value)| value.trim().to_owned()).collect()
        };
        if self.kind == Kind::Stream {
            let is_there = head.split_whitespace().nth(1) == Some("200");
            if !is_there || values("Transfer-Encoding") != ["chunked"] {
                return Err(Failure::Handshake { client: self.number, answer: head });
            }
            self.begin += length + 4;
            self.is_open = true;
            return Ok(true);
        }
        let is_switched = head.split_whitespace().nth(1) == Some("101");
        if !is_switched || values("Sec-WebSocket-Accept") != [&*self.accept] {
            return Err(Failure::Handshake { client: self.number, answer: head });
        }
        let agreed = values("Sec-WebSocket-Extensions").join(", ");
        let offers = self.kind == Kind::Compressed;
        if agreed.contains("permessage-deflate") != offers {
            return Err(Failure::NotCompressing);
        }
        if offers {
            let forgets = agreed.contains("server_no_context_takeover");
            self.inflater = Some(Inflater { state: Decompress::new(false), forgets, output: Vec::new() });
        }
        self.begin += length + 4;
        self.is_open = true;
        Ok(true)
    }

    /// Gives each whole message that has been read to `take`, with its opcode and what may be answered to. Answers Pings.
    ///
    /// # Errors
    /// A frame that no server may send, a Close, the end of the connection, and what `take` gives.
    pub fn messages(
        &mut self,
        mut take: impl FnMut(u8, &[u8], &mut Vec<u8>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        if self.kind == Kind::Stream {
            return self.chunks(take);
        }
        let client = self.number;
        let wrong = |what| Failure::Frame { client, what };
        while let Some(header) = frame::parse_header(&self.input[self.begin..self.end]).map_err(&wrong)? {
            let from = self.begin + header.size;
            if self.end - from < header.length {
                self.expect(header.size + header.length);
                break;
            }
            let payload = &self.input[from..from + header.length];
            self.begin = from + header.length;
            let (opcode, is_compressed) = match header.opcode {
                PING => {
                    frame::encode(&mut self.output, frame::PONG, false, payload);
                    continue;
                }
                frame::PONG => continue,
                CLOSE => {
                    let code = payload.first_chunk().map(|code| u16::from_be_bytes(*code));
                    return Err(Failure::Closed { client, code });
                }
                CONTINUATION => self.assembly.ok_or_else(|| wrong("a continuation of nothing"))?,
                opcode @ (TEXT | BINARY) if self.assembly.is_none() => (opcode, header.is_compressed),
                _ => return Err(wrong("a message within a message")),
            };
            if !header.is_last || self.assembly.is_some() {
                self.pieces.extend_from_slice(payload);
                self.assembly = (!header.is_last).then_some((opcode, is_compressed));
                if !header.is_last {
                    continue;
                }
            }
            let message = if self.pieces.is_empty() { payload } else { &self.pieces };
            match (&mut self.inflater, is_compressed) {
                (_, false) => take(opcode, message, &mut self.output)?,
                (Some(inflater), true) => {
                    let message = inflater.inflate(message).map_err(wrong)?;
                    take(opcode, message, &mut self.output)?;
                }
                (None, true) => return Err(wrong("a compressed message")),
            }
            self.pieces.clear();
        }
        self.all_looked_at()
    }

    /// As [`Client::messages`], of a response in chunks (RFC 9112 section 7.1).
    fn chunks(
        &mut self,
        mut take: impl FnMut(u8, &[u8], &mut Vec<u8>) -> Result<(), Failure>,
    ) -> Result<(), Failure> {
        let client = self.number;
        while let Some((head, size)) = chunk::parse_head(&self.input[self.begin..self.end])
            .map_err(|what| Failure::Frame { client, what })?
        {
            let whole = head + size + 2;
            if self.end - self.begin < whole {
                self.expect(whole);
                break;
            }
            let from = self.begin + head;
            self.begin += whole;
            if size == 0 {
                return Err(Failure::Closed { client, code: None });
            }
            take(BINARY, &self.input[from..from + size], &mut self.output)?;
        }
        self.all_looked_at()
    }

    /// Everything that is whole has been looked at.
    fn all_looked_at(&mut self) -> Result<(), Failure> {
        if self.begin == self.end {
            self.begin = 0;
            self.end = 0;
        }
        if self.is_at_end { Err(Failure::Closed { client: self.number, code: None }) } else { Ok(()) }
    }

    /// Makes room for a frame of `length` bytes, of which the first are there.
    fn expect(&mut self, length: usize) {
        if self.input.len() - self.begin < length {
            self.input.copy_within(self.begin..self.end, 0);
            self.end -= self.begin;
            self.begin = 0;
            if self.input.len() < length {
                // Room for what comes behind it, so that a read is seldom cut short.
                self.input.resize(length + INPUT_BYTES, 0);
            }
        }
    }

    fn make_room(&mut self) {
        if self.begin > 0 {
            self.input.copy_within(self.begin..self.end, 0);
            self.end -= self.begin;
            self.begin = 0;
        } else {
            self.input.resize(2 * self.input.len(), 0);
        }
    }

    fn io(&self, error: io::Error) -> Failure {
        Failure::Io { client: self.number, error }
    }
}

/// Begins to connect a socket that takes no more bytes before they are read. Later it would be too late: the peer knows
/// then that it takes more.
fn connect_holding(address: SocketAddr, bytes: usize) -> io::Result<TcpStream> {
    let socket = Socket::new(Domain::for_address(address), Type::STREAM, None)?;
    socket.set_recv_buffer_size(bytes)?;
    socket.set_nonblocking(true)?;
    match socket.connect(&address.into()) {
        Err(error) if error.raw_os_error() != Some(rustix::io::Errno::INPROGRESS.raw_os_error()) => {
            Err(error)
        }
        _ => Ok(TcpStream::from_std(socket.into())),
    }
}

impl Inflater {
    fn inflate(&mut self, message: &[u8]) -> Result<&[u8], &'static str> {
        if self.forgets {
            self.state.reset(false);
        }
        self.output.clear();
        // RFC 7692 section 7.2.2.
        for mut piece in [message, &[0, 0, 0xFF, 0xFF]] {
            loop {
                if self.output.capacity() - self.output.len() < INPUT_BYTES {
                    self.output.reserve(self.output.len() + INPUT_BYTES);
                }
                let before = self.state.total_in();
                let status = self
                    .state
                    .decompress_vec(piece, &mut self.output, FlushDecompress::Sync)
                    .map_err(|_| "a message that cannot be inflated")?;
                let taken = usize::try_from(self.state.total_in() - before).expect("bug: a slice's length");
                piece = &piece[taken..];
                let is_full = self.output.len() == self.output.capacity();
                if status == Status::StreamEnd || (piece.is_empty() && !is_full) {
                    break;
                }
            }
        }
        Ok(&self.output)
    }
}
