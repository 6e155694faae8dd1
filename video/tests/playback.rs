//! A playback over a source that does what the test says, without OpenCV's files and streams.
#![allow(clippy::unwrap_used, clippy::float_cmp, missing_docs, reason = "a test")]

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::{Duration, Instant};

use dwebsocket_video::capture::{Capture, Facts, Picture, Timeouts};
use dwebsocket_video::error::Reason;
use dwebsocket_video::playback::{Playback, Taken, Told};

const LIVE: Facts = Facts { frames_per_second: Some(25.0), duration_seconds: None, recorded: false };
const RECORDED: Facts = Facts { frames_per_second: Some(25.0), duration_seconds: Some(10.0), recorded: true };
const LONG: Duration = Duration::from_secs(30);

/// What the source does next.
enum Step {
    Picture(f64),
    End,
    Panic,
}

/// A source that blocks in `read` until its test sends a step, and tells of each read and seek.
struct Scripted {
    facts: Facts,
    steps: Arc<Mutex<Receiver<Step>>>,
    happened: SyncSender<Happened>,
}

#[derive(Debug, PartialEq)]
enum Happened {
    Opened,
    Reading,
    Sought(f64),
    Dropped,
}

impl Capture for Scripted {
    fn facts(&self) -> Facts {
        self.facts
    }

    fn read(&mut self, picture: &mut Picture) -> Result<bool, Reason> {
        self.happened.send(Happened::Reading).unwrap();
        match self.steps.lock().unwrap().recv() {
            Ok(Step::Picture(position_seconds)) => {
                picture.position_seconds = position_seconds;
                Ok(true)
            }
            Ok(Step::Panic) => panic!("as the test says"),
            Ok(Step::End) | Err(_) => Ok(false),
        }
    }

    fn seek(&mut self, seconds: f64) -> Result<(), Reason> {
        if !self.facts.recorded {
            return Err(Reason::Unseekable);
        }
        self.happened.send(Happened::Sought(seconds)).unwrap();
        Ok(())
    }
}

impl Drop for Scripted {
    fn drop(&mut self) {
        self.happened.send(Happened::Dropped).unwrap();
    }
}

/// A playback, the steps of its source, and what happened to it.
struct Stage {
    playback: Arc<Playback>,
    steps: SyncSender<Step>,
    happened: Receiver<Happened>,
}

fn stage(facts: Facts, timeouts: Timeouts) -> Stage {
    let (steps, receiver) = sync_channel(64);
    let (sender, happened) = sync_channel(1024);
    let receiver = Arc::new(Mutex::new(receiver));
    let opener = Box::new(move |_: Timeouts| -> Result<Box<dyn Capture>, Reason> {
        sender.send(Happened::Opened).unwrap();
        Ok(Box::new(Scripted { facts, steps: Arc::clone(&receiver), happened: sender.clone() }))
    });
    Stage { playback: Arc::new(Playback::new(opener, timeouts, false)), steps, happened }
}

fn patient() -> Timeouts {
    Timeouts { open: LONG, read: LONG }
}

impl Stage {
    fn take(&self) -> Result<Taken, Reason> {
        self.playback.take(Instant::now() + LONG)
    }

    /// The position of the next picture.
    fn position(&self) -> f64 {
        match self.take().unwrap() {
            Taken::Picture(picture) => picture.position_seconds,
            other => panic!("no picture but {other:?}"),
        }
    }

    fn send(&self, steps: impl IntoIterator<Item = Step>) {
        steps.into_iter().for_each(|step| self.steps.send(step).unwrap());
    }

    fn wait_for(&self, wanted: &Happened) {
        while self.happened.recv_timeout(LONG).unwrap() != *wanted {}
    }

    /// Opens the source, which then waits in its first read.
    fn open(&self) {
        assert!(matches!(self.playback.take(Instant::now()), Ok(Taken::NotYet)));
        self.wait_for(&Happened::Reading);
    }
}

#[test]
fn take_gives_a_picture_that_is_already_there() {
    let stage = stage(RECORDED, patient());
    stage.open();
    stage.send([Step::Picture(0.0), Step::Picture(0.04)]);
    stage.position();
    // The second is read as soon as the first is taken; the third read begins when the second was taken.
    assert_eq!(stage.position(), 0.04);
    assert_eq!(stage.playback.position_seconds(), Some(0.04));
}

#[test]
fn take_waits_for_a_picture_that_arrives_later() {
    let stage = stage(RECORDED, patient());
    let playback = Arc::clone(&stage.playback);
    let taker = thread::spawn(move || playback.take(Instant::now() + LONG));
    stage.wait_for(&Happened::Reading);
    stage.send([Step::Picture(1.5)]);
    assert!(matches!(taker.join().unwrap(), Ok(Taken::Picture(picture)) if picture.position_seconds == 1.5));
}

