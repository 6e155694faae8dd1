//! The bounded queue.

use std::{
    collections::VecDeque,
    sync::{Arc, Barrier},
    task::{Context, Poll, Waker},
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use dwebsocket::connection::{
    mailbox::{Closed, Mailbox, Moved, PutError, TakeError},
    waker::{ThreadWaker, Wake},
};

use super::support::{LONG, block_on};

const SHORT: Duration = Duration::from_millis(20);

fn item(bytes: usize) -> Bytes {
    Bytes::from(vec![b'x'; bytes])
}

fn mailbox(max_items: usize, max_weight: usize) -> Arc<Mailbox<Bytes>> {
    Arc::new(Mailbox::new(max_items, max_weight))
}

/// Every way to wait for an item. `poll` has no timeout of its own, so it is no way to time out.
type Way = fn(&Mailbox<Bytes>, Option<Duration>) -> Result<Bytes, TakeError>;

fn by_take(mailbox: &Mailbox<Bytes>, timeout: Option<Duration>) -> Result<Bytes, TakeError> {
    mailbox.take(timeout)
}

fn by_wait(mailbox: &Mailbox<Bytes>, timeout: Option<Duration>) -> Result<Bytes, TakeError> {
    if !mailbox.wait(timeout) {
        return Err(TakeError::TimedOut);
    }
    mailbox.take_now().map_err(|_| TakeError::Closed)?.ok_or(TakeError::TimedOut)
}

fn by_waker(mailbox: &Mailbox<Bytes>, timeout: Option<Duration>) -> Result<Bytes, TakeError> {
    let deadline = timeout.map(|timeout| Instant::now() + timeout);
    let thread = ThreadWaker::own();
    mailbox.wake_when_readable(Arc::clone(&thread) as Arc<dyn Wake>);
    loop {
        match mailbox.take_now() {
            Ok(Some(item)) => return Ok(item),
            Err(Closed) => return Err(TakeError::Closed),
            Ok(None) if deadline.is_some_and(|deadline| deadline <= Instant::now()) => {
                return Err(TakeError::TimedOut);
            }
            Ok(None) => thread.sleep(deadline),
        }
    }
}

fn by_poll(mailbox: &Mailbox<Bytes>, timeout: Option<Duration>) -> Result<Bytes, TakeError> {
    block_on(timeout, |context| mailbox.poll_take(context))
        .ok_or(TakeError::TimedOut)?
        .ok_or(TakeError::Closed)
}

fn by_poll_many(mailbox: &Mailbox<Bytes>, timeout: Option<Duration>) -> Result<Bytes, TakeError> {
    let mut items = VecDeque::new();
    match block_on(timeout, |context| mailbox.poll_take_many(context, &mut items, 1, 1)) {
        None => Err(TakeError::TimedOut),
        Some(false) => Err(TakeError::Closed),
        Some(true) => Ok(items.pop_front().unwrap()),
    }
}

const WAYS: [Way; 5] = [by_take, by_wait, by_waker, by_poll, by_poll_many];

#[test]
fn every_way_of_waiting_finds_what_is_already_there() {
    for way in WAYS {
        let mailbox = mailbox(1, 10);
        mailbox.put_now(item(3)).unwrap();
        assert_eq!(way(&mailbox, Some(LONG)), Ok(item(3)));
    }
}

#[test]
fn every_way_of_waiting_is_woken_by_what_arrives_later() {
    for way in WAYS {
        for _ in 0..200 {
            let mailbox = mailbox(1, 10);
            let barrier = Arc::new(Barrier::new(2));
            let waiting = thread::spawn({
                let (mailbox, barrier) = (Arc::clone(&mailbox), Arc::clone(&barrier));
                move || {
                    barrier.wait();
                    way(&mailbox, None)
                }
            });
            barrier.wait();
            mailbox.put_now(item(3)).unwrap();
            assert_eq!(waiting.join().unwrap(), Ok(item(3)));
        }
    }
}

#[test]
fn every_way_of_waiting_ends_when_its_time_is_up() {
    for way in WAYS {
        let began = Instant::now();
        assert_eq!(way(&mailbox(1, 10), Some(SHORT)), Err(TakeError::TimedOut));
        assert!(began.elapsed() >= SHORT);
        assert_eq!(way(&mailbox(1, 10), Some(Duration::ZERO)), Err(TakeError::TimedOut));
    }
}

#[test]
fn one_who_has_no_time_does_not_sleep() {
    let mailbox = mailbox(1, 10);
    // Whoever sleeps uses this up.
    thread::current().unpark();
    assert_eq!(mailbox.take(Some(Duration::ZERO)), Err(TakeError::TimedOut));
    assert!(!mailbox.wait(Some(Duration::ZERO)));
    let begun = Instant::now();
    thread::park_timeout(LONG);
    assert!(begun.elapsed() < LONG / 2);
}

#[test]
fn every_way_of_waiting_is_woken_by_the_close_and_gets_what_is_left_first() {
    for way in WAYS {
        for _ in 0..100 {
            let mailbox = mailbox(2, 10);
            let waiting = thread::spawn({
                let mailbox = Arc::clone(&mailbox);
                move || way(&mailbox, None)
            });
            mailbox.close();
            assert_eq!(waiting.join().unwrap(), Err(TakeError::Closed));
        }
        let mailbox = mailbox(2, 10);
        mailbox.put_now(item(1)).unwrap();
        mailbox.close();
        mailbox.close();
        assert_eq!(way(&mailbox, None), Ok(item(1)));
        assert_eq!(way(&mailbox, None), Err(TakeError::Closed));
    }
}

#[test]
fn a_timeout_too_long_for_any_clock_means_for_ever() {
    let mailbox = mailbox(1, 10);
    mailbox.put_now(item(1)).unwrap();
    let putting = thread::spawn({
        let mailbox = Arc::clone(&mailbox);
        move || mailbox.put(item(2), Some(Duration::MAX))
    });
    assert_eq!(mailbox.take(Some(Duration::MAX)), Ok(item(1)));
    assert_eq!(mailbox.take(Some(Duration::MAX)), Ok(item(2)));
    assert_eq!(putting.join().unwrap(), Ok(()));
}

#[test]
fn as_many_items_fit_as_the_bound_says_and_not_one_more() {
    let mailbox = mailbox(3, 100);
    for _ in 0..3 {
        mailbox.put_now(item(1)).unwrap();
    }
    assert_eq!(mailbox.put_now(item(0)), Err(PutError::Full(item(0))));
    assert_eq!((mailbox.len(), mailbox.weight()), (3, 3));
    mailbox.take_now().unwrap();
    assert_eq!(mailbox.put_now(item(1)), Ok(()));
}

#[test]
fn as_many_bytes_fit_as_the_bound_says_and_not_one_more() {
    let mailbox = mailbox(100, 10);
    mailbox.put_now(item(4)).unwrap();
    assert_eq!(mailbox.put_now(item(7)), Err(PutError::Full(item(7))));
    assert_eq!(mailbox.put_now(item(6)), Ok(()));
    assert_eq!(mailbox.put_now(item(1)), Err(PutError::Full(item(1))));
    assert_eq!(mailbox.weight(), 10);
}

#[test]
fn an_item_heavier_than_the_bound_is_let_in_alone() {
    let mailbox = mailbox(100, 10);
    mailbox.put_now(item(11)).unwrap();
    assert_eq!(mailbox.put_now(item(0)), Err(PutError::Full(item(0))));
    assert_eq!(mailbox.take_now(), Ok(Some(item(11))));
    mailbox.put_now(item(1)).unwrap();
    assert_eq!(mailbox.put_now(item(11)), Err(PutError::Full(item(11))));
}

#[test]
fn a_put_waits_for_the_room_it_needs() {
    for _ in 0..200 {
        let mailbox = mailbox(100, 10);
        mailbox.put_now(item(5)).unwrap();
        mailbox.put_now(item(5)).unwrap();
        let putting = thread::spawn({
            let mailbox = Arc::clone(&mailbox);
            move || mailbox.put(item(6), None)
        });
        assert_eq!(mailbox.take(None), Ok(item(5)));
        assert_eq!(mailbox.take(None), Ok(item(5)));
        assert_eq!(mailbox.take(None), Ok(item(6)));
        assert_eq!(putting.join().unwrap(), Ok(()));
    }
}

#[test]
fn a_put_without_room_gives_the_item_back_when_its_time_is_up() {
    let mailbox = mailbox(1, 10);
    mailbox.put(item(1), Some(SHORT)).unwrap();
    let began = Instant::now();
    assert_eq!(mailbox.put(item(2), Some(SHORT)), Err(PutError::Full(item(2))));
    assert!(began.elapsed() >= SHORT);
    assert_eq!(mailbox.len(), 1);
}

#[test]
fn a_put_that_waits_gets_its_item_back_when_somebody_closes() {
    for _ in 0..100 {
        let mailbox = mailbox(1, 10);
        mailbox.put_now(item(1)).unwrap();
        let putting = thread::spawn({
            let mailbox = Arc::clone(&mailbox);
            move || mailbox.put(item(2), None)
        });
        mailbox.close();
        assert_eq!(putting.join().unwrap(), Err(PutError::Closed(item(2))));
        assert_eq!(mailbox.take(None), Ok(item(1)));
    }
}

#[test]
fn a_wait_for_room_ends_with_room_the_close_or_its_time() {
    let mailbox = mailbox(4, 10);
    mailbox.put_now(item(6)).unwrap();
    assert!(mailbox.wait_room(4, Some(Duration::ZERO)));
    assert!(!mailbox.wait_room(5, Some(SHORT)));
    for change in
        [|mailbox: &Mailbox<Bytes>| drop(mailbox.take_now()), |mailbox: &Mailbox<Bytes>| mailbox.close()]
    {
        let waiter = thread::spawn({
            let mailbox = Arc::clone(&mailbox);
            move || mailbox.wait_room(11, Some(LONG))
        });
        change(&mailbox);
        assert!(waiter.join().unwrap());
        if !mailbox.is_closed() {
            assert!(mailbox.wait_room(11, None), "the heavy item is let in alone");
            mailbox.put_now(item(6)).unwrap();
        }
    }
    assert!(mailbox.wait_room(11, None));
}

#[test]
fn a_closed_mailbox_takes_nothing_more() {
    let mailbox = mailbox(10, 10);
    mailbox.close();
    assert_eq!(mailbox.put_now(item(1)), Err(PutError::Closed(item(1))));
    assert_eq!(mailbox.put(item(1), None), Err(PutError::Closed(item(1))));
    assert_eq!(mailbox.put_displacing(item(1)), Err(PutError::Closed(item(1))));
    let mut items = VecDeque::from([item(1)]);
    assert_eq!(mailbox.put_many_now(&mut items), Err(Closed));
    assert_eq!(items.len(), 1);
    assert!(mailbox.is_closed() && mailbox.is_readable() && mailbox.is_empty());
}

#[test]
fn closing_and_clearing_gives_back_what_was_held() {
    let mailbox = mailbox(10, 10);
    mailbox.put_now(item(1)).unwrap();
    mailbox.put_now(item(2)).unwrap();
    assert_eq!(mailbox.close_and_clear(), [item(1), item(2)]);
    assert_eq!((mailbox.len(), mailbox.weight()), (0, 0));
    assert_eq!(mailbox.take_now(), Err(Closed));
}

#[test]
fn many_are_put_as_far_as_they_fit() {
    let mailbox = mailbox(10, 10);
    let mut items = VecDeque::from([item(4), item(4), item(4), item(1)]);
    assert_eq!(mailbox.put_many_now(&mut items), Ok(Moved { items: 2, leaves_room: true }));
    assert_eq!(items, [item(4), item(1)], "nothing overtakes the item that does not fit");
    assert_eq!(mailbox.put_many_now(&mut items), Ok(Moved { items: 0, leaves_room: true }));
    mailbox.take_now().unwrap();
    assert_eq!(mailbox.put_many_now(&mut items), Ok(Moved { items: 2, leaves_room: true }));
    assert_eq!(mailbox.weight(), 9);
    items.push_back(item(1));
    assert_eq!(mailbox.put_many_now(&mut items), Ok(Moved { items: 1, leaves_room: false }));
}

#[test]
fn displacing_drops_the_oldest_and_no_more_than_needed() {
    let mailbox = mailbox(10, 10);
    for bytes in [3, 4, 3] {
        mailbox.put_now(item(bytes)).unwrap();
    }
    assert_eq!(mailbox.put_displacing(item(5)), Ok(vec![item(3), item(4)]));
    assert_eq!(mailbox.put_displacing(item(2)), Ok(vec![]));
    assert_eq!(mailbox.put_displacing(item(20)), Ok(vec![item(3), item(5), item(2)]));
    assert_eq!(mailbox.weight(), 20);
}

#[test]
fn many_are_taken_up_to_the_number_and_the_weight_asked_for() {
    let mailbox = mailbox(100, 1000);
    for bytes in [1, 2, 3, 50, 60, 70] {
        mailbox.put_now(item(bytes)).unwrap();
    }
    let context = Context::from_waker(Waker::noop());
    let mut taken = VecDeque::new();
    assert_eq!(mailbox.poll_take_many(&context, &mut taken, 2, 100), Poll::Ready(true));
    assert_eq!(taken, [item(1), item(2)]);
    taken.clear();
    assert_eq!(mailbox.poll_take_many(&context, &mut taken, 100, 53), Poll::Ready(true));
    assert_eq!(taken, [item(3), item(50)]);
    taken.clear();
    assert_eq!(mailbox.poll_take_many(&context, &mut taken, 100, 0), Poll::Ready(true));
    assert_eq!(taken, [item(60)], "one at least");
}

#[test]
fn a_task_that_found_no_room_is_woken_when_half_is_free() {
    let mailbox = mailbox(8, 1000);
    while mailbox.put_now(item(1)).is_ok() {}
    let (waker, woken) = super::support::counting_waker();
    let context = Context::from_waker(&waker);
    assert_eq!(mailbox.poll_room(&context, 1), Poll::Pending);
    for _ in 0..3 {
        mailbox.take_now().unwrap();
    }
    assert_eq!(woken.count(), 0);
    mailbox.take_now().unwrap();
    assert_eq!(woken.count(), 1);
    assert_eq!(mailbox.poll_room(&context, 1), Poll::Ready(true));
    assert_eq!(mailbox.poll_room(&context, 997), Poll::Pending);
    mailbox.close();
    assert_eq!(woken.count(), 2);
    assert_eq!(mailbox.poll_room(&context, 1), Poll::Ready(false));
}

#[test]
fn a_task_learns_of_the_close_though_items_are_left() {
    let mailbox = mailbox(8, 1000);
    mailbox.put_now(item(1)).unwrap();
    let (waker, woken) = super::support::counting_waker();
    let context = Context::from_waker(&waker);
    assert_eq!(mailbox.poll_closed(&context), Poll::Pending);
    assert_eq!(mailbox.poll_closed(&context), Poll::Pending);
    mailbox.put_now(item(1)).unwrap();
    mailbox.take_now().unwrap();
    assert_eq!(woken.count(), 0);
    mailbox.close();
    assert_eq!(woken.count(), 1, "a task is woken once, however often it asked");
    assert_eq!(mailbox.poll_closed(&context), Poll::Ready(()));
}

#[test]
fn a_waker_is_called_at_once_when_there_is_something_and_never_twice() {
    let mailbox = mailbox(8, 1000);
    let woken = Arc::new(super::support::WakeCount::default());
    mailbox.wake_when_readable(Arc::clone(&woken) as Arc<dyn Wake>);
    assert_eq!(woken.count(), 0);
    mailbox.put_now(item(1)).unwrap();
    mailbox.put_now(item(1)).unwrap();
    assert_eq!(woken.count(), 1);
    mailbox.wake_when_readable(Arc::clone(&woken) as Arc<dyn Wake>);
    assert_eq!(woken.count(), 2);
}

#[test]
fn many_takers_and_putters_lose_and_double_nothing() {
    const THREADS: usize = 4;
    const EACH: usize = 2_000;
    let mailbox = Arc::new(Mailbox::<Bytes>::new(3, 100));
    let putters: Vec<_> = (0..THREADS)
        .map(|thread| {
            let mailbox = Arc::clone(&mailbox);
            thread::spawn(move || {
                for number in 0..EACH {
                    mailbox.put(Bytes::from(format!("{thread} {number}")), Some(LONG)).unwrap();
                }
            })
        })
        .collect();
    let takers: Vec<_> = (0..THREADS)
        .map(|index| {
            let mailbox = Arc::clone(&mailbox);
            // Some time out again and again while others wait for ever.
            let timeout = (index % 2 == 0).then_some(Duration::from_micros(50));
            thread::spawn(move || {
                let mut taken = Vec::new();
                loop {
                    match mailbox.take(timeout) {
                        Ok(item) => taken.push(item),
                        Err(TakeError::TimedOut) => {}
                        Err(TakeError::Closed) => return taken,
                    }
                }
            })
        })
        .collect();
    for putter in putters {
        putter.join().unwrap();
    }
    mailbox.close();
    let mut taken: Vec<_> = takers.into_iter().flat_map(|taker| taker.join().unwrap()).collect();
    assert_eq!(taken.len(), THREADS * EACH);
    taken.sort();
    taken.dedup();
    assert_eq!(taken.len(), THREADS * EACH);
}
