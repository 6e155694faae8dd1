//! Tests of `wire`.

mod close;
mod deflate;
mod differential;
mod examples;
mod frame;
mod handshake;
mod mask;
mod memory;
mod offer;
mod protocol;
mod rules;
mod utf8;

use bytes::BytesMut;
use dwebsocket::{
    error::ProtocolError,
    wire::{
        deflate::Inflater,
        message::{Kind, Message},
        offer::Agreement,
        protocol::{Event, Protocol},
    },
};

/// The limit of the tests that do not test it.
const LIMIT: usize = 1 << 20;

/// What a client said: the events, and the error that ended them.
type Heard = (Vec<Event>, Option<ProtocolError>);

/// Feeds the pieces one after the other, as reads would bring them.
fn hear<'a>(limit: usize, pieces: impl IntoIterator<Item = &'a [u8]>) -> Heard {
    hear_with(Protocol::new(limit), pieces)
}

/// As [`hear`], from a client with whom compression was agreed on.
fn hear_compressed<'a>(
    agreement: Agreement,
    limit: usize,
    pieces: impl IntoIterator<Item = &'a [u8]>,
) -> Heard {
    hear_with(Protocol::with_inflater(limit, Inflater::new(agreement)), pieces)
}

fn hear_with<'a>(mut protocol: Protocol, pieces: impl IntoIterator<Item = &'a [u8]>) -> Heard {
    let mut input = BytesMut::new();
    let mut events = Vec::new();
    for piece in pieces {
        input.extend_from_slice(piece);
        loop {
            match protocol.receive(&mut input) {
                Ok(Some(event)) => events.push(event),
                Ok(None) => break protocol.let_go(),
                Err(error) => return (events, Some(error)),
            }
        }
    }
    (events, None)
}

/// A frame as a client sends it, built without the code under test: always with the shortest length.
fn client_frame(first_byte: u8, key: [u8; 4], payload: &[u8]) -> Vec<u8> {
    let mut frame = vec![first_byte];
    match payload.len() {
        length @ 0..=125 => frame.push(0x80 | u8::try_from(length).unwrap()),
        length @ 126..=0xFFFF => {
            frame.push(0xFE);
            frame.extend(u16::try_from(length).unwrap().to_be_bytes());
        }
        length => {
            frame.push(0xFF);
            frame.extend((length as u64).to_be_bytes());
        }
    }
    frame.extend(key);
    frame.extend(payload.iter().zip(key.iter().cycle()).map(|(byte, key_byte)| byte ^ key_byte));
    frame
}

fn text(payload: &str) -> Event {
    Event::Message(Message { kind: Kind::Text, payload: payload.to_owned().into() })
}

fn binary(payload: &[u8]) -> Event {
    Event::Message(Message { kind: Kind::Binary, payload: payload.to_vec().into() })
}
