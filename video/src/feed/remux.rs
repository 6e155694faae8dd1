//! What the thread of a run does whose packets are sent as they are, as fragmented MP4.

use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::json;

use super::form::{self, Form};
use super::presence::Presence;
use super::run::{Run, State};
use super::tempo::Tempo;
use super::thread::End;
use crate::error::Reason;
use crate::exit;
use crate::mp4::{Fragment, Input, Interrupt, Track};
use crate::room::{Message, Part};
use crate::source::Source;

/// How far a recording is sent ahead of its time, so that a player has something to play when a packet is late. Less than
/// what a [`Pace`](crate::playback::Pace) catches up with.
const AHEAD: Duration = Duration::from_millis(200);

/// A run's thread at work. It reads the source itself: libavformat can be interrupted.
pub(super) struct Remux<'run> {
    run: &'run Arc<Run>,
    source: &'run Source,
    /// Fragments sent so far.
    sent: u64,
    /// Where the next track of a live source goes on.
    resumes_at: Duration,
    presence: Presence<'run>,
}

/// One opening of the source.
struct Playing {
    input: Input,
    track: Track,
    is_recorded: bool,
    /// The next to be sent.
    held: Option<Fragment>,
    /// Whether what comes next is of no use before a key frame.
    needs_key: bool,
    /// What was sought: everything up to there is sent at once.
    target_seconds: Option<f64>,
    tempo: Tempo,
}

impl<'run> Remux<'run> {
    pub(super) fn new(run: &'run Arc<Run>, source: &'run Source) -> Self {
        Self { run, source, sent: 0, resumes_at: Duration::ZERO, presence: Presence::new(run) }
    }

    /// Opens the source, sends its packets, and opens it again where that makes sense, until nobody watches.
    pub(super) fn run(&mut self) {
        loop {
            self.run.enter(State::Connecting, None);
            let sent_before = self.sent;
            let End::Source(reason) = self.open_and_play() else { return };
            if !self.presence.comes_back(reason.as_ref(), self.sent > sent_before, || ()) {
                return;
            }
        }
    }

    fn open_and_play(&mut self) -> End {
        let timeout = self.run.origin.options.timeouts.open;
        let until = Instant::now() + timeout;
        let run = Arc::clone(self.run);
        let interrupt =
            Interrupt::new(until, move || exit::is_stopping() || run.is_deserted(&mut run.inner.lock()));
        let inside = exit::enter();
        let opened = Input::open(self.source, interrupt)
            .and_then(|input| Track::new(&input, self.resumes_at).map(|track| (input, track)));
        let (input, track) = match opened {
            Ok(opened) => opened,
            Err(reason) => return self.failed(reason, until, Reason::OpenTimedOut(timeout.as_secs_f64())),
        };
        drop(inside);
        let mut playing = Playing {
            is_recorded: input.facts().recorded,
            input,
            track,
            held: None,
            needs_key: true,
            target_seconds: None,
            tempo: Tempo::ahead(AHEAD),
        };
        let mut end = self.begin(&mut playing, until);
        while end.is_none() {
            end = self.step(&mut playing);
        }
        let _inside = exit::enter();
        drop(playing);
        end.unwrap_or(End::Deserted)
    }

    /// Reads up to the first key frame, and tells everybody that the source is there.
    fn begin(&mut self, playing: &mut Playing, until: Instant) -> Option<End> {
        while playing.held.is_none() {
            let timed_out = Reason::OpenTimedOut(self.run.origin.options.timeouts.open.as_secs_f64());
            if Instant::now() >= until {
                return Some(End::Source(Some(timed_out)));
            }
            match self.read(playing, until, timed_out) {
                Some(End::Source(None)) => return Some(End::Source(Some(Reason::NoPicture))),
                Some(end) => return Some(end),
                None => {}
            }
        }
        self.presence.begins(playing.input.facts());
        None
    }

