//! Descriptors that `select` can watch.

use std::{
    io,
    os::fd::{AsRawFd, OwnedFd, RawFd},
    sync::atomic::{AtomicBool, Ordering},
};

use parking_lot::Mutex;
use rustix::event::{EventfdFlags, eventfd};

use super::waker::Wake;

/// An eventfd that is readable while something can be taken. It exists from the first [`Readiness::descriptor`] on.
///
/// [`Readiness::refresh`] is called after every change. The refreshes follow one another and each looks at the state
/// anew, so that the last one leaves the descriptor as the last change wants it.
#[derive(Debug, Default)]
pub(super) struct Readiness {
    made: AtomicBool,
    event: Mutex<Option<Event>>,
}

#[derive(Debug)]
struct Event {
    descriptor: OwnedFd,
    readable: bool,
}

impl Readiness {
    /// The descriptor; made, with `is_readable` as its state, at the first call.
    pub(super) fn descriptor(&self, is_readable: impl Fn() -> bool) -> io::Result<RawFd> {
        let raw = {
            let mut event = self.event.lock();
            if let Some(event) = &*event {
                return Ok(event.descriptor.as_raw_fd());
            }
            let descriptor = unsignalled()?;
            event.insert(Event { descriptor, readable: false }).descriptor.as_raw_fd()
        };
        // Whoever changes the state from now on sees this; what was changed before, the refresh sees.
        self.made.store(true, Ordering::SeqCst);
        self.refresh(is_readable);
        Ok(raw)
    }

    /// Makes the descriptor, if there is one, tell what `is_readable` says.
    pub(super) fn refresh(&self, is_readable: impl Fn() -> bool) {
        if !self.made.load(Ordering::SeqCst) {
            return;
        }
        if let Some(event) = &mut *self.event.lock() {
            let readable = is_readable();
            if readable != event.readable {
                event.readable = readable;
                event.tell();
            }
        }
    }

    /// Closes the descriptor.
    pub(super) fn close(&self) {
        self.event.lock().take();
    }
}

impl Event {
    fn tell(&self) {
        let told = if self.readable {
            rustix::io::write(&self.descriptor, &1_u64.to_ne_bytes())
        } else {
            rustix::io::read(&self.descriptor, &mut [0; 8])
        };
        match told {
            // The counter is 0 or 1, so neither call can fail, unless somebody read or closed the descriptor against the
            // rule. Then it already is unreadable, or nobody is left to be told.
            Ok(_) | Err(_) => {}
        }
    }
}

fn unsignalled() -> io::Result<OwnedFd> {
    Ok(eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK)?)
}

/// Wakes a caller who watches a descriptor: readable once it was rung, until it is silenced.
#[derive(Debug)]
pub struct Bell(OwnedFd);

impl Bell {
    /// A silent bell.
    ///
    /// # Errors
    /// The operating system has no descriptor left.
    pub fn new() -> io::Result<Self> {
        unsignalled().map(Self)
    }

    /// The descriptor. It belongs to the bell: it is never read or closed by the caller.
    pub fn descriptor(&self) -> RawFd {
        self.0.as_raw_fd()
    }

    /// Forgets that it was rung.
    pub fn silence(&self) {
        match rustix::io::read(&self.0, &mut [0; 8]) {
            // It had been rung, or had not.
            Ok(_) | Err(_) => {}
        }
    }
}

impl Wake for Bell {
    fn wake(&self) {
        match rustix::io::write(&self.0, &1_u64.to_ne_bytes()) {
            // It fails only where the counter is full, and then the descriptor is readable.
            Ok(_) | Err(_) => {}
        }
    }
}
