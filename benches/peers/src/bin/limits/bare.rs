//! Frames without a library.

use std::io;

use bytes::{Buf, Bytes, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    sync::broadcast::error::RecvError,
};

use crate::{Shared, handshake};

const TEXT: u8 = 0x1;
const CLOSE: u8 = 0x8;

/// Serves one client.
pub(crate) async fn serve(mut stream: TcpStream, shared: &Shared) -> io::Result<()> {
    let mut input = BytesMut::with_capacity(4 << 10);
    let path = handshake::answer(&mut stream, &mut input).await?;
    let mut output = Vec::new();
    if path == "/broadcast" {
        broadcast(stream, shared, input).await
    } else {
        echo(stream, input, &mut output).await
    }
}

async fn echo(mut stream: TcpStream, mut input: BytesMut, output: &mut Vec<u8>) -> io::Result<()> {
    loop {
        let mut is_over = false;
        while let Some((opcode, payload)) = next_frame(&mut input) {
            encode(output, opcode, &payload);
            is_over |= opcode == CLOSE;
        }
        if !output.is_empty() {
            stream.write_all(output).await?;
            output.clear();
        }
        if is_over || stream.read_buf(&mut input).await? == 0 {
            return Ok(());
        }
    }
}

async fn broadcast(mut stream: TcpStream, shared: &Shared, mut input: BytesMut) -> io::Result<()> {
    let mut inbox = shared.room.subscribe();
    let mut output = Vec::new();
    encode(&mut output, TEXT, b"joined");
    loop {
        stream.write_all(&output).await?;
        output.clear();
        tokio::select! {
            read = stream.read_buf(&mut input) => {
                if read? == 0 {
                    return Ok(());
                }
                while let Some((opcode, payload)) = next_frame(&mut input) {
                    if opcode == CLOSE {
                        return Ok(());
                    }
                    let mut frame = Vec::new();
                    encode(&mut frame, opcode, &payload);
                    // Refused only where nobody listens, and this client does.
                    let _ = shared.room.send((opcode, Bytes::from(frame)));
                }
            }
            message = inbox.recv() => match message {
                Ok((_, frame)) => stream.write_all(&frame).await?,
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return Ok(()),
            },
        }
    }
}

/// Takes a whole frame off the front, unmasked.
fn next_frame(input: &mut BytesMut) -> Option<(u8, BytesMut)> {
    let [first, second, ..] = **input else { return None };
    let (length, size) = match second & 0x7F {
        126 => (usize::from(u16::from_be_bytes(*input[2..].first_chunk()?)), 4),
        127 => (usize::try_from(u64::from_be_bytes(*input[2..].first_chunk()?)).ok()?, 10),
        short => (usize::from(short), 2),
    };
    let key: [u8; 4] = *input.get(size..)?.first_chunk()?;
    if input.len() < size + 4 + length {
        input.reserve(size + 4 + length - input.len());
        return None;
    }
    input.advance(size + 4);
    let mut payload = input.split_to(length);
    let (words, tail) = payload.as_chunks_mut::<4>();
    for word in words {
        *word = (u32::from_ne_bytes(*word) ^ u32::from_ne_bytes(key)).to_ne_bytes();
    }
    for (byte, key) in tail.iter_mut().zip(key) {
        *byte ^= key;
    }
    Some((first & 0x0F, payload))
}

fn encode(output: &mut Vec<u8>, opcode: u8, payload: &[u8]) {
    output.push(0x80 | opcode);
    match payload.len() {
        length @ 0..=125 => output.push(u8::try_from(length).expect("bug: at most 125")),
        length @ 126..=65535 => {
            output.push(126);
            output.extend_from_slice(&u16::try_from(length).expect("bug: at most 65535").to_be_bytes());
        }
        length => {
            output.push(127);
            output.extend_from_slice(&(length as u64).to_be_bytes());
        }
    }
    output.extend_from_slice(payload);
}
