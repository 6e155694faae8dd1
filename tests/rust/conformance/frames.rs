//! Frames: bytes in, bytes out, over a pipe in memory.

use std::sync::Arc;

use bytes::Bytes;
use dwebsocket::{
    config::ConnectionConfig,
    connection::{Connection, Patience, open_agreed},
    wire::frame::encode_message,
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex},
    task::yield_now,
};

use super::table::{Case, agreement, bytes};
use crate::connection::support::{LONG, receive};

const PIPE_BYTES: usize = 4 << 20;

/// A Ping, and the Pong that tells that the connection goes on.
const PROBE: [u8; 6] = [0x89, 0x80, 0, 0, 0, 0];
const SIGN_OF_LIFE: [u8; 2] = [0x8A, 0x00];

/// A connection that sends each message back, and its client.
fn echoing(case: &Case) -> DuplexStream {
    let mut config = ConnectionConfig { ping_interval: None, ..ConnectionConfig::default() };
    config.max_message_bytes = case.find("limit").map_or(1 << 20, |limit| limit.parse().unwrap());
    config.compression.threshold_bytes = usize::MAX;
    let (connection, driver) =
        open_agreed(Arc::new(config), "192.0.2.1:4711".to_owned(), case.find("agreed").map(agreement));
    let (socket, client) = duplex(PIPE_BYTES);
    tokio::spawn(driver.run(socket, Bytes::new()));
    tokio::spawn(echo(connection));
    client
}

async fn echo(connection: Connection) {
    while let Ok(message) = receive(&connection).await {
        let frame = encode_message(message.kind, &message.payload);
        connection.send(frame, Patience::Other).unwrap();
    }
}

/// What is wrong with the outcome of a case; nothing, if it is as it should be.
async fn fault(case: &Case, byte_by_byte: bool) -> Option<String> {
    let mut client = echoing(case);
    for piece in case.all("in").map(bytes) {
        // Long ones in pieces that take no long time.
        let size = if byte_by_byte { 1.max(piece.len() / 1000) } else { piece.len().max(1) };
        for part in piece.chunks(size) {
            // The server may have ended the stream before the last byte.
            if client.write_all(part).await.is_err() {
                break;
            }
            if byte_by_byte {
                yield_now().await;
            }
        }
        yield_now().await;
    }
    let mut expected: Vec<u8> = case.all("out").flat_map(bytes).collect();
    let mut got = Vec::new();
    match case.get("end") {
        "open" => {
            client.write_all(&PROBE).await.ok()?;
            expected.extend(SIGN_OF_LIFE);
            got.resize(expected.len(), 0);
            if let Err(error) = client.read_exact(&mut got).await {
                return Some(format!("the stream ended: {error}"));
            }
        }
        "closed" => drop(client.read_to_end(&mut got).await.unwrap()),
        other => panic!("{other:?} is no end"),
    }
    (got != expected).then(|| format!("got {got:02x?}\nnot {expected:02x?}"))
}

async fn check(file: &str, at_least: usize) {
    let cases = Case::read(file);
    assert!(cases.len() >= at_least, "only {} cases in {file}", cases.len());
    let mut faults = Vec::new();
    for case in &cases {
        for byte_by_byte in [false, true] {
            let outcome = tokio::time::timeout(LONG, fault(case, byte_by_byte)).await;
            let way = if byte_by_byte { "byte by byte" } else { "in one piece" };
            match outcome {
                Ok(None) => {}
                Ok(Some(fault)) => faults.push(format!("{}, {way}: {fault}", case.title())),
                Err(_) => faults.push(format!("{}, {way}: nothing more comes", case.title())),
            }
        }
    }
    assert!(faults.is_empty(), "{file}:\n{}", faults.join("\n"));
}

#[tokio::test(start_paused = true)]
async fn frames_are_answered_as_rfc_6455_demands() {
    check("frames-rfc6455.txt", 100).await;
}

#[tokio::test(start_paused = true)]
async fn compressed_frames_are_answered_as_rfc_7692_demands() {
    check("frames-rfc7692.txt", 40).await;
}