    /// Does what is next: obeys, waits, reads or sends.
    fn step(&mut self, playing: &mut Playing) -> Option<End> {
        let mut inner = self.run.inner.lock();
        if self.run.is_deserted(&mut inner) {
            return Some(End::Deserted);
        }
        if let Some(seconds) = inner.control.seek_seconds.take() {
            drop(inner);
            return self.seek(playing, seconds);
        }
        let control = inner.control;
        let at_once = !playing.is_recorded || playing.target_seconds.is_some() || control.steps > 0;
        if control.paused && !at_once {
            playing.tempo.restart();
            self.run.changed.wait_until(&mut inner, self.run.look_again());
            return None;
        }
        drop(inner);
        let Some(fragment) = playing.held.take() else {
            let timeout = self.run.origin.options.timeouts.read;
            let timed_out = Reason::ReadTimedOut(timeout.as_secs_f64());
            return self.read(playing, Instant::now() + timeout, timed_out);
        };
        if playing.target_seconds.is_some_and(|target| fragment.due_seconds > target) {
            playing.target_seconds = None;
            playing.held = Some(fragment);
            return None;
        }
        let due = if at_once { None } else { playing.tempo.due(fragment.due_seconds, control.speed) };
        if let Some(due) = due {
            playing.held = Some(fragment);
            self.run.waits_until_due(due, control);
            return None;
        }
        self.send(playing, fragment);
        None
    }

    /// Reads one packet, which is held if it can be sent.
    fn read(&self, playing: &mut Playing, until: Instant, timed_out: Reason) -> Option<End> {
        let inside = exit::enter();
        // Before it is sent it is known only how many were.
        let number = u32::try_from(self.sent & u64::from(u32::MAX)).unwrap_or(0).wrapping_add(1);
        let read = match playing.input.read(until) {
            Ok(None) => return Some(End::Source(None)),
            Ok(Some(packet)) if playing.needs_key && !packet.is_key => return None,
            Ok(Some(packet)) => playing.track.fragment(&packet, number),
            Err(reason) => Err(reason),
        };
        drop(inside);
        match read {
            Ok(fragment) => {
                playing.needs_key &= fragment.is_none();
                playing.held = fragment;
                None
            }
            Err(reason) => Some(self.failed(reason, until, timed_out)),
        }
    }

    fn seek(&self, playing: &mut Playing, seconds: f64) -> Option<End> {
        let timeout = self.run.origin.options.timeouts.read;
        let until = Instant::now() + timeout;
        let sought = {
            let _inside = exit::enter();
            playing.input.seek(seconds, until)
        };
        self.run.room(Form::Mp4).forget();
        playing.track.restart();
        playing.held = None;
        playing.needs_key = true;
        playing.target_seconds = Some(seconds);
        playing.tempo.restart();
        sought.err().map(|reason| self.failed(reason, until, Reason::ReadTimedOut(timeout.as_secs_f64())))
    }

    /// Gives a fragment to whoever watches.
    fn send(&mut self, playing: &Playing, fragment: Fragment) {
        let Fragment { message, is_key, is_described_anew, shown_seconds, duration_seconds, .. } = fragment;
        let mut inner = self.run.inner.lock();
        inner.shown(shown_seconds);
        inner.control.steps = inner.control.steps.saturating_sub(1);
        drop(inner);
        let room = self.run.room(Form::Mp4);
        if is_described_anew {
            // Everybody gets the init segment, also who has followed up to here.
            room.forget();
        }
        if is_key {
            let from = playing.target_seconds.unwrap_or(0.0).max(shown_seconds);
            let start = json!({ "mimeType": playing.track.mime_type, "t": from });
            let mut init = Message::binary(playing.track.init.len());
            init.payload().extend_from_slice(&playing.track.init);
            room.start([form::json(&start), init], message);
        } else {
            room.publish(Part::Picture, message);
        }
        let end = Duration::try_from_secs_f64(shown_seconds + duration_seconds).unwrap_or(self.resumes_at);
        self.resumes_at = self.resumes_at.max(end);
        self.sent += 1;
    }

    /// What is behind a failure: nobody watches any more, or the time was up, or the source.
    fn failed(&self, reason: Reason, until: Instant, timed_out: Reason) -> End {
        if !matches!(reason, Reason::Interrupted) && Instant::now() < until {
            return End::Source(Some(reason));
        }
        if self.run.is_deserted(&mut self.run.inner.lock()) {
            return End::Deserted;
        }
        End::Source(Some(timed_out))
    }
}
