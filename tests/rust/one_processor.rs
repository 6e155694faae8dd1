//! Frames that the sending thread writes itself where all threads take turns on one processor. A binary of its own: what
//! a process may run on is asked for once.
#![cfg(all(not(loom), target_os = "linux"))]
#![allow(clippy::unwrap_used, missing_docs)]

use std::{thread, time::Duration};

use bytes::Bytes;
use dwebsocket::connection::{
    Patience,
    direct::{Direct, DirectSlot, WriteNow},
};
use rustix::thread::{CpuSet, sched_getaffinity, sched_setaffinity};

#[allow(dead_code, reason = "others use the rest")]
#[path = "connection/support.rs"]
mod support;

#[allow(dead_code, reason = "others use the rest")]
#[path = "connection/standing.rs"]
mod standing;

use standing::Standing;

const HOUR: Duration = Duration::from_secs(3600);

/// As [`Standing::new`], on one of the processors that the test may run on.
fn pinned() -> Standing {
    let all = sched_getaffinity(None).unwrap();
    let mut one = CpuSet::new();
    one.set((0..CpuSet::MAX_CPU).find(|number| all.is_set(*number)).unwrap());
    sched_setaffinity(None, &one).unwrap();
    Standing::new()
}

#[test]
fn frame_of_anybody_is_written_by_the_thread_that_sends_it() {
    let mut standing = pinned();
    standing.send_now_as(Patience::Other, "one");
    standing.expect(b"\x81\x03one");
}

#[test]
fn sender_writes_again_after_a_pause_without_the_driver() {
    let mut standing = pinned();
    for _ in 0..3 {
        standing.send_now_as(Patience::Other, "one");
        standing.expect(b"\x81\x03one");
        // Longer than the pause.
        thread::sleep(Duration::from_millis(2));
    }
}

#[test]
fn frames_queued_meanwhile_go_first() {
    let mut standing = pinned();
    standing.send_now_as(Patience::Other, "one");
    standing.expect(b"\x81\x03one");
    standing.queue("two");
    thread::sleep(Duration::from_millis(2));
    standing.send_now_as(Patience::Other, "three");
    standing.expect_nothing();
    standing.turn();
    standing.expect(b"\x81\x03two\x81\x05three");
}

/// A socket that takes so many bytes at a time.
struct Takes(usize);

impl WriteNow for Takes {
    fn write_now(&self, bytes: &[u8]) -> usize {
        bytes.len().min(self.0)
    }
}

/// An open slot, and a way to write there while nothing waits in the outbox.
fn slot(pause: Option<Duration>, takes: usize) -> (DirectSlot<Takes>, impl Fn(&DirectSlot<Takes>) -> bool) {
    let slot = DirectSlot::new(pause);
    slot.lend(Takes(takes));
    slot.open();
    let writes = |slot: &DirectSlot<_>| {
        !matches!(slot.write(Bytes::from_static(b"frame"), || true), Direct::Untouched(_))
    };
    (slot, writes)
}

#[test]
fn slot_that_a_sender_has_shut_opens_after_the_pause_alone() {
    for (pause, opens) in [(None, false), (Some(HOUR), false), (Some(Duration::ZERO), true)] {
        let (slot, writes) = slot(pause, 5);
        assert!(writes(&slot));
        assert_eq!(writes(&slot), opens, "{pause:?}");
        slot.open();
        assert!(writes(&slot), "{pause:?}");
    }
}

#[test]
fn slot_that_the_driver_has_shut_opens_when_the_driver_says_so() {
    let shut = |slot: &DirectSlot<Takes>| assert!(slot.shut().is_none());
    for shut in [shut, DirectSlot::hold] {
        let (slot, writes) = slot(Some(Duration::ZERO), 5);
        assert!(writes(&slot));
        shut(&slot);
        assert!(!writes(&slot));
        slot.open();
        assert!(writes(&slot));
    }
}

#[test]
fn nobody_writes_behind_the_beginning_of_a_frame() {
    let (slot, writes) = slot(Some(Duration::ZERO), 2);
    assert!(writes(&slot));
    assert!(!writes(&slot));
    assert_eq!(slot.shut().unwrap(), "ame");
}
