//! The queue in front of what only few may do at a time.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
        mpsc,
    },
    thread,
};

use dwebsocket::connection::turnstile::Turnstile;

use super::support::LONG;

/// Lets the other threads run until `count` of them wait.
fn until_waiting(turnstile: &Turnstile, count: usize) {
    while turnstile.waiting() < count {
        thread::yield_now();
    }
}

#[test]
fn as_many_as_there_are_places_enter_without_waiting() {
    let turnstile = Turnstile::new(2);
    let _inside = (turnstile.enter(), turnstile.enter());
    assert_eq!(turnstile.waiting(), 0);
}

#[test]
fn one_more_waits_until_somebody_leaves() {
    let turnstile = Arc::new(Turnstile::new(2));
    let (first, second) = (turnstile.enter(), turnstile.enter());
    let (entered, has_entered) = mpsc::sync_channel(1);
    let third = thread::spawn({
        let turnstile = Arc::clone(&turnstile);
        move || {
            let inside = turnstile.enter();
            entered.send(()).unwrap();
            drop(inside);
        }
    });
    until_waiting(&turnstile, 1);
    assert!(has_entered.try_recv().is_err());
    drop(second);
    has_entered.recv_timeout(LONG).unwrap();
    third.join().unwrap();
    drop(first);
}

#[test]
fn those_who_wait_enter_in_the_order_they_came() {
    let turnstile = Arc::new(Turnstile::new(1));
    let order = Arc::new(Mutex::new(Vec::new()));
    let first = turnstile.enter();
    let threads: Vec<_> = (0..20)
        .map(|number| {
            let thread = thread::spawn({
                let (turnstile, order) = (Arc::clone(&turnstile), Arc::clone(&order));
                move || {
                    let _inside = turnstile.enter();
                    order.lock().unwrap().push(number);
                }
            });
            until_waiting(&turnstile, number + 1);
            thread
        })
        .collect();
    drop(first);
    for thread in threads {
        thread.join().unwrap();
    }
    assert_eq!(*order.lock().unwrap(), (0..20).collect::<Vec<_>>());
}

#[test]
fn never_more_are_inside_than_there_are_places_and_everybody_gets_in() {
    const PLACES: usize = 3;
    let turnstile = Turnstile::new(3);
    let (inside_now, most_inside, entries) = (AtomicUsize::new(0), AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..32 {
            scope.spawn(|| {
                for _ in 0..1000 {
                    let _inside = turnstile.enter();
                    most_inside.fetch_max(inside_now.fetch_add(1, Ordering::SeqCst) + 1, Ordering::SeqCst);
                    entries.fetch_add(1, Ordering::SeqCst);
                    inside_now.fetch_sub(1, Ordering::SeqCst);
                }
            });
        }
    });
    assert!(most_inside.into_inner() <= PLACES);
    assert_eq!(entries.into_inner(), 32_000);
    assert_eq!(turnstile.waiting(), 0);
}
