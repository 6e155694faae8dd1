//! Both directions against tungstenite in the role of the client.

use std::io::{self, Cursor, Read, Write};

use dwebsocket::wire::{
    close::CloseFrame,
    frame::{encode_close, encode_message, encode_ping, encode_pong},
    message::Kind,
    protocol::Event,
};
use proptest::prelude::*;
use tungstenite::{
    Message, WebSocket,
    protocol::{
        Role,
        frame::{
            Frame,
            coding::{CloseCode, Data, OpCode},
        },
    },
};

use super::{LIMIT, binary, hear, text};

/// A socket in memory: what the client reads was laid ready, what it writes is kept.
#[derive(Default)]
struct Socket {
    incoming: Cursor<Vec<u8>>,
    written: Vec<u8>,
}

impl Read for Socket {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.incoming.read(buffer)? {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            count => Ok(count),
        }
    }
}

impl Write for Socket {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.written.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn client(incoming: Vec<u8>) -> WebSocket<Socket> {
    let socket = Socket { incoming: Cursor::new(incoming), written: Vec::new() };
    WebSocket::from_raw_socket(socket, Role::Client, None)
}

/// One thing that either side may say.
#[derive(Clone, Debug)]
enum Said {
    Text(String),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
}

impl Said {
    fn event(&self) -> Event {
        match self.clone() {
            Self::Text(payload) => text(&payload),
            Self::Binary(payload) => binary(&payload),
            Self::Ping(payload) => Event::Ping(payload.into()),
            Self::Pong(payload) => Event::Pong(payload.into()),
        }
    }

    fn message(&self) -> Message {
        match self.clone() {
            Self::Text(payload) => Message::text(payload),
            Self::Binary(payload) => Message::binary(payload),
            Self::Ping(payload) => Message::Ping(payload.into()),
            Self::Pong(payload) => Message::Pong(payload.into()),
        }
    }

    fn encoded(&self) -> Vec<u8> {
        let frame = match self {
            Self::Text(payload) => encode_message(Kind::Text, payload.as_bytes()),
            Self::Binary(payload) => encode_message(Kind::Binary, payload),
            Self::Ping(payload) => encode_ping(payload),
            Self::Pong(payload) => encode_pong(payload),
        };
        frame.to_vec()
    }
}

fn said() -> impl Strategy<Value = Said> {
    let bytes = |longest: usize| prop::collection::vec(any::<u8>(), 0..=longest);
    let lengths = prop::sample::select(vec![125_usize, 126, 4096, 4097, 65_535, 65_536, 65_537]);
    prop_oneof![
        any::<String>().prop_map(Said::Text),
        bytes(200).prop_map(Said::Binary),
        (lengths, any::<u8>()).prop_map(|(length, byte)| Said::Binary(vec![byte; length])),
        bytes(125).prop_map(Said::Ping),
        bytes(125).prop_map(Said::Pong),
    ]
}

/// Sends a message in fragments cut where `size` says (through characters, too), with a Ping behind each but the last.
fn send_in_fragments(client: &mut WebSocket<Socket>, said: &Said, size: usize) -> Vec<Event> {
    let (first, payload) = match said {
        Said::Text(payload) => (Data::Text, payload.as_bytes()),
        Said::Binary(payload) => (Data::Binary, &payload[..]),
        Said::Ping(_) | Said::Pong(_) => {
            client.send(said.message()).unwrap();
            return vec![said.event()];
        }
    };
    let mut events = Vec::new();
    let fragments: Vec<&[u8]> =
        if payload.is_empty() { vec![payload] } else { payload.chunks(size).collect() };
    for (index, fragment) in fragments.iter().enumerate() {
        let opcode = if index == 0 { first } else { Data::Continue };
        let is_last = index + 1 == fragments.len();
        let frame = Frame::message(fragment.to_vec(), OpCode::Data(opcode), is_last);
        client.send(Message::Frame(frame)).unwrap();
        if !is_last {
            client.send(Message::Ping(vec![0x70].into())).unwrap();
            events.push(Event::Ping(vec![0x70].into()));
        }
    }
    events.push(said.event());
    events
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn what_a_client_sends_is_received(all in prop::collection::vec(said(), 0..8), size in 1..50_000_usize) {
        let mut client = client(Vec::new());
        for said in &all {
            client.send(said.message()).unwrap();
        }
        let events: Vec<_> = all.iter().map(Said::event).collect();
        prop_assert!(hear(LIMIT, client.get_ref().written.chunks(size)) == (events, None));
    }

    #[test]
    fn what_a_client_sends_in_fragments_is_received(
        all in prop::collection::vec(said(), 0..8),
        fragment_size in prop_oneof![1..9_usize, 100..50_000_usize],
        size in 1..50_000_usize,
    ) {
        let mut client = client(Vec::new());
        let mut events = Vec::new();
        for said in &all {
            // A large message in tiny fragments would only make the test slow.
            let fragment_size = match said {
                Said::Binary(payload) if payload.len() > 200 => fragment_size.max(1000),
                _ => fragment_size,
            };
            events.extend(send_in_fragments(&mut client, said, fragment_size));
        }
        prop_assert!(hear(LIMIT, client.get_ref().written.chunks(size)) == (events, None));
    }

    #[test]
    fn what_is_sent_is_received_by_a_client(all in prop::collection::vec(said(), 0..8)) {
        let mut client = client(all.iter().flat_map(Said::encoded).collect());
        for said in &all {
            prop_assert_eq!(client.read().unwrap(), said.message());
        }
        prop_assert!(client.read().is_err());
    }
}

#[test]
fn a_close_of_either_side_is_understood_by_the_other() {
    let mut closing = client(Vec::new());
    let frame = tungstenite::protocol::CloseFrame { code: CloseCode::Again, reason: "später".into() };
    closing.close(Some(frame.clone())).unwrap();
    let close = CloseFrame { code: 1013, reason: "später".into() };
    let heard = hear(LIMIT, [&closing.get_ref().written[..]]);
    assert_eq!(heard, (vec![Event::Close(Some(close.clone()))], None));

    let mut closed = client(encode_close(Some(&close)).to_vec());
    assert_eq!(closed.read().unwrap(), Message::Close(Some(frame)));
    assert_eq!(client(encode_close(None).to_vec()).read().unwrap(), Message::Close(None));
}