#[test]
fn take_gives_not_yet_when_its_time_runs_out_and_the_source_goes_on() {
    let stage = stage(RECORDED, patient());
    stage.open();
    assert!(matches!(stage.playback.take(Instant::now() + Duration::from_millis(20)), Ok(Taken::NotYet)));
    stage.send([Step::Picture(2.0)]);
    assert_eq!(stage.position(), 2.0);
}

#[test]
fn close_wakes_a_taker_while_the_source_is_stuck() {
    let stage = stage(RECORDED, patient());
    let playback = Arc::clone(&stage.playback);
    let taker = thread::spawn(move || playback.take(Instant::now() + LONG));
    stage.wait_for(&Happened::Reading);
    stage.playback.close();
    assert!(matches!(taker.join().unwrap(), Ok(Taken::Ended)));
    stage.send([Step::Picture(0.0)]);
    stage.wait_for(&Happened::Dropped);
    assert!(matches!(stage.take(), Ok(Taken::Ended)), "what a closed playback read late is thrown away");
}

#[test]
fn a_recording_waits_for_its_reader_and_loses_nothing() {
    let stage = stage(RECORDED, patient());
    stage.send((0..5).map(|n| Step::Picture(f64::from(n))).chain([Step::End]));
    for n in 0..5 {
        assert_eq!(stage.position(), f64::from(n));
    }
    assert!(matches!(stage.take(), Ok(Taken::Ended)));
    assert!(matches!(stage.take(), Ok(Taken::Ended)));
}

#[test]
fn a_live_source_is_read_on_and_gives_the_newest_picture() {
    let stage = stage(LIVE, patient());
    stage.open();
    stage.send((0..5).map(|n| Step::Picture(f64::from(n))));
    // Five reads follow the first: all five pictures were shown.
    for _ in 0..5 {
        stage.wait_for(&Happened::Reading);
    }
    assert_eq!(stage.position(), 4.0);
}

#[test]
fn the_last_picture_of_a_live_source_is_given_before_its_end() {
    let stage = stage(LIVE, patient());
    stage.open();
    stage.send([Step::Picture(7.0), Step::End]);
    stage.wait_for(&Happened::Dropped);
    assert_eq!(stage.position(), 7.0);
    assert!(matches!(stage.take(), Ok(Taken::Ended)));
}

#[test]
fn a_source_that_stalls_fails_after_the_read_timeout_and_once() {
    let read = Duration::from_millis(50);
    let stage = stage(RECORDED, Timeouts { open: LONG, read });
    stage.send([Step::Picture(0.0)]);
    stage.position();
    let began = Instant::now();
    assert!(matches!(stage.take(), Err(Reason::ReadTimedOut(seconds)) if seconds == 0.05));
    assert!(began.elapsed() < LONG);
    assert!(matches!(stage.take(), Ok(Taken::Ended)));
    // The abandoned thread ends when its read does.
    stage.send([Step::Picture(1.0)]);
    stage.wait_for(&Happened::Dropped);
}

#[test]
fn a_source_that_does_not_open_fails_after_the_open_timeout() {
    let (release, released) = sync_channel::<()>(1);
    let released = Mutex::new(released);
    let opener = Box::new(move |_: Timeouts| -> Result<Box<dyn Capture>, Reason> {
        released.lock().unwrap().recv().unwrap();
        Err(Reason::NotOpened)
    });
    let playback = Playback::new(opener, Timeouts { open: Duration::from_millis(50), read: LONG }, false);
    assert!(
        matches!(playback.take(Instant::now() + LONG), Err(Reason::OpenTimedOut(seconds)) if seconds == 0.05)
    );
    assert!(matches!(playback.facts(Instant::now() + LONG), Ok(Told::Nothing)));
    release.send(()).unwrap();
}

#[test]
fn the_first_picture_may_take_as_long_as_the_opening() {
    let stage = stage(RECORDED, Timeouts { open: LONG, read: Duration::from_millis(1) });
    stage.open();
    assert!(matches!(stage.playback.take(Instant::now() + Duration::from_millis(50)), Ok(Taken::NotYet)));
    stage.send([Step::Picture(0.0)]);
    assert_eq!(stage.position(), 0.0);
}

#[test]
fn the_read_timeout_begins_after_the_first_picture_and_not_with_the_opening() {
    let read = Duration::from_millis(20);
    // Many times: the taker may come before the capture thread has begun the next read, or after.
    for _ in 0..200 {
        let Stage { playback, steps, happened } = stage(LIVE, Timeouts { open: LONG, read });
        let sending = thread::spawn({
            let steps = steps.clone();
            move || {
                thread::sleep(read + Duration::from_millis(5));
                let before = Instant::now();
                steps.send(Step::Picture(0.0)).unwrap();
                before
            }
        });
        assert!(matches!(playback.take(Instant::now() + LONG), Ok(Taken::Picture(_))));
        let next = playback.take(Instant::now());
        // The timeout may well be over if this thread waited as long for its turn.
        let passed = sending.join().unwrap().elapsed();
        match next {
            Ok(Taken::NotYet) => {}
            Err(Reason::ReadTimedOut(_)) if passed >= read => {}
            other => panic!("{other:?} after {passed:?}"),
        }
        drop((playback, steps));
        assert!(happened.iter().any(|what| what == Happened::Dropped));
    }
}

