//! One connection's view of a feed.

use std::ffi::c_void;
use std::mem;
use std::sync::Arc;
use std::time::Instant;

use parking_lot::Mutex;

use super::run::{Control, Run, State, Status};
use super::{Feed, Form, thread};
use crate::error::Reason;
use crate::room::{Counts, Subscription};

/// What a viewer may ask for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Command {
    /// Stop the pictures, of this viewer alone.
    Pause,
    /// Go on: where it stopped in a recording, which begins anew after its end; with the newest picture of a live source.
    Play,
    /// Go on at so many seconds. Recordings only.
    Seek(f64),
    /// So many times as fast as it was recorded. Recordings only.
    Speed(f64),
    /// One picture on, and pause. Recordings only.
    Step,
}

/// One connection's view of a feed: its pictures go from the feed to the socket by themselves. Dropping it ends it.
#[derive(Debug)]
pub struct Viewer {
    form: Form,
    /// The process that made it: a fork has neither the thread nor the socket.
    process: u32,
    /// Taken before every other lock of a feed.
    inner: Mutex<Inner>,
}

struct Inner {
    run: Arc<Run>,
    /// None once it was ended, and for a connection that was closed before.
    subscription: Option<Subscription>,
    /// Of the subscriptions before this one.
    earlier: Counts,
    /// Of a live source.
    is_paused: bool,
}

impl Viewer {
    /// Shows a feed to a connection. Its source is opened if it is not open.
    ///
    /// # Errors
    /// There is no thread, or the process forked.
    ///
    /// # Safety
    /// The thread is attached to Python; the pointer is to a Python object that stays alive for the call. That it is no
    /// connection is told by a Python exception that is set afterwards.
    #[allow(unsafe_code, reason = "the connection is an object of the core")]
    pub unsafe fn new(feed: &Arc<Feed>, form: Form, connection: *mut c_void) -> Result<Self, Reason> {
        let (run, subscription) = feed.join(|run, _| {
            // SAFETY: the caller's.
            let subscription = unsafe { run.room(form).subscribe(connection) };
            (Arc::clone(run), subscription)
        })?;
        let inner = Inner { run, subscription, earlier: Counts::default(), is_paused: false };
        Ok(Self { form, process: std::process::id(), inner: Mutex::new(inner) })
    }

    /// Does what a viewer asks for; waits for nothing. What is asked for before the source is open is done then.
    ///
    /// # Errors
    /// [`Reason::Unseekable`] where only a recording can do it; a run of its own gets no thread; the process forked.
    pub fn obey(self: &Arc<Self>, command: Command) -> Result<(), Reason> {
        let run = Arc::clone(&self.lock()?.run);
        let is_early = run.inner.lock().keep_early(self, command);
        if is_early { Ok(()) } else { self.obey_now(command) }
    }

    /// Does what was asked for before the source was open. What cannot be done then is told to the client alone.
    pub(super) fn obey_late(&self, command: Command) {
        let Err(reason) = self.obey_now(command) else { return };
        let notice = super::form::json(&serde_json::json!({ "error": reason.to_string() }));
        if let Ok(inner) = self.lock()
            && let Some(subscription) = &inner.subscription
        {
            subscription.tell(crate::room::Part::Notice, notice);
        }
    }

    fn obey_now(&self, command: Command) -> Result<(), Reason> {
        let mut inner = self.lock()?;
        let run = Arc::clone(&inner.run);
        let mut state = run.inner.lock();
        if !state.facts.is_some_and(|facts| facts.recorded) {
            drop(state);
            return inner.obey_live(command);
        }
        if state.is_private || run.is_alone(&mut state) {
            state.is_private = true;
            let ended = state.state == State::Ended;
            state.control.obey(command, ended);
            run.announce(&state);
            drop(state);
            run.changed.notify_all();
            return Ok(());
        }
        let mut control = Control { seek_seconds: state.position_seconds, ..state.control };
        let ended = state.state == State::Ended;
        drop(state);
        control.obey(command, ended);
        inner.move_to_own(&run, control, self.form)
    }

