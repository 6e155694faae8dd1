//! What the parts of one client's connection tell each other: hyper's task, the body of a request and the reply.

use std::sync::{
    OnceLock,
    atomic::{AtomicBool, Ordering},
};

use parking_lot::Mutex;

use super::{framing::Verdict, sockets::Upgraded};

/// Shared by everything that serves one client's connection.
#[derive(Debug, Default)]
pub(super) struct Link {
    /// Bytes of the client have arrived. Known below TLS only.
    heard: AtomicBool,
    /// The client may still be sending what nobody will read.
    unread: AtomicBool,
    /// The client took nothing for the write timeout.
    stalled: AtomicBool,
    /// A response whose end only the close tells was given up.
    cut_off: AtomicBool,
    /// The server is about to stop: no request follows the next response.
    ending: AtomicBool,
    /// The first head that will not do, known before hyper has parsed it.
    verdict: OnceLock<Verdict>,
    /// The WebSocket this connection becomes once the 101 is written.
    upgraded: Mutex<Option<Upgraded>>,
}

// Relaxed throughout: each flag stands alone and is read after the event it tells of was seen by other means (the end
// of hyper's task, or a mailbox that closed).
impl Link {
    pub(super) fn hear(&self) {
        self.heard.store(true, Ordering::Relaxed);
    }

    pub(super) fn has_heard(&self) -> bool {
        self.heard.load(Ordering::Relaxed)
    }

    pub(super) fn leave_unread(&self) {
        self.unread.store(true, Ordering::Relaxed);
    }

    pub(super) fn has_unread(&self) -> bool {
        self.unread.load(Ordering::Relaxed)
    }

    pub(super) fn client_stalled(&self) {
        self.stalled.store(true, Ordering::Relaxed);
    }

    pub(super) fn has_stalled(&self) -> bool {
        self.stalled.load(Ordering::Relaxed)
    }

    pub(super) fn cut_off(&self) {
        self.cut_off.store(true, Ordering::Relaxed);
    }

    pub(super) fn was_cut_off(&self) -> bool {
        self.cut_off.load(Ordering::Relaxed)
    }

    pub(super) fn end_after_response(&self) {
        self.ending.store(true, Ordering::Relaxed);
    }

    pub(super) fn ends_after_response(&self) -> bool {
        self.ending.load(Ordering::Relaxed)
    }

    /// Only the first verdict counts: the connection ends with it.
    pub(super) fn judge(&self, verdict: Verdict) {
        self.verdict.get_or_init(|| verdict);
    }

    pub(super) fn verdict(&self) -> Option<Verdict> {
        self.verdict.get().copied()
    }

    pub(super) fn upgrade(&self, upgraded: Upgraded) {
        *self.upgraded.lock() = Some(upgraded);
    }

    pub(super) fn is_upgraded(&self) -> bool {
        self.upgraded.lock().is_some()
    }

    pub(super) fn take_upgraded(&self) -> Option<Upgraded> {
        self.upgraded.lock().take()
    }
}
