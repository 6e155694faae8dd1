//! Models of the mailbox, its neighbours and the turnstile under every interleaving of its threads:
//!
//!     RUSTFLAGS="--cfg loom" cargo test --no-default-features --profile loom --test loom
#![cfg(loom)]
#![allow(clippy::unwrap_used, missing_docs)]

use std::{sync::Arc, time::Duration};

use std::{collections::VecDeque, task::Poll};

use bytes::Bytes;
use dwebsocket::connection::{
    direct::{Direct, DirectSlot, WriteNow},
    mailbox::{Mailbox, PutError, TakeError},
    slots::{Audience, Part, Policy, Put, SlotTally, Slots},
    turnstile::Turnstile,
};
use loom::{
    future::block_on,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
};

/// In the model a wait with a timeout ends at any moment, so its length means nothing.
const SOME_TIME: Option<Duration> = Some(Duration::from_secs(1));

/// Explores every interleaving with up to four preemptions (switches where a thread could have gone on); without a
/// bound the models of three threads do not end.
fn model(run: impl Fn() + Sync + Send + 'static) {
    model_with(4, run);
}

fn model_with(preemptions: usize, run: impl Fn() + Sync + Send + 'static) {
    let mut builder = loom::model::Builder::new();
    builder.preemption_bound = Some(preemptions);
    builder.check(run);
}

fn piece(text: &'static str) -> Bytes {
    Bytes::from_static(text.as_bytes())
}

#[test]
fn a_take_gets_what_is_put_meanwhile_and_then_the_close() {
    model(|| {
        let mailbox = Arc::new(Mailbox::<Bytes>::new(2, 100));
        let taker = thread::spawn({
            let mailbox = Arc::clone(&mailbox);
            move || {
                assert_eq!(mailbox.take(None), Ok(piece("one")));
                assert_eq!(mailbox.take(None), Err(TakeError::Closed));
            }
        });
        mailbox.put_now(piece("one")).unwrap();
        mailbox.close();
        taker.join().unwrap();
    });
}

#[test]
fn a_put_is_either_taken_or_given_back_when_somebody_closes() {
    model(|| {
        let mailbox = Arc::new(Mailbox::<Bytes>::new(1, 100));
        let putter = thread::spawn({
            let mailbox = Arc::clone(&mailbox);
            move || mailbox.put(piece("one"), None)
        });
        let closer = thread::spawn({
            let mailbox = Arc::clone(&mailbox);
            move || mailbox.close()
        });
        let taken = mailbox.take(None);
        let put = putter.join().unwrap();
        closer.join().unwrap();
        match put {
            Ok(()) => assert_eq!(taken, Ok(piece("one"))),
            Err(error) => {
                assert_eq!(error, PutError::Closed(piece("one")));
                assert_eq!(taken, Err(TakeError::Closed));
            }
        }
    });
}

#[test]
fn a_taker_that_times_out_does_not_eat_the_wake_up_of_another() {
    model(|| {
        let mailbox = Arc::new(Mailbox::<Bytes>::new(2, 100));
        let hasty = thread::spawn({
            let mailbox = Arc::clone(&mailbox);
            move || match mailbox.take(SOME_TIME) {
                Ok(item) => {
                    assert_eq!(item, piece("one"));
                    // The patient one needs an item too, or it would rightly wait for ever.
                    mailbox.put_now(item).unwrap();
                }
                Err(error) => assert_eq!(error, TakeError::TimedOut),
            }
        });
        let patient = thread::spawn({
            let mailbox = Arc::clone(&mailbox);
            move || assert_eq!(mailbox.take(None), Ok(piece("one")))
        });
        mailbox.put_now(piece("one")).unwrap();
        hasty.join().unwrap();
        patient.join().unwrap();
    });
}

#[test]
fn two_takers_get_two_items_put_together() {
    model(|| {
        let mailbox = Arc::new(Mailbox::<Bytes>::new(2, 100));
        let takers: Vec<_> = (0..2)
            .map(|_| {
                let mailbox = Arc::clone(&mailbox);
                thread::spawn(move || mailbox.take(None).unwrap())
            })
            .collect();
        let mut items = [piece("one"), piece("two")].into();
        assert_eq!(mailbox.put_many_now(&mut items).map(|moved| moved.items), Ok(2));
        let mut taken: Vec<_> = takers.into_iter().map(|taker| taker.join().unwrap()).collect();
        taken.sort();
        assert_eq!(taken, [piece("one"), piece("two")]);
    });
}

#[test]
fn a_put_into_a_full_mailbox_goes_on_after_a_take() {
    model(|| {
        let mailbox = Arc::new(Mailbox::<Bytes>::new(1, 100));
        mailbox.put_now(piece("one")).unwrap();
        let putter = thread::spawn({
            let mailbox = Arc::clone(&mailbox);
            move || mailbox.put(piece("two"), None).unwrap()
        });
        assert_eq!(mailbox.take(None), Ok(piece("one")));
        assert_eq!(mailbox.take(None), Ok(piece("two")));
        putter.join().unwrap();
    });
}

