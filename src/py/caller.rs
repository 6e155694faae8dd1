//! What is known of the calling thread of Python, for the short way of a message.
//!
//! `dwebsocket.websocket` does things around a message: it looks after database connections, lets greenlets take turns,
//! and notes that the caller does not spin. For nearly every message of nearly every view there is nothing of that to do,
//! which a thread tells here beforehand, so that the message costs one call.

use std::cell::Cell;

use pyo3::prelude::*;

thread_local! {
    static CALLER: Caller = const { Caller { may_go: Cell::new(false), owned: Cell::new(0), passed: Cell::new(0) } };
}

struct Caller {
    /// Nothing is to be done around a message of this thread.
    may_go: Cell<bool>,
    /// The number of the connection that the view it is running has accepted; 0: none.
    owned: Cell<u64>,
    /// Messages that went the short way.
    passed: Cell<u64>,
}

/// Of the calling thread, whether a message may go the short way.
pub(super) fn may_go() -> bool {
    CALLER.with(|caller| caller.may_go.get())
}

/// Whether the view that the calling thread runs has accepted the connection with that number.
pub(super) fn owns(number: u64) -> bool {
    CALLER.with(|caller| caller.owned.get() == number)
}

/// A message went the short way.
pub(super) fn passed() {
    CALLER.with(|caller| caller.passed.set(caller.passed.get() + 1));
}

/// The view that the calling thread runs has accepted the connection with that number.
pub(super) fn owns_from_now_on(number: u64) {
    CALLER.with(|caller| caller.owned.set(number));
}

#[pyfunction]
pub(super) fn allow_short_way(allowed: bool) {
    CALLER.with(|caller| caller.may_go.set(allowed));
}

#[pyfunction]
pub(super) fn disown() {
    owns_from_now_on(0);
}

#[pyfunction]
pub(super) fn passed_the_short_way() -> u64 {
    CALLER.with(|caller| caller.passed.get())
}
