//! How much memory compression and a full outbox take. A binary of its own, because it counts every allocation.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used, missing_docs)]
// A global allocator cannot be written without it.
#![allow(unsafe_code)]

use std::{
    alloc::{GlobalAlloc, Layout, System},
    cell::Cell,
    sync::Arc,
};

use bytes::BytesMut;
use dwebsocket::{
    config::ConnectionConfig,
    connection::{Patience, open},
    error::{ProtocolError, SendError},
    wire::{
        deflate::{Deflater, History, Inflater},
        frame::encode_message,
        message::Kind,
        offer::Agreement,
        protocol::{Event, Protocol},
    },
};
use zlib_rs::{Deflate, DeflateFlush};

const KIB: usize = 1 << 10;
const MIB: usize = 1 << 20;

/// The system's allocator, which keeps a count for each thread: tests run on threads of their own.
struct Counting;

thread_local! {
    static HELD: Cell<isize> = const { Cell::new(0) };
    static PEAK: Cell<isize> = const { Cell::new(0) };
}

fn count(bytes: usize, sign: isize) {
    let held = HELD.get() + sign * bytes.cast_signed();
    HELD.set(held);
    PEAK.set(PEAK.get().max(held));
}

// SAFETY: every call goes to the system's allocator as it came. Counting allocates nothing: the cells are initialised
// by a constant and have no destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        count(layout.size(), 1);
        // SAFETY: the caller keeps the contract of `alloc`.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        count(layout.size(), -1);
        // SAFETY: the caller keeps the contract of `dealloc`, and `pointer` came from the system's allocator.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        // Large blocks are moved by their pages, so that old and new do not exist side by side.
        count(layout.size(), -1);
        count(size, 1);
        // SAFETY: the caller keeps the contract of `realloc`, and `pointer` came from the system's allocator.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// What `work` gives, how many bytes it leaves allocated, and how many it had at most; 0 where it
/// freed more than it allocated.
fn measured<R>(work: impl FnOnce() -> R) -> (R, usize, usize) {
    let before = HELD.get();
    PEAK.set(before);
    let outcome = work();
    let since = |count: isize| usize::try_from(count - before).unwrap_or(0);
    (outcome, since(HELD.get()), since(PEAK.get()))
}

fn agreement(takes_over: bool, window_bits: u8) -> Agreement {
    Agreement {
        server_no_context_takeover: !takes_over,
        client_no_context_takeover: !takes_over,
        server_max_window_bits: Some(window_bits),
        client_max_window_bits: Some(window_bits),
    }
}

fn protocol(max_message_bytes: usize, agreement: Agreement) -> Protocol {
    Protocol::with_inflater(max_message_bytes, Inflater::new(agreement))
}

/// Feeds a stream as a connection reads it, and takes nothing but its messages.
fn feed(protocol: &mut Protocol, stream: &[u8]) -> Result<usize, ProtocolError> {
    let mut messages = 0;
    let mut input = BytesMut::new();
    for piece in stream.chunks(64 * KIB) {
        input.extend_from_slice(piece);
        while let Some(event) = protocol.receive(&mut input)? {
            assert!(matches!(event, Event::Message(_)));
            messages += 1;
        }
    }
    Ok(messages)
}

/// A gigabyte of zeros as one compressed frame: a block of a mebibyte, 1024 times.
fn bomb() -> Vec<u8> {
    let mut deflate = Deflate::new(9, false, 15);
    let mut block = vec![0; 4 * KIB];
    deflate.compress(&vec![0; MIB], &mut block, DeflateFlush::FullFlush).unwrap();
    block.truncate(usize::try_from(deflate.total_out()).unwrap());
    let payload = [&block.repeat(1024)[..], &[0]].concat();
    let length = u64::try_from(payload.len()).unwrap();
    [&[0xC2, 0xFF][..], &length.to_be_bytes(), &[0; 4], &payload].concat()
}

#[test]
fn a_gigabyte_in_a_mebibyte_takes_no_more_memory_than_the_limit() {
    let bomb = bomb();
    assert!((MIB..MIB + 64 * KIB).contains(&bomb.len()), "{} bytes", bomb.len());
    for limit in [MIB, 16 * MIB] {
        for takes_over in [false, true] {
            let mut protocol = protocol(limit, agreement(takes_over, 15));
            let (outcome, _, peak) = measured(|| feed(&mut protocol, &bomb));
            assert_eq!(outcome, Err(ProtocolError::MessageTooBig { limit }));
            // Beside the message: the inflater and what was read of the frame.
            assert!(peak <= limit + 256 * KIB, "{peak} bytes for a limit of {limit}");
        }
    }
}