#[test]
fn one_who_waits_for_room_and_a_putter_both_go_on_after_a_take() {
    model(|| {
        let mailbox = Arc::new(Mailbox::<Bytes>::new(1, 100));
        mailbox.put_now(piece("one")).unwrap();
        let waiter = thread::spawn({
            let mailbox = Arc::clone(&mailbox);
            move || assert!(mailbox.wait_room(3, None))
        });
        let putter = thread::spawn({
            let mailbox = Arc::clone(&mailbox);
            move || mailbox.put(piece("two"), None).unwrap()
        });
        assert_eq!(mailbox.take(None), Ok(piece("one")));
        assert_eq!(mailbox.take(None), Ok(piece("two")));
        putter.join().unwrap();
        waiter.join().unwrap();
    });
}

#[test]
fn two_putters_of_a_full_mailbox_both_go_on_though_one_may_time_out() {
    model(|| {
        let mailbox = Arc::new(Mailbox::<Bytes>::new(1, 100));
        mailbox.put_now(piece("one")).unwrap();
        let hasty = thread::spawn({
            let mailbox = Arc::clone(&mailbox);
            move || mailbox.put(piece("hasty"), SOME_TIME).is_ok()
        });
        let patient = thread::spawn({
            let mailbox = Arc::clone(&mailbox);
            move || mailbox.put(piece("patient"), None).unwrap()
        });
        assert_eq!(mailbox.take(None), Ok(piece("one")));
        let first = mailbox.take(None).unwrap();
        let hasty_was_put = hasty.join().unwrap();
        if hasty_was_put {
            assert_ne!(first, mailbox.take(None).unwrap());
        } else {
            assert_eq!(first, piece("patient"));
        }
        patient.join().unwrap();
        assert!(mailbox.is_empty());
    });
}

#[test]
fn one_who_only_watches_takes_no_wake_up_from_a_taker() {
    model(|| {
        let mailbox = Arc::new(Mailbox::<Bytes>::new(1, 100));
        let taker = thread::spawn({
            let mailbox = Arc::clone(&mailbox);
            move || {
                assert_eq!(mailbox.take(None), Ok(piece("one")));
                mailbox.close();
            }
        });
        let watcher = thread::spawn({
            let mailbox = Arc::clone(&mailbox);
            move || assert!(mailbox.wait(None))
        });
        mailbox.put_now(piece("one")).unwrap();
        taker.join().unwrap();
        watcher.join().unwrap();
    });
}

#[test]
fn a_writer_sees_the_newest_of_a_slot_whenever_it_is_put() {
    model(|| {
        let (outbox, slots) = (Arc::new(Mailbox::<Bytes>::new(2, 100)), Arc::new(Slots::default()));
        let (audience, tally) = (Arc::<Audience>::default(), Arc::<SlotTally>::default());
        let number = slots.open(Policy::Newest, &audience, &tally).unwrap();
        let publisher = thread::spawn({
            let (outbox, slots) = (Arc::clone(&outbox), Arc::clone(&slots));
            move || {
                for content in ["one", "two"] {
                    if slots.put(number, Part::Content, piece(content)) == Put::New {
                        outbox.nudge();
                    }
                }
            }
        });
        // As the driver's writer: it registers with the outbox and looks at the slots then.
        let taken = block_on(std::future::poll_fn(|context| {
            let mut frames = VecDeque::new();
            loop {
                if outbox.poll_take_many(context, &mut frames, 10, 100).is_pending()
                    && !slots.take(&mut frames)
                {
                    return Poll::Pending;
                }
                if frames.back() == Some(&piece("two")) {
                    return Poll::Ready(frames.len());
                }
            }
        }));
        publisher.join().unwrap();
        // The first was sent in a look of its own, or skipped.
        assert_eq!(tally.sent() + tally.skipped(), 2);
        assert_eq!(tally.sent(), if tally.skipped() == 0 { 2 } else { 1 });
        assert!(taken >= 1);
    });
}

/// A socket that takes two bytes of a sender at a time.
struct Narrow(Arc<std::sync::Mutex<Vec<u8>>>);

impl WriteNow for Narrow {
    fn write_now(&self, bytes: &[u8]) -> usize {
        let taken = bytes.len().min(2);
        self.0.lock().unwrap().extend_from_slice(&bytes[..taken]);
        taken
    }
}

/// An outbox, its direct slot, and what has been written.
#[derive(Clone)]
struct Direction {
    outbox: Arc<Mailbox<Bytes>>,
    slot: Arc<DirectSlot<Narrow>>,
    written: Arc<std::sync::Mutex<Vec<u8>>>,
}

impl Direction {
    /// Senders wait for the driver between two writes, or for no time at all.
    fn new(waits_for_driver: bool) -> Self {
        let slot = DirectSlot::new((!waits_for_driver).then_some(Duration::ZERO));
        let direction =
            Self { outbox: Arc::new(Mailbox::new(9, 100)), slot: Arc::new(slot), written: Arc::default() };
        direction.slot.lend(Narrow(Arc::clone(&direction.written)));
        direction
    }

