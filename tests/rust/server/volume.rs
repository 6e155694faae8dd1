//! Much data in little memory.

use std::{
    fs,
    io::{Read, Write},
    process::Command,
    thread,
};

use bytes::Bytes;
use dwebsocket::{config::ServerConfig, server::Exchange};

use super::site::{Site, ok};

const PIECE: usize = 64 << 10;
/// Debug builds move less, so that the tests stay short.
const VOLUME: usize = if cfg!(debug_assertions) { 256 << 20 } else { 1 << 30 };
/// What the process may grow by while `VOLUME` passes.
const GROWTH: usize = 96 << 20;

fn resident_bytes() -> usize {
    let pages: usize =
        fs::read_to_string("/proc/self/statm").unwrap().split(' ').nth(1).unwrap().parse().unwrap();
    pages * 4096
}

/// Asks this test binary to run the ignored test `name` in a process of its own: other tests take memory too.
fn alone(name: &str) {
    let output = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", &format!("server::volume::{name}"), "--ignored", "--nocapture"])
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{output:?}");
}

fn count_body(mut exchange: Exchange) {
    let mut counted = 0;
    while let Some(piece) = exchange.body.read().unwrap() {
        counted += piece.len();
    }
    exchange.reply.send(ok(), counted.to_string().into()).unwrap();
}

fn write_volume(exchange: Exchange) {
    let mut writer = exchange.reply.start(ok()).unwrap();
    for _ in 0..VOLUME / PIECE {
        // A piece of its own each time, so that pieces that pile up would show.
        writer.write(Bytes::from(vec![b'x'; PIECE])).unwrap();
    }
    writer.finish().unwrap();
}

#[test]
fn upload_takes_flat_memory() {
    alone("upload");
}

#[test]
#[ignore = "run by upload_takes_flat_memory, in a process of its own"]
fn upload() {
    let site = Site::serving(ServerConfig::default(), |exchange, _| count_body(exchange));
    let mut client = site.connect();
    let before = resident_bytes();
    client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {VOLUME}\r\n\r\n"));
    let (mut peak, piece) = (0, vec![b'x'; PIECE]);
    for _ in 0..VOLUME / PIECE {
        client.stream.write_all(&piece).unwrap();
        peak = peak.max(resident_bytes());
    }
    assert_eq!(client.receive().body, VOLUME.to_string());
    assert!(peak < before + GROWTH, "grew from {before} to {peak}");
}

#[test]
fn download_takes_flat_memory() {
    alone("download");
}

#[test]
#[ignore = "run by download_takes_flat_memory, in a process of its own"]
fn download() {
    let site = Site::serving(ServerConfig::default(), |exchange, _| write_volume(exchange));
    let mut client = site.connect();
    let before = resident_bytes();
    client.send("GET / HTTP/1.0\r\n\r\n").receive_head();
    // The head's packet may have carried the beginning of the body.
    let mut counted = client.take_received();
    let (mut peak, mut buffer) = (0, vec![0; PIECE]);
    loop {
        let read = client.stream.read(&mut buffer).unwrap();
        if read == 0 {
            break;
        }
        counted += read;
        peak = peak.max(resident_bytes());
    }
    assert_eq!(counted, VOLUME);
    assert!(peak < before + GROWTH, "grew from {before} to {peak}");
}

#[test]
fn upload_and_download_at_once_take_flat_memory() {
    alone("upload_and_download");
}

#[test]
#[ignore = "run by upload_and_download_at_once_take_flat_memory, in a process of its own"]
fn upload_and_download() {
    let site = Site::serving(ServerConfig::default(), |mut exchange, _| {
        let mut writer = exchange.reply.start(ok()).unwrap();
        while let Some(piece) = exchange.body.read().unwrap() {
            writer.write(piece).unwrap();
        }
        writer.finish().unwrap();
    });
    let volume = VOLUME / 4;
    let mut client = site.connect();
    let before = resident_bytes();
    client.send(format!("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: {volume}\r\n\r\n"));
    let mut upstream = client.stream.try_clone().unwrap();
    let sender = thread::spawn(move || {
        let piece = vec![b'x'; PIECE];
        for _ in 0..volume / PIECE {
            upstream.write_all(&piece).unwrap();
        }
    });
    client.receive_head();
    let (mut counted, mut peak) = (0, 0);
    loop {
        let chunk = client.receive_chunk();
        if chunk.is_empty() {
            break;
        }
        counted += chunk.len();
        peak = peak.max(resident_bytes());
    }
    sender.join().unwrap();
    assert_eq!(counted, volume);
    assert!(peak < before + GROWTH, "grew from {before} to {peak}");
}