/// A compressed message of `length` bytes as a client sends it.
fn compressed(length: usize) -> Vec<u8> {
    let payload: Vec<u8> = b"0123456789abcdef".iter().copied().cycle().take(length).collect();
    let frame = Deflater::new(6, 15).encode_message(Kind::Text, &payload, &[]).unwrap();
    let header = if frame[1] == 126 { 4 } else { 2 };
    [&[frame[0], frame[1] | 0x80], &frame[2..header], &[0; 4], &frame[header..]].concat()
}

#[test]
fn an_idle_connection_without_context_takeover_holds_nothing() {
    let stream = compressed(100 * KIB).repeat(3);
    let mut protocol = protocol(MIB, agreement(false, 15));
    let (messages, held, peak) = measured(|| {
        let messages = feed(&mut protocol, &stream);
        protocol.let_go();
        messages
    });
    assert_eq!((messages, held), (Ok(3), 0));
    assert!(peak > 140 * KIB, "the message and the inflater were not counted: {peak}");
}

#[test]
fn an_idle_connection_with_context_takeover_holds_a_window() {
    for bits in [9, 12, 15] {
        let stream = compressed(100 * KIB).repeat(3);
        let mut protocol = protocol(MIB, agreement(true, bits));
        let (messages, held, _) = measured(|| {
            let messages = feed(&mut protocol, &stream);
            protocol.let_go();
            messages
        });
        assert_eq!((messages, held), (Ok(3), 1 << bits));
    }
}

#[test]
fn a_history_grows_with_what_is_said_up_to_its_window() {
    let mut history = History::new(15);
    let mut lengths = Vec::new();
    for length in [0, 100, 32 * KIB - 100, 5000, MIB] {
        let payload = vec![7; length];
        let ((), grown, _) = measured(|| history.push(&payload));
        lengths.push(grown);
    }
    assert_eq!(lengths, [0, 100, 32 * KIB - 100, 0, 0]);
}

#[test]
fn an_inflater_takes_48_kib_and_a_deflater_384_at_most() {
    let message = compressed(100);
    let mut protocol = protocol(MIB, agreement(false, 15));
    // All but the last byte, so that the message is not whole.
    let (_, held, _) = measured(|| feed(&mut protocol, &message[..message.len() - 1]));
    assert!((32 * KIB..=48 * KIB).contains(&held), "{held} bytes");
    let (_deflater, held, _) = measured(|| Deflater::new(6, 15));
    assert!((256 * KIB..=384 * KIB).contains(&held), "{held} bytes");
}

/// Fills an outbox that nobody empties. Gives the number of messages, and the bytes that were allocated in the end and at
/// most.
fn fill_outbox(message_bytes: usize) -> (usize, usize, usize) {
    let payload = vec![0; message_bytes];
    let (connection, _driver) = open(Arc::new(ConnectionConfig::default()), String::new());
    let (queued, held, peak) = measured(|| {
        let mut queued = 0;
        loop {
            match connection.send(encode_message(Kind::Binary, &payload), Patience::Other) {
                Ok(()) => queued += 1,
                Err(error) => break (queued, error),
            }
        }
    });
    assert_eq!(queued.1, SendError::SlowClient);
    (queued.0, held, peak)
}

#[test]
fn a_full_outbox_takes_its_bytes_and_what_the_queue_needs() {
    for message_bytes in [1000, 64 * KIB, MIB] {
        let (_, held, peak) = fill_outbox(message_bytes);
        assert!(held <= 4 * MIB + 512 * KIB, "{held} bytes are held");
        assert!(peak <= held + message_bytes + 512 * KIB, "{peak} bytes at most");
    }
}

#[test]
fn a_full_outbox_of_tiny_messages_takes_a_hundred_bytes_for_each() {
    let (queued, held, peak) = fill_outbox(1);
    assert_eq!(queued, 65_536);
    assert!(held <= 64 * queued, "{held} bytes are held");
    assert!(peak <= 100 * queued, "{peak} bytes at most");
}
