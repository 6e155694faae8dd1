//! What the thread of a run does.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use super::form::Form;
use super::presence::Presence;
use super::reader::{Item, Kind, ReadSlot};
use super::remux::Remux;
use super::run::{Run, State};
use super::tempo::Tempo;
use super::{Feed, SharedOpener, Shown};
use crate::capture::{Facts, Picture};
use crate::encode::{Encoder, pixels, scaled};
use crate::error::Reason;
use crate::exit;
use crate::playback::{Playback, Taken, Told};
use crate::room::Part;

/// How long it waits for a picture before it looks for commands.
const SLICE: Duration = Duration::from_millis(50);

/// Starts the thread of a run, which keeps the feed that new viewers find it by.
///
/// # Errors
/// The operating system gives none.
pub(super) fn start(run: &Arc<Run>, feed: Option<Arc<Feed>>) -> Result<(), Reason> {
    let own = Arc::clone(run);
    let name = match own.origin.shown {
        Shown::Pictures(_) => "video-feed",
        Shown::Packets(_) => "video-remux",
    };
    let spawned = thread::Builder::new().name(name.into()).spawn(move || {
        let played = catch_unwind(AssertUnwindSafe(|| match &own.origin.shown {
            Shown::Pictures(opener) => Screen::new(&own, opener).run(),
            Shown::Packets(source) => Remux::new(&own, source).run(),
        }));
        if played.is_err() {
            own.enter(State::Ended, Some(&Reason::Panicked));
            own.end_readers(Some(&Reason::Panicked));
        }
        own.finish();
        // Until now a new viewer found it, though nobody else had it any more.
        drop(feed);
    });
    spawned.map(drop).map_err(|error| {
        run.finish();
        Reason::NoThread(error)
    })
}

/// Why a source is played no more.
pub(super) enum End {
    /// Nobody watches.
    Deserted,
    /// It is a recording, and for one reader alone.
    Inherited(Arc<ReadSlot>, Facts),
    /// The source has ended, or failed.
    Source(Option<Reason>),
}

/// The run's thread at work.
struct Screen<'run> {
    run: &'run Arc<Run>,
    opener: &'run SharedOpener,
    encoder: Option<Encoder>,
    /// Pictures shown so far.
    number: u64,
    /// When the next may be shown, where their rate is limited.
    next_at: Option<Instant>,
    /// What the source itself gave stands here while it is shown smaller.
    scratch: Picture,
    presence: Presence<'run>,
}

impl<'run> Screen<'run> {
    fn new(run: &'run Arc<Run>, opener: &'run SharedOpener) -> Self {
        let presence = Presence::new(run);
        Self { run, opener, encoder: None, number: 0, next_at: None, scratch: Picture::default(), presence }
    }

    /// Opens the source, shows its pictures, and opens it again where that makes sense, until nobody watches.
    fn run(&mut self) {
        loop {
            self.run.enter(State::Connecting, None);
            let shown_before = self.number;
            let options = &self.run.origin.options;
            let opener = Arc::clone(self.opener);
            let playback = Playback::new(Box::new(move |timeouts| opener(timeouts)), options.timeouts, false);
            let end = self.wait_open(&playback).unwrap_or_else(|| self.play(&playback));
            let reason = match end {
                End::Deserted => return,
                End::Inherited(reader, facts) => {
                    self.bequeath(&reader, playback, facts);
                    return;
                }
                End::Source(reason) => reason,
            };
            drop(playback);
            let has_shown = self.number > shown_before;
            let (run, number) = (self.run, &mut self.number);
            if !self.presence.comes_back(reason.as_ref(), has_shown, || show_no_signal(run, number)) {
                return;
            }
        }
    }

    /// Gives the source to a reader, who learns of it with the facts.
    fn bequeath(&self, reader: &ReadSlot, playback: Playback, facts: Facts) {
        reader.hand_over(playback);
        self.run.opened(facts);
        self.run.changed.notify_all();
    }

    /// Waits until the source is open. None: it is to be shown.
    fn wait_open(&self, playback: &Playback) -> Option<End> {
        loop {
            if self.run.is_deserted(&mut self.run.inner.lock()) {
                return Some(End::Deserted);
            }
            match playback.facts(Instant::now() + SLICE) {
                Ok(Told::NotYet) => {}
                Ok(Told::Facts(facts)) if facts.recorded => {
                    return self.run.heir().map(|reader| End::Inherited(reader, facts));
                }
                Ok(_) => return None,
                Err(reason) => return Some(End::Source(Some(reason))),
            }
        }
    }