#[test]
fn a_source_that_opens_and_gives_no_picture_fails_after_the_open_timeout() {
    let stage = stage(RECORDED, Timeouts { open: Duration::from_millis(50), read: LONG });
    assert!(matches!(stage.take(), Err(Reason::OpenTimedOut(seconds)) if seconds == 0.05));
}

#[test]
fn a_source_that_cannot_be_opened_tells_why() {
    let playback = Playback::new(Box::new(|_| Err(Reason::NotAVideo)), patient(), false);
    assert!(matches!(playback.take(Instant::now() + LONG), Err(Reason::NotAVideo)));
    assert!(matches!(playback.take(Instant::now() + LONG), Ok(Taken::Ended)));
}

#[test]
fn a_source_without_one_picture_is_an_error_and_not_an_empty_video() {
    let stage = stage(RECORDED, patient());
    stage.send([Step::End]);
    assert!(matches!(stage.take(), Err(Reason::NoPicture)));
}

#[test]
fn a_panic_on_the_capture_thread_is_told() {
    let stage = stage(RECORDED, patient());
    stage.send([Step::Picture(0.0), Step::Panic]);
    stage.position();
    assert!(matches!(stage.take(), Err(Reason::Panicked)));
}

#[test]
fn a_seek_throws_away_what_was_read_before_it() {
    let stage = stage(RECORDED, patient());
    stage.open();
    stage.playback.seek(4.0).unwrap();
    stage.send([Step::Picture(0.0), Step::Picture(4.0)]);
    assert_eq!(stage.position(), 4.0);
    stage.wait_for(&Happened::Sought(4.0));
}

#[test]
fn a_seek_after_the_end_plays_again() {
    let stage = stage(RECORDED, patient());
    stage.send([Step::Picture(0.0), Step::End]);
    stage.position();
    assert!(matches!(stage.take(), Ok(Taken::Ended)));
    stage.wait_for(&Happened::Dropped);
    stage.playback.seek(3.0).unwrap();
    stage.send([Step::Picture(3.0), Step::End]);
    assert_eq!(stage.position(), 3.0);
    stage.wait_for(&Happened::Sought(3.0));
    assert!(matches!(stage.take(), Ok(Taken::Ended)));
}

#[test]
fn a_seek_past_the_end_ends() {
    let stage = stage(RECORDED, patient());
    stage.playback.seek(99.0).unwrap();
    stage.send([Step::End]);
    assert!(matches!(stage.take(), Ok(Taken::Ended)));
}

#[test]
fn a_live_source_cannot_be_sought_in() {
    let stage = stage(LIVE, patient());
    stage.open();
    assert!(matches!(stage.playback.seek(1.0), Err(Reason::Unseekable)));
    stage.send([Step::Picture(0.5)]);
    assert_eq!(stage.position(), 0.5, "a refused seek does no harm");
}

#[test]
fn facts_opens_the_source_and_waits_for_it() {
    let stage = stage(RECORDED, patient());
    assert!(
        matches!(stage.playback.facts(Instant::now() + LONG), Ok(Told::Facts(facts)) if facts == RECORDED)
    );
}

#[test]
fn dropping_a_playback_ends_its_capture_thread() {
    let stage = stage(RECORDED, patient());
    stage.send([Step::Picture(0.0), Step::Picture(1.0)]);
    stage.position();
    let Stage { playback, steps: _steps, happened } = stage;
    drop(playback);
    assert!(happened.iter().any(|what| what == Happened::Dropped));
}

#[test]
fn a_paced_recording_gives_a_picture_at_its_time() {
    let (steps, receiver) = sync_channel(8);
    let (sender, _happened) = sync_channel(64);
    let receiver = Arc::new(Mutex::new(receiver));
    let opener = Box::new(move |_: Timeouts| -> Result<Box<dyn Capture>, Reason> {
        let (steps, happened) = (Arc::clone(&receiver), sender.clone());
        Ok(Box::new(Scripted { facts: RECORDED, steps, happened }))
    });
    let playback = Playback::new(opener, patient(), true);
    for position in [5.0, 5.1, 5.2] {
        steps.send(Step::Picture(position)).unwrap();
    }
    let until = || Instant::now() + LONG;
    let began = Instant::now();
    assert!(matches!(playback.take(until()), Ok(Taken::Picture(_))));
    assert!(matches!(playback.take(until()), Ok(Taken::Picture(_))));
    assert!(began.elapsed() >= Duration::from_millis(99));
    assert!(matches!(playback.take_unpaced(until()), Ok(Taken::Picture(_))));
}
