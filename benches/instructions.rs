//! The echo path for callgrind: `instructions CASE MESSAGES` sends so many messages through a driver and back.
//!
//! One thread, fixed input, no clock that matters: the processor executes the same instructions each time, but for a few
//! in a thousand. `benches/instructions.py` counts them for two numbers of messages, so that the start falls out.
#![allow(clippy::unwrap_used, missing_docs)]

use std::{process::ExitCode, sync::Arc};

use bytes::Bytes;
use dwebsocket::{
    config::ConnectionConfig,
    connection::{Patience, Taken, open},
    wire::{frame::encode_message, mask, message::Kind},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream},
    task::yield_now,
};

const KEY: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];

struct Case {
    name: &'static str,
    kind: Kind,
    bytes: usize,
    /// Messages that are under way at a time.
    burst: usize,
}

const CASES: [Case; 3] = [
    Case { name: "single", kind: Kind::Text, bytes: 125, burst: 1 },
    Case { name: "burst", kind: Kind::Text, bytes: 125, burst: 32 },
    Case { name: "long", kind: Kind::Binary, bytes: 16 << 10, burst: 1 },
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    // `cargo bench` runs every benchmark with this, and there is nothing to time here.
    if arguments.iter().any(|argument| argument == "--bench") {
        return ExitCode::SUCCESS;
    }
    let case = arguments.first().and_then(|name| CASES.iter().find(|case| case.name == name));
    let messages = arguments.get(1).and_then(|messages| messages.parse().ok());
    let (Some(case), Some(messages)) = (case, messages) else { return ExitCode::from(2) };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
    runtime.block_on(echo(case, messages));
    ExitCode::SUCCESS
}

/// The client, the view and the driver take turns on one thread.
async fn echo(case: &Case, messages: usize) {
    let config = ConnectionConfig { ping_interval: None, ..ConnectionConfig::default() };
    let (connection, driver) = open(Arc::new(config), String::new());
    let (mut client, socket) = tokio::io::duplex(1 << 20);
    let serving = tokio::spawn(driver.run(socket, Bytes::new()));
    let payload: Vec<u8> = (b' '..=b'~').cycle().take(case.bytes).collect();
    let reply = encode_message(case.kind, &payload).repeat(case.burst);
    let burst = masked(case.kind, &payload).repeat(case.burst);
    let mut received = vec![0; reply.len()];
    for _ in 0..messages / case.burst {
        client.write_all(&burst).await.unwrap();
        for _ in 0..case.burst {
            let message = loop {
                match connection.receive_now().unwrap() {
                    Taken::Message(message) => break message,
                    Taken::Empty => yield_now().await,
                }
            };
            connection.send(encode_message(message.kind, &message.payload), Patience::Owner).unwrap();
        }
        client.read_exact(&mut received).await.unwrap();
        assert!(received == reply, "the echo is what was sent");
    }
    assert_eq!(connection.counts().sent_messages, (messages / case.burst * case.burst) as u64);
    end(connection, client).await;
    serving.await.unwrap();
}

/// The closing handshake, the client's part of it last.
async fn end(connection: dwebsocket::connection::Connection, mut client: DuplexStream) {
    connection.close(1000, "");
    let mut close = [0; 4];
    client.read_exact(&mut close).await.unwrap();
    assert_eq!(close, [0x88, 0x02, 0x03, 0xE8]);
    client.write_all(&[0x88, 0x82, 0, 0, 0, 0, 0x03, 0xE8]).await.unwrap();
    client.shutdown().await.unwrap();
    assert_eq!(client.read(&mut close).await.unwrap(), 0);
}

fn masked(kind: Kind, payload: &[u8]) -> Vec<u8> {
    let mut frame = encode_message(kind, payload).to_vec();
    let header = frame.len() - payload.len();
    frame[1] |= 0x80;
    mask::apply(&mut frame[header..], KEY, 0);
    frame.splice(header..header, KEY);
    frame
}