    /// Shows picture after picture, each when it is due.
    fn play(&mut self, playback: &Playback) -> End {
        let mut held: Option<Picture> = None;
        let mut tempo = Tempo::default();
        let (mut recorded, mut still) = (None, false);
        loop {
            let mut inner = self.run.inner.lock();
            if self.run.is_deserted(&mut inner) {
                return End::Deserted;
            }
            if let Some(seconds) = inner.control.seek_seconds.take() {
                drop(inner);
                held.take().into_iter().for_each(|picture| playback.recycle(picture));
                // One that is live was told so when it gave the command.
                let _live = playback.seek(seconds);
                tempo.restart();
                still = true;
                continue;
            }
            let control = inner.control;
            let is_recorded = recorded == Some(true);
            let at_once = still || control.steps > 0;
            if is_recorded && control.paused && !at_once {
                tempo.restart();
                self.run.changed.wait_until(&mut inner, self.run.look_again());
                continue;
            }
            drop(inner);
            let Some(picture) = held.take() else {
                match playback.take(Instant::now() + SLICE) {
                    Ok(Taken::Picture(picture)) => held = Some(picture),
                    Ok(Taken::NotYet) => {}
                    Ok(Taken::Ended) => return End::Source(None),
                    Err(reason) => return End::Source(Some(reason)),
                }
                if held.is_some() && recorded.is_none() {
                    recorded = self.opened(playback);
                }
                continue;
            };
            let is_paced = is_recorded && !at_once;
            let due = if is_paced { tempo.due(picture.position_seconds, control.speed) } else { None };
            if let Some(due) = due {
                held = Some(picture);
                self.run.waits_until_due(due, control);
                continue;
            }
            if at_once || self.is_time() {
                if let Err(reason) = self.show(&picture, still || control.steps > 0) {
                    return End::Source(Some(reason));
                }
                still = false;
            }
            playback.recycle(picture);
        }
    }

    /// Whether the rate that was asked for allows a picture now.
    fn is_time(&mut self) -> bool {
        let Some(fps) = self.run.origin.options.fps else { return true };
        let (now, period) = (Instant::now(), Duration::from_secs_f64(1.0 / fps));
        // A little early is in time: pictures do not come by the clock.
        if self.next_at.is_some_and(|next| now + period / 8 < next) {
            return false;
        }
        self.next_at =
            Some(self.next_at.map_or(now, |next| next.max(now.checked_sub(period).unwrap_or(now))) + period);
        true
    }

    /// The first picture of a source is there. Gives whether it is a recording.
    fn opened(&mut self, playback: &Playback) -> Option<bool> {
        let Ok(Told::Facts(facts)) = playback.facts(Instant::now()) else { return None };
        self.presence.begins(facts);
        Some(facts.recorded)
    }

    /// Encodes a picture in the forms that are watched, and gives it to whoever watches.
    fn show(&mut self, picture: &Picture, at_once: bool) -> Result<(), Reason> {
        let position_seconds = picture.position_seconds;
        let mut inner = self.run.inner.lock();
        inner.shown(position_seconds);
        if at_once {
            inner.control.steps = inner.control.steps.saturating_sub(1);
        }
        drop(inner);
        let watched = Form::PICTURES.map(|form| self.run.is_watched(form));
        let readers = self.run.readers();
        if readers.is_empty() && !watched.contains(&true) {
            // What is kept would be old when the next viewer comes.
            for form in Form::PICTURES {
                self.run.room(form).forget();
            }
            return Ok(());
        }
        // Pictures are OpenCV's memory.
        let _inside = exit::enter();
        let options = &self.run.origin.options;
        let picture = scaled(picture, &mut self.scratch, options.width, options.height)?;
        let wants_jpeg =
            watched.contains(&true) || readers.iter().any(|reader| reader.kind() != Kind::Pixels);
        let encoder = match &mut self.encoder {
            Some(encoder) => encoder,
            empty => empty.insert(Encoder::new()?),
        };
        let jpeg = if wants_jpeg { encoder.jpeg(picture, options.quality)? } else { &[] };
        for form in Form::PICTURES {
            if watched[form.index()] {
                let message = form.message(jpeg, position_seconds, self.number);
                self.run.room(form).publish(Part::Picture, message);
            } else {
                self.run.room(form).forget();
            }
        }
        let mut shared = [None, None, None];
        for reader in readers {
            let kind = reader.kind();
            let item = match &shared[kind as usize] {
                Some(item) => Item::clone(item),
                None => match kind {
                    Kind::Pixels => Item::Pixels(Arc::new(pixels(picture)?)),
                    Kind::Jpeg => Item::Jpeg(jpeg.into()),
                    Kind::Base64 => Item::Base64(base64_simd::STANDARD.encode_to_string(jpeg).into()),
                },
            };
            shared[kind as usize].get_or_insert_with(|| item.clone());
            reader.give(item, position_seconds);
        }
        self.number += 1;
        Ok(())
    }
}

/// Shows what there is for a source that is lost.
fn show_no_signal(run: &Run, number: &mut u64) {
    let Some(jpeg) = &run.origin.no_signal else { return };
    let position_seconds = run.status().position_seconds.unwrap_or(0.0);
    for form in Form::PICTURES {
        let message = form.message(jpeg, position_seconds, *number);
        run.room(form).publish(Part::Picture, message);
    }
    *number += 1;
}
