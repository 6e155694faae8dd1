//! How fast the mailboxes are between the driver and a view, alone and across threads, and the handshake's base64.
//!
//! JSON is not here: `py::json` writes Python objects, and is nothing without an interpreter.
#![allow(clippy::unwrap_used, missing_docs)]

use std::{collections::VecDeque, hint::black_box, sync::Arc, task::Waker, thread};

use base64::{Engine, engine::general_purpose::STANDARD};
use bytes::Bytes;
use criterion::{BatchSize, BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use dwebsocket::connection::mailbox::Mailbox;

const ITEMS: usize = 1024;
const BYTES: usize = 4 << 20;
const SHORT: Bytes = Bytes::from_static(&[7; 125]);

/// What a burst costs on one thread: put and taken one by one, and as the driver does it.
fn alone(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("mailbox");
    for burst in [1, 32, 256] {
        group.throughput(Throughput::Elements(burst as u64));
        let mailbox = Mailbox::new(ITEMS, BYTES);
        group.bench_function(BenchmarkId::new("put_now, take_now", burst), |bencher| {
            bencher.iter(|| {
                for _ in 0..burst {
                    mailbox.put_now(black_box(SHORT)).unwrap();
                }
                for _ in 0..burst {
                    black_box(mailbox.take_now().unwrap());
                }
            });
        });
        group.bench_function(BenchmarkId::new("put_many_now, take_now", burst), |bencher| {
            bencher.iter_batched_ref(
                || VecDeque::from(vec![SHORT; burst]),
                |items| {
                    assert_eq!(mailbox.put_many_now(items).map(|moved| moved.items), Ok(burst));
                    for _ in 0..burst {
                        black_box(mailbox.take_now().unwrap());
                    }
                },
                BatchSize::SmallInput,
            );
        });
        group.bench_function(BenchmarkId::new("put_now, poll_take_many", burst), |bencher| {
            let mut taken = VecDeque::new();
            let context = std::task::Context::from_waker(Waker::noop());
            bencher.iter(|| {
                for _ in 0..burst {
                    mailbox.put_now(black_box(SHORT)).unwrap();
                }
                assert!(mailbox.poll_take_many(&context, &mut taken, ITEMS, BYTES).is_ready());
                assert_eq!(taken.len(), burst);
                taken.clear();
            });
        });
    }
}

/// A message there and an answer back, each of which wakes a sleeping thread.
fn across_threads(criterion: &mut Criterion) {
    let there = Arc::new(Mailbox::new(ITEMS, BYTES));
    let back = Arc::new(Mailbox::new(ITEMS, BYTES));
    let view = thread::spawn({
        let (there, back) = (Arc::clone(&there), Arc::clone(&back));
        move || {
            while let Ok(item) = there.take(None) {
                back.put(item, None).unwrap();
            }
        }
    });
    criterion.bench_function("mailbox/there and back between two threads", |bencher| {
        bencher.iter(|| {
            there.put(SHORT, None).unwrap();
            back.take(None).unwrap()
        });
    });
    there.close();
    view.join().unwrap();
}

/// One shared frame put into the outboxes of many.
fn broadcast(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("mailbox/one frame to many");
    for receivers in [200, 1000] {
        let outboxes: Vec<Mailbox<Bytes>> = (0..receivers).map(|_| Mailbox::new(ITEMS, BYTES)).collect();
        let frame = Bytes::from(vec![7; 125]);
        group.throughput(Throughput::Elements(receivers));
        group.bench_function(BenchmarkId::from_parameter(receivers), |bencher| {
            bencher.iter(|| {
                for outbox in &outboxes {
                    outbox.put_now(frame.clone()).unwrap();
                }
                for outbox in &outboxes {
                    black_box(outbox.take_now().unwrap());
                }
            });
        });
    }
}

/// The library of the distribution, on a handshake's key and on a JPEG as video sends it.
fn base64(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("base64");
    for length in [16, 4 << 10, 100 << 10] {
        let bytes: Vec<u8> = (0..=255).cycle().take(length).collect();
        let text = STANDARD.encode(&bytes);
        group.throughput(Throughput::Bytes(length as u64));
        group.bench_function(BenchmarkId::new("encode", length), |bencher| {
            bencher.iter(|| STANDARD.encode(black_box(&bytes)));
        });
        group.bench_function(BenchmarkId::new("decode", length), |bencher| {
            bencher.iter(|| STANDARD.decode(black_box(&text)).unwrap());
        });
    }
}

criterion_group!(benches, alone, across_threads, broadcast, base64);
criterion_main!(benches);