    /// Where the run is that it watches.
    ///
    /// # Errors
    /// The process forked.
    pub fn status(&self) -> Result<Status, Reason> {
        let inner = self.lock()?;
        let mut status = inner.run.status();
        status.paused |= inner.is_paused;
        Ok(status)
    }

    /// Pictures sent, and pictures that a newer one replaced before they could be.
    ///
    /// # Errors
    /// The process forked.
    pub fn counts(&self) -> Result<Counts, Reason> {
        Ok(self.lock()?.counts())
    }

    /// Waits until `until` for the end: of the pictures, or of the connection. True: it has come.
    ///
    /// # Errors
    /// The process forked.
    pub fn wait_ended(&self, until: Instant) -> Result<bool, Reason> {
        loop {
            let run = {
                let inner = self.lock()?;
                if !inner.subscription.as_ref().is_some_and(Subscription::is_open) {
                    return Ok(true);
                }
                Arc::clone(&inner.run)
            };
            let mut state = run.inner.lock();
            if state.state == State::Ended {
                return Ok(true);
            }
            if run.changed.wait_until(&mut state, until.min(run.look_again())).timed_out()
                && Instant::now() >= until
            {
                return Ok(false);
            }
        }
    }

    /// Ends it; the connection stays open. A second call does nothing.
    pub fn close(&self) {
        let Ok(mut inner) = self.lock() else { return };
        inner.earlier = inner.counts();
        let subscription = inner.subscription.take();
        let run = Arc::clone(&inner.run);
        drop(inner);
        drop(subscription);
        run.changed.notify_all();
    }

    /// Whether it was ended, or its connection was.
    ///
    /// # Errors
    /// The process forked.
    pub fn is_closed(&self) -> Result<bool, Reason> {
        Ok(!self.lock()?.subscription.as_ref().is_some_and(Subscription::is_open))
    }

    fn lock(&self) -> Result<parking_lot::MutexGuard<'_, Inner>, Reason> {
        if std::process::id() == self.process { Ok(self.inner.lock()) } else { Err(Reason::Forked) }
    }
}

impl Inner {
    fn counts(&self) -> Counts {
        let now = self.subscription.as_ref().map(Subscription::counts).unwrap_or_default();
        Counts { sent: self.earlier.sent + now.sent, skipped: self.earlier.skipped + now.skipped }
    }

    fn obey_live(&mut self, command: Command) -> Result<(), Reason> {
        self.is_paused = match command {
            Command::Pause => true,
            Command::Play => false,
            Command::Seek(_) | Command::Speed(_) | Command::Step => return Err(Reason::Unseekable),
        };
        if let Some(subscription) = &self.subscription {
            subscription.pause(self.is_paused);
        }
        Ok(())
    }

    /// Goes on with a run that nobody else watches.
    fn move_to_own(&mut self, shared: &Run, control: Control, form: Form) -> Result<(), Reason> {
        let Some(old) = &self.subscription else { return Ok(()) };
        let own = Arc::new(Run::new(Arc::clone(&shared.origin), control, true));
        let Some(new) = own.room(form).subscribe_too(old) else { return Ok(()) };
        thread::start(&own, None)?;
        self.earlier = self.counts();
        self.subscription = Some(new);
        self.run = own;
        shared.changed.notify_all();
        Ok(())
    }
}

impl Drop for Viewer {
    fn drop(&mut self) {
        if std::process::id() == self.process {
            self.close();
        } else {
            // The locks of the core are as the fork found them; nobody would ever release one that was held.
            mem::forget(self.inner.get_mut().subscription.take());
            mem::forget(Arc::clone(&self.inner.get_mut().run));
        }
    }
}

impl std::fmt::Debug for Inner {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.debug_struct("Inner").field("subscription", &self.subscription).finish_non_exhaustive()
    }
}