    /// As a view's thread does.
    fn send(&self, text: &'static str) {
        let nothing_waits = || !self.outbox.is_closed() && self.outbox.is_empty();
        match self.slot.write(piece(text), nothing_waits) {
            Direct::Written => {}
            Direct::Begun => self.outbox.nudge(),
            Direct::Untouched(frame) => self.outbox.put_now(frame).unwrap(),
        }
    }

    /// As the driver's writer does, until the outbox is closed. Gives what has been written in all.
    fn drive(&self) -> Vec<u8> {
        block_on(std::future::poll_fn(|context| {
            loop {
                let mut frames = VecDeque::from_iter(self.slot.shut());
                let found = self.outbox.poll_take_many(context, &mut frames, 10, 100);
                let mut written = self.written.lock().unwrap();
                frames.iter().for_each(|frame| written.extend_from_slice(frame));
                drop(written);
                match found {
                    Poll::Ready(false) => return Poll::Ready(()),
                    Poll::Pending if frames.is_empty() => {
                        self.slot.open();
                        return Poll::Pending;
                    }
                    _ => {}
                }
            }
        }));
        self.written.lock().unwrap().clone()
    }
}

#[test]
fn frames_of_one_sender_keep_their_order_whoever_writes_them() {
    for waits_for_driver in [true, false] {
        model(move || one_sender_and_the_driver(&Direction::new(waits_for_driver)));
    }
}

fn one_sender_and_the_driver(direction: &Direction) {
    let sender = thread::spawn({
        let direction = direction.clone();
        move || {
            for text in ["one", "by", "two"] {
                direction.send(text);
            }
            direction.outbox.close();
        }
    });
    assert_eq!(direction.drive(), b"onebytwo");
    sender.join().unwrap();
}

#[test]
fn frames_of_two_senders_are_written_whole_and_once() {
    for waits_for_driver in [true, false] {
        // Three threads that take many steps: more preemptions take minutes.
        model_with(2, move || two_senders_and_the_driver(&Direction::new(waits_for_driver)));
    }
}

fn two_senders_and_the_driver(direction: &Direction) {
    let sent = Arc::new(AtomicUsize::new(0));
    let senders = ["one", "two"].map(|text| {
        let (direction, sent) = (direction.clone(), Arc::clone(&sent));
        thread::spawn(move || {
            direction.send(text);
            if sent.fetch_add(1, Ordering::SeqCst) == 1 {
                direction.outbox.close();
            }
        })
    });
    let written = direction.drive();
    assert!(written == b"onetwo" || written == b"twoone", "{written:?}");
    for sender in senders {
        sender.join().unwrap();
    }
}

#[test]
fn a_writer_gets_every_message_of_a_group() {
    model(|| {
        let (outbox, slots) = (Arc::new(Mailbox::<Bytes>::new(2, 100)), Arc::new(Slots::default()));
        let (audience, tally) = (Arc::<Audience>::default(), Arc::<SlotTally>::default());
        let number = slots.open(Policy::Groups, &audience, &tally).unwrap();
        let publisher = thread::spawn({
            let (outbox, slots) = (Arc::clone(&outbox), Arc::clone(&slots));
            move || {
                if slots.start(number, &[piece("header")], piece("one")) == Put::New {
                    outbox.nudge();
                }
                if slots.put(number, Part::Content, piece("two")) == Put::New {
                    outbox.nudge();
                }
            }
        });
        let mut frames = VecDeque::new();
        block_on(std::future::poll_fn(|context| {
            while frames.len() < 3 {
                if outbox.poll_take_many(context, &mut frames, 10, 100).is_pending()
                    && !slots.take(&mut frames)
                {
                    return Poll::Pending;
                }
            }
            Poll::Ready(())
        }));
        publisher.join().unwrap();
        assert_eq!(frames, ["header", "one", "two"].map(piece));
        assert_eq!((tally.sent(), tally.skipped()), (2, 0));
    });
}

#[test]
fn a_turnstile_lets_one_in_at_a_time_and_everybody_in_the_end() {
    model(|| {
        let turnstile = Arc::new(Turnstile::new(1));
        let inside_now = Arc::new(AtomicUsize::new(0));
        let pass = |turnstile: &Turnstile, inside_now: &AtomicUsize| {
            let _inside = turnstile.enter();
            assert_eq!(inside_now.fetch_add(1, Ordering::Relaxed), 0);
            thread::yield_now();
            inside_now.fetch_sub(1, Ordering::Relaxed);
        };
        let others: Vec<_> = (0..2)
            .map(|_| {
                let (turnstile, inside_now) = (Arc::clone(&turnstile), Arc::clone(&inside_now));
                thread::spawn(move || pass(&turnstile, &inside_now))
            })
            .collect();
        pass(&turnstile, &inside_now);
        for other in others {
            other.join().unwrap();
        }
    });
}
