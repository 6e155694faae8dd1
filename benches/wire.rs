//! How fast `wire` is: masking beside a plain loop, parsing, encoding.
#![allow(clippy::unwrap_used, missing_docs)]

use std::hint::black_box;

use bytes::BytesMut;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use dwebsocket::wire::{frame::encode_message, mask, message::Kind, protocol::Protocol};

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

criterion_group!(benches, masking, parsing, encoding);
criterion_main!(benches);
