//! What libavformat makes of sources, and how it is interrupted.
#![allow(clippy::unwrap_used, missing_docs, reason = "a test")]

use std::net::TcpListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use dwebsocket_video::error::Reason;
use dwebsocket_video::mp4::{Input, Interrupt, Track, silence};
use dwebsocket_video::source::Source;

const LONG: Duration = Duration::from_secs(60);

fn sample() -> Source {
    Source::File(PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/article/media/sample.mp4")))
}

fn never(until: Instant) -> Interrupt {
    silence();
    Interrupt::new(until, || false)
}

fn soon() -> Instant {
    Instant::now() + LONG
}

#[test]
fn a_file_is_read_packet_by_packet_to_its_end() {
    let mut input = Input::open(&sample(), never(soon())).unwrap();
    assert!(input.facts().recorded);
    let mut keys = Vec::new();
    let mut count = 0;
    while let Some(packet) = input.read(soon()).unwrap() {
        assert!(!packet.data.is_empty());
        assert!(packet.stamps.decoded.unwrap() <= packet.stamps.shown.unwrap());
        if packet.is_key {
            keys.push(count);
        }
        count += 1;
    }
    assert_eq!((count, keys), (250, vec![0, 50, 100, 150, 200]));
    // The end stays the end, until it is sought in.
    assert!(input.read(soon()).unwrap().is_none());
    input.seek(5.0, soon()).unwrap();
    assert!(input.read(soon()).unwrap().unwrap().is_key);
}

#[test]
fn a_seek_lands_on_the_key_frame_at_or_before_the_position() {
    let mut input = Input::open(&sample(), never(soon())).unwrap();
    let mut track = Track::new(&input, Duration::ZERO).unwrap();
    for (sought, expected) in [(0.0, 0.0), (1.99, 0.0), (2.0, 2.0), (7.9, 6.0), (99.0, 8.0), (f64::MAX, 8.0)]
    {
        input.seek(sought, soon()).unwrap();
        track.restart();
        let fragment = track.fragment(&input.read(soon()).unwrap().unwrap(), 1).unwrap().unwrap();
        assert!(fragment.is_key);
        assert!((fragment.shown_seconds - expected).abs() < 1e-6, "{sought}: {fragment:?}");
    }
}

#[test]
fn an_init_segment_names_its_codec() {
    let input = Input::open(&sample(), never(soon())).unwrap();
    let track = Track::new(&input, Duration::ZERO).unwrap();
    assert!(track.mime_type.starts_with("video/mp4; codecs=\"avc1.4d"), "{}", track.mime_type);
    assert_eq!(track.init[4..8], *b"ftyp");
}

#[test]
fn waiting_for_a_source_ends_in_time_or_when_somebody_says_so() {
    let silent = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("rtmp://{}/live/x", silent.local_addr().unwrap());
    let opened = |interrupt| Input::open(&Source::Url(url.clone()), interrupt).map(drop);
    let began = Instant::now();
    assert!(opened(never(began + Duration::from_millis(300))).is_err());
    assert!(began.elapsed() >= Duration::from_millis(300));
    let stop = Arc::new(AtomicBool::new(false));
    let stops = Arc::clone(&stop);
    let stopper = thread::spawn(move || {
        thread::sleep(Duration::from_millis(100));
        stop.store(true, Ordering::SeqCst);
    });
    assert!(opened(Interrupt::new(soon(), move || stops.load(Ordering::SeqCst))).is_err());
    stopper.join().unwrap();
    // A panic does not get into libavformat, and ends the wait.
    assert!(opened(Interrupt::new(soon(), || panic!("as the test says"))).is_err());
    assert!(began.elapsed() < LONG);
}

#[test]
fn an_input_that_is_late_reads_no_more() {
    let mut input = Input::open(&sample(), never(soon())).unwrap();
    // What libavformat has in its buffer may still come.
    let read =
        (0..1000).map_while(|_| input.read(Instant::now()).ok().flatten().map(|packet| packet.data.len()));
    assert!(read.count() < 251);
    input.seek(0.0, soon()).unwrap();
    assert!(input.read(soon()).unwrap().is_some());
}

#[test]
fn a_source_that_is_no_video_says_what_it_is() {
    let open = |source: Source| Input::open(&source, never(soon())).map(drop).unwrap_err();
    let directory = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    // A text is a film of letters to libavformat, or nothing.
    let text = open(Source::File(directory.join("Cargo.toml")));
    assert!(matches!(text, Reason::NotAVideo | Reason::NoVideo | Reason::NotForMp4(_)), "{text:?}");
    assert!(matches!(open(Source::File(directory.join("none"))), Reason::File(_)));
    assert!(matches!(open(Source::File(directory)), Reason::File(_)));
    assert!(matches!(open(Source::Url("nosuch://host/x".into())), Reason::NotOpenedBecause(_)));
    assert!(matches!(open(Source::Url("rtmp://a\0b/x".into())), Reason::File(_)));
    assert!(matches!(open(Source::Camera(0)), Reason::NotForMp4(_)));
}
