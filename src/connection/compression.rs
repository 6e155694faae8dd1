//! Compression of what one connection sends (RFC 7692). Senders deflate, on their own threads; the driver never does.
//!
//! Without context takeover the frame of a message is the same for every client with the same window, so a message that
//! goes to many clients one after the other is deflated once. With context takeover each message is deflated against
//! what its client was told before; then messages must reach the outbox in the order in which they were deflated.

use std::time::Instant;

use bytes::Bytes;
use parking_lot::Mutex;

use super::{handle::Patience, mailbox::PutError, shared::Shared};
use crate::{
    config::{CompressionConfig, ConnectionConfig, SlowClient},
    wire::{
        deflate::{Deflater, History},
        frame::plain_message,
        message::Kind,
        offer::{Agreement, Extension, Terms},
    },
};

/// Half of the time of level 6, for two per cent more bytes of JSON.
const LEVEL: u8 = 4;

/// Payloads up to so many bytes are deflated in some tens of microseconds, less than giving the GIL up may cost.
const QUICK_BYTES: usize = 4 << 10;

/// Deflaters kept for the next message, of 380 KiB each.
const KEPT_DEFLATERS: usize = 4;

/// A longer message is not kept to be recognised.
const RECENT_BYTES: usize = 1 << 20;

/// Deflaters that nobody uses. Only tried, like [`RECENT`]: whoever finds it locked does without, and so does a forked
/// child whose parent held it.
static IDLE: Mutex<Vec<Deflater>> = Mutex::new(Vec::new());

/// The message that was deflated last without context takeover, so that the next client gets the same bytes.
static RECENT: Mutex<Option<Recent>> = Mutex::new(None);

#[derive(Clone)]
struct Recent {
    window_bits: u8,
    plain: Bytes,
    /// The same as `plain` where deflating did not make it smaller.
    best: Bytes,
}

/// What is agreed on with a client that offers these extensions. `compression` is the view's word, `None` leaves it to
/// the configuration.
///
/// A queue whose oldest messages may be dropped allows no context takeover on this side: the client would miss what later
/// messages refer to.
pub fn agree(
    config: &ConnectionConfig,
    offers: &[Extension],
    compression: Option<bool>,
) -> Option<Agreement> {
    let CompressionConfig { enabled, context_takeover, window_bits, .. } = config.compression;
    let terms = Terms {
        server_context_takeover: context_takeover && config.slow_client == SlowClient::Close,
        client_context_takeover: context_takeover,
        max_window_bits: window_bits,
    };
    if compression.unwrap_or(enabled) { Agreement::reach(offers, terms) } else { None }
}

/// How the messages of one connection are compressed.
#[derive(Debug)]
pub(super) struct Compression {
    window_bits: u8,
    threshold_bytes: usize,
    /// What the client was told, with context takeover. Locked while a message is deflated and queued, which waits for
    /// nothing and calls no Python.
    history: Option<Mutex<History>>,
}

impl Compression {
    pub(super) fn new(agreement: Agreement, threshold_bytes: usize) -> Self {
        let window_bits = agreement.server_window_bits();
        let takes_over = !agreement.server_no_context_takeover;
        Self {
            window_bits,
            threshold_bytes,
            history: takes_over.then(|| Mutex::new(History::new(window_bits))),
        }
    }

    /// Whether it is for [`Compression::send`]: a message that has not been compressed yet and is not too short.
    pub(super) fn takes(&self, frame: &[u8]) -> bool {
        plain_message(frame).is_some_and(|(_, payload)| payload.len() >= self.threshold_bytes)
    }

    /// Queues a message as [`Shared::queue`] does, as small as it gets.
    pub(super) fn send(
        &self,
        shared: &Shared,
        frame: Bytes,
        patience: Patience,
    ) -> Result<usize, PutError<Bytes>> {
        let Some(history) = &self.history else {
            let best = self.recent(&frame).unwrap_or_else(|| self.deflate_alone(&frame));
            return shared.queue(best, patience);
        };
        let deadline = Instant::now().checked_add(shared.config.send_timeout);
        loop {
            let full = match self.put_now(shared, &mut history.lock(), &frame) {
                Err(PutError::Full(full)) if patience == Patience::Owner => full,
                outcome => return outcome,
            };
            // Without the lock; meanwhile others may say something, and then the message is deflated once more.
            let left = deadline.map(|deadline| deadline.saturating_duration_since(Instant::now()));
            if !shared.outbox.wait_room(full.len(), left) {
                return Err(PutError::Full(frame));
            }
        }
    }

    /// As [`Compression::send`] of one who does not wait, if it takes little time. The error holds a frame for
    /// [`Compression::send`] or [`Shared::queue`].
    pub(super) fn send_now(&self, shared: &Shared, frame: Bytes) -> Result<usize, PutError<Bytes>> {
        let is_quick = frame.len() <= QUICK_BYTES;
        let Some(history) = &self.history else {
            let best = self.recent(&frame).or_else(|| is_quick.then(|| self.deflate_alone(&frame)));
            return match best {
                Some(best) => shared.put_now(best),
                None => Err(PutError::Full(frame)),
            };
        };
        match history.try_lock().filter(|_| is_quick) {
            Some(mut history) => self.put_now(shared, &mut history, &frame).map_err(|error| match error {
                PutError::Full(_) => PutError::Full(frame),
                PutError::Closed(_) => PutError::Closed(frame),
            }),
            None => Err(PutError::Full(frame)),
        }
    }

    /// Deflates against the history, and adds to it what the client will see: what is in the outbox.
    fn put_now(
        &self,
        shared: &Shared,
        history: &mut History,
        frame: &Bytes,
    ) -> Result<usize, PutError<Bytes>> {
        let (kind, payload) = plain_message(frame).expect("bug: no plain message");
        let Some(deflated) = self.deflate(kind, payload, history.as_slice()) else {
            return shared.put_now(frame.clone());
        };
        let size = shared.put_now(deflated)?;
        history.push(payload);
        Ok(size)
    }

    fn deflate_alone(&self, plain: &Bytes) -> Bytes {
        let (kind, payload) = plain_message(plain).expect("bug: no plain message");
        let best = self.deflate(kind, payload, &[]).unwrap_or_else(|| plain.clone());
        if plain.len() <= RECENT_BYTES
            && let Some(mut recent) = RECENT.try_lock()
        {
            *recent =
                Some(Recent { window_bits: self.window_bits, plain: plain.clone(), best: best.clone() });
        }
        best
    }

    fn recent(&self, plain: &Bytes) -> Option<Bytes> {
        let is_like =
            |recent: &Recent| recent.window_bits == self.window_bits && recent.plain.len() == plain.len();
        let recent = RECENT.try_lock()?.as_ref().filter(|recent| is_like(recent)).cloned()?;
        let is_same = recent.plain.as_ptr() == plain.as_ptr() || recent.plain == plain;
        is_same.then_some(recent.best)
    }

    fn deflate(&self, kind: Kind, payload: &[u8], history: &[u8]) -> Option<Bytes> {
        let fits = |deflater: &Deflater| deflater.window_bits() == self.window_bits;
        let idle = IDLE.try_lock().and_then(|mut idle| {
            let place = idle.iter().position(fits)?;
            Some(idle.swap_remove(place))
        });
        let mut deflater = idle.unwrap_or_else(|| Deflater::new(LEVEL, self.window_bits));
        let frame = deflater.encode_message(kind, payload, history);
        if let Some(mut idle) = IDLE.try_lock() {
            if idle.len() == KEPT_DEFLATERS {
                idle.remove(0);
            }
            idle.push(deflater);
        }
        frame
    }
}
