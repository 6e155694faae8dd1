//! What is told to the operator.

use std::{
    net::IpAddr,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use dwebsocket::server::{Notice, Notices, Told};

const PAUSE: Duration = Duration::from_millis(50);

fn told(notice: Notice, count: u64) -> Told {
    Told { notice, count, address: None, detail: String::new() }
}

#[test]
fn the_first_notice_is_told_at_once_and_what_follows_after_the_pause_with_its_count() {
    let notices = Notices::new(PAUSE);
    notices.note(Notice::HttpBusy, None, "");
    let before = Instant::now();
    assert_eq!(notices.take().unwrap(), [told(Notice::HttpBusy, 1)]);
    for _ in 0..3 {
        notices.note(Notice::HttpBusy, None, "");
    }
    notices.note(Notice::AcceptFailed, None, "");
    assert_eq!(notices.take().unwrap(), [told(Notice::HttpBusy, 3), told(Notice::AcceptFailed, 1)]);
    assert!(before.elapsed() >= PAUSE);
}

#[test]
fn the_address_is_the_one_of_the_last_time() {
    let notices = Notices::new(PAUSE);
    let addresses: [IpAddr; 2] = ["192.0.2.1".parse().unwrap(), "2001:db8::1".parse().unwrap()];
    for address in addresses {
        notices.note(Notice::AddressFull, Some(address), "");
    }
    let last =
        Told { notice: Notice::AddressFull, count: 2, address: Some(addresses[1]), detail: String::new() };
    assert_eq!(notices.take().unwrap(), [last]);
}

#[test]
fn one_who_waits_is_woken_by_a_notice_and_by_the_close() {
    let notices = Arc::new(Notices::new(Duration::ZERO));
    let waiting = thread::spawn({
        let notices = Arc::clone(&notices);
        move || (notices.take(), notices.take())
    });
    notices.note(Notice::WebSocketsFull, None, "");
    while notices.waits_to_be_told() {
        thread::yield_now();
    }
    notices.close();
    assert_eq!(waiting.join().unwrap(), (Some(vec![told(Notice::WebSocketsFull, 1)]), None));
}

#[test]
fn after_the_close_the_rest_is_told_without_a_pause() {
    let notices = Notices::new(Duration::from_secs(3600));
    notices.note(Notice::HttpBusy, None, "");
    notices.take().unwrap();
    notices.note(Notice::HttpBusy, None, "");
    notices.close();
    assert_eq!(notices.take().unwrap(), [told(Notice::HttpBusy, 1)]);
    assert_eq!(notices.take(), None);
}

#[test]
fn the_detail_is_the_one_of_the_last_time_and_never_longer_than_200_bytes() {
    let notices = Notices::new(Duration::ZERO);
    for (detail, told) in [
        ("/first".to_owned(), "/first".to_owned()),
        ("x".repeat(200), "x".repeat(200)),
        ("x".repeat(201), "x".repeat(200)),
        // Cut between two letters, not within one.
        ("\u{e4}".repeat(200), "\u{e4}".repeat(100)),
        (format!("x{}", "\u{e4}".repeat(200)), format!("x{}", "\u{e4}".repeat(99))),
    ] {
        notices.note(Notice::BadRequest, None, "before");
        notices.note(Notice::BadRequest, None, &detail);
        let last = Told { notice: Notice::BadRequest, count: 2, address: None, detail: told };
        assert_eq!(notices.take().unwrap(), [last]);
    }
}

#[test]
fn a_flood_of_every_kind_is_one_line_of_each() {
    let notices = Notices::new(PAUSE);
    let flood =
        [Notice::HeaderTooLarge, Notice::TooManyHeaders, Notice::HeaderTimedOut, Notice::BodyTooLarge];
    for _ in 0..10_000 {
        for notice in flood {
            notices.note(notice, None, "");
        }
    }
    assert_eq!(notices.take().unwrap(), flood.map(|notice| told(notice, 10_000)));
}
