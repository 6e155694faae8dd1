//! How fast `wire` is: masking beside a plain loop, parsing, encoding, compressing.
#![allow(clippy::unwrap_used, missing_docs)]

use std::{fmt::Write, hint::black_box};

use bytes::BytesMut;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use dwebsocket::wire::{
    deflate::{Deflater, Inflater},
    frame::encode_message,
    mask,
    message::Kind,
    offer::Agreement,
    protocol::Protocol,
};

const KEY: [u8; 4] = [0x37, 0xFA, 0x21, 0x3D];

fn one_by_one(payload: &mut [u8], key: [u8; 4]) {
    for (index, byte) in payload.iter_mut().enumerate() {
        *byte ^= key[index % 4];
    }
}

fn masking(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("mask");
    for length in [125, 4 << 10, 1 << 20] {
        let mut payload = vec![7; length];
        group.throughput(Throughput::Bytes(length as u64));
        group.bench_function(BenchmarkId::new("apply", length), |bencher| {
            bencher.iter(|| mask::apply(black_box(&mut payload), black_box(KEY), black_box(1)));
        });
        group.bench_function(BenchmarkId::new("one by one", length), |bencher| {
            bencher.iter(|| one_by_one(black_box(&mut payload), black_box(KEY)));
        });
    }
}

/// A message of `length` bytes as a client sends it, in frames of at most `fragment` bytes.
fn client_frames(kind: Kind, length: usize, fragment: usize) -> Vec<u8> {
    let payload: Vec<u8> = "Grüße, ".bytes().filter(u8::is_ascii).cycle().take(length).collect();
    let mut frames = Vec::new();
    for (index, part) in payload.chunks(fragment).enumerate() {
        let unmasked = encode_message(kind, part);
        let header = unmasked.len() - part.len();
        let start = frames.len();
        frames.extend_from_slice(&unmasked[..header]);
        if index > 0 {
            frames[start] &= 0xF0;
        }
        if (index + 1) * fragment < length {
            frames[start] &= 0x7F;
        }
        frames[start + 1] |= 0x80;
        frames.extend_from_slice(&KEY);
        let body = frames.len();
        frames.extend_from_slice(part);
        one_by_one(&mut frames[body..], KEY);
    }
    frames
}

/// Takes everything out of `input` and counts the events.
fn drain(protocol: &mut Protocol, input: &mut BytesMut) -> usize {
    let mut events = 0;
    while let Some(event) = protocol.receive(input).unwrap() {
        black_box(event);
        events += 1;
    }
    events
}

fn parsing(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("receive");
    let cases = [
        ("32 texts of 125 bytes", client_frames(Kind::Text, 125, 125).repeat(32), 32),
        ("32 binaries of 125 bytes", client_frames(Kind::Binary, 125, 125).repeat(32), 32),
        ("text of 16 KiB", client_frames(Kind::Text, 16 << 10, 16 << 10), 1),
        ("binary of 16 KiB", client_frames(Kind::Binary, 16 << 10, 16 << 10), 1),
        ("text of 1 MiB", client_frames(Kind::Text, 1 << 20, 1 << 20), 1),
        ("text of 1 MiB in frames of 16 KiB", client_frames(Kind::Text, 1 << 20, 16 << 10), 1),
    ];
    for (name, stream, events) in cases {
        group.throughput(Throughput::Bytes(stream.len() as u64));
        group.bench_function(name, |bencher| {
            bencher.iter_batched_ref(
                || (Protocol::new(16 << 20), BytesMut::from(&stream[..])),
                |(protocol, input)| assert_eq!(drain(protocol, input), events),
                BatchSize::LargeInput,
            );
        });
    }
}

fn encoding(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("encode_message");
    for length in [125, 16 << 10, 1 << 20] {
        let payload = vec![7; length];
        group.throughput(Throughput::Bytes(length as u64));
        group.bench_function(BenchmarkId::from_parameter(length), |bencher| {
            bencher.iter(|| encode_message(Kind::Binary, black_box(&payload)));
        });
    }
}

/// JSON as an API sends it, of about `length` bytes.
fn json(length: usize) -> Vec<u8> {
    let mut text = String::from("[");
    for number in (0_usize..).take_while(|number| number * 50 < length) {
        write!(text, "{{\"id\": {}, \"name\": \"user {}\", \"online\": true}}, ", number * 7919, number)
            .unwrap();
    }
    text.into_bytes()
}

fn compressing(criterion: &mut Criterion) {
    let agreement = Agreement {
        server_no_context_takeover: true,
        client_no_context_takeover: true,
        server_max_window_bits: None,
        client_max_window_bits: None,
    };
    let mut group = criterion.benchmark_group("permessage-deflate");
    for length in [1 << 10, 16 << 10, 1 << 20] {
        let payload = json(length);
        let mut deflater = Deflater::new(4, 15);
        group.throughput(Throughput::Bytes(payload.len() as u64));
        group.bench_function(BenchmarkId::new("deflate", length), |bencher| {
            bencher.iter(|| deflater.encode_message(Kind::Text, black_box(&payload), &[]).unwrap());
        });
        let frame = deflater.encode_message(Kind::Text, &payload, &[]).unwrap();
        let header = match frame[1] {
            126 => 4,
            127 => 10,
            _ => 2,
        };
        let stream = [&[frame[0], frame[1] | 0x80], &frame[2..header], &[0; 4], &frame[header..]].concat();
        let mut protocol = Protocol::with_inflater(16 << 20, Inflater::new(agreement));
        group.bench_function(BenchmarkId::new("inflate", length), |bencher| {
            bencher.iter_batched_ref(
                || BytesMut::from(&stream[..]),
                |input| assert_eq!(drain(&mut protocol, input), 1),
                BatchSize::LargeInput,
            );
        });
    }
}

criterion_group!(benches, masking, parsing, encoding, compressing);
criterion_main!(benches);
