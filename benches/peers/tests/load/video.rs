//! Pictures that are counted, read and refused.

use std::{
    net::{SocketAddr, TcpListener},
    thread,
    time::Duration,
};

use data_encoding::BASE64;
use load::{
    engine::Target,
    error::Failure,
    picture::Form,
    video::{self, Outcome, Video},
};

use crate::server::start;

/// A picture that shows the number 0x2A5C.
const JPEG: &[u8] = include_bytes!("../marked.jpg");

fn json(tail: &str) -> Vec<u8> {
    format!(r#"{{"img_base64": "{}"{tail}}}"#, BASE64.encode(JPEG)).into_bytes()
}

fn options(address: SocketAddr, form: Form) -> Video {
    Video {
        target: Target {
            address,
            path: "/show".to_owned(),
            is_compressed: false,
            is_stream: form == Form::Multipart,
        },
        form,
        viewers: 3,
        samplers: 1,
        sample_every: 2,
        slow_bytes_per_second: 0.0,
        seconds: 0.3,
        warm_up_seconds: 0.05,
        limit_seconds: 60.0,
    }
}

/// Shows pictures to each viewer, some milliseconds apart; `message` makes the frame's first byte and the message.
fn show(message: impl Fn(u64) -> (u8, Vec<u8>) + Send + Sync + 'static) -> SocketAddr {
    start(move |mut peer| {
        if !peer.send(0x81, br#"{"state": "live", "error": null}"#) {
            return;
        }
        for number in 0.. {
            let (first, message) = message(number);
            if !peer.send(first, &message) {
                return;
            }
            thread::sleep(Duration::from_millis(5));
        }
    })
}

fn watch(video: &Video) -> Result<Outcome, Failure> {
    let mut output = Vec::new();
    let outcome = video::run(video, &mut output)?;
    assert_eq!(output, b"{\"measures\": true}\n{\"measures\": false}\n");
    Ok(outcome)
}

#[test]
fn pictures_are_counted_read_and_missed() {
    // Every second one is left out.
    let address = show(|number| (0x81, json(&format!(r#", "t": 0.5, "n": {}"#, 2 * number))));
    let outcome = watch(&options(address, Form::Json)).unwrap();
    assert!(outcome.pictures > 0);
    assert_eq!(outcome.skipped, outcome.pictures);
    assert!(0.0 < outcome.fps_least && outcome.fps_least <= outcome.fps_median);
    assert!(outcome.first_ms > 0.0 && outcome.later_first_ms.is_some());
    assert!(!outcome.samples.is_empty() && outcome.samples.len() as u64 <= outcome.pictures / 2);
    assert!(outcome.samples.iter().all(|sample| sample.client == 0 && sample.number == 0x2A5C));
}

#[test]
fn the_same_picture_once_more_is_a_repeat() {
    assert!(watch(&options(show(|_| (0x82, JPEG.to_vec())), Form::Binary)).unwrap().repeats > 0);
    let video = Video { samplers: 0, ..options(show(|number| (0x82, spoilt(number))), Form::Binary) };
    assert_eq!(watch(&video).unwrap().repeats, 0);
}

/// Bytes of the same length that differ in the middle.
fn spoilt(number: u64) -> Vec<u8> {
    let mut jpeg = JPEG.to_vec();
    let middle = jpeg.len() / 2;
    jpeg[middle..middle + 8].copy_from_slice(&number.to_be_bytes());
    jpeg
}

#[test]
fn a_picture_that_comes_twice_or_late_has_no_figure() {
    let address = show(|number| (0x81, json(&format!(r#", "n": {}"#, number.min(7)))));
    assert!(matches!(
        watch(&options(address, Form::Json)),
        Err(Failure::Wrong { what: "it is doubled or out of order", .. })
    ));
}

#[test]
fn what_the_server_complains_of_is_told() {
    let address = show(|_| (0x81, br#"{"error": "form must be json, not mp4"}"#.to_vec()));
    let failure = watch(&options(address, Form::Mp4)).unwrap_err();
    assert!(failure.to_string().contains("the server says {\"error\":\"form must be json, not mp4\"}"));
}

#[test]
fn a_kept_picture_that_shows_no_number_has_no_figure() {
    let address = show(|_| (0x82, [&JPEG[..200], &JPEG[JPEG.len() - 2..]].concat()));
    assert!(matches!(watch(&options(address, Form::Binary)), Err(Failure::Wrong { .. })));
}

#[test]
fn a_viewer_without_a_picture_in_time_has_no_figure() {
    let address = start(|mut peer| while peer.receive().is_some() {});
    let video = Video { limit_seconds: 0.3, ..options(address, Form::Json) };
    assert!(matches!(watch(&video), Err(Failure::Missing { missing: 3, of: 3, what: "first pictures", .. })));
}

#[test]
fn a_slow_viewer_reads_no_faster_than_it_may() {
    let address = show(|number| (0x81, json(&format!(r#", "n": {number}"#))));
    let length = f64::from(u32::try_from(json(r#", "n": 1000"#).len()).unwrap());
    // Half as fast as pictures come, at most, and for the whole run fewer than the others get.
    let video = Video {
        viewers: 1,
        seconds: 1.0,
        slow_bytes_per_second: 20.0 * length,
        ..options(address, Form::Json)
    };
    let outcome = watch(&video).unwrap();
    assert!(!outcome.slow_samples.is_empty() && outcome.slow_samples.len() <= 22, "{outcome:?}");
    assert!(outcome.slow_samples.iter().all(|sample| sample.client == 1));
}

#[test]
fn parts_of_a_response_are_pictures() {
    let address = stream(|| [&b"--frame\r\nContent-Type:image/jpeg\r\n\r\n"[..], JPEG, b"\r\n"].concat());
    let outcome = watch(&options(address, Form::Multipart)).unwrap();
    assert!(outcome.pictures > 0 && outcome.samples.iter().all(|sample| sample.number == 0x2A5C));
    let broken = stream(|| b"--frame\r\n\r\n\xFF\xD8".to_vec());
    assert!(matches!(watch(&options(broken, Form::Multipart)), Err(Failure::Wrong { .. })));
}

/// Answers each request with chunks.
fn stream(part: impl Fn() -> Vec<u8> + Send + Sync + Clone + 'static) -> SocketAddr {
    use std::io::{BufRead, BufReader, Write};

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    thread::spawn(move || {
        for connection in listener.incoming() {
            let (mut connection, part) = (connection.unwrap(), part.clone());
            thread::spawn(move || {
                let mut lines = BufReader::new(connection.try_clone().unwrap()).lines();
                while lines.next().is_some_and(|line| line.is_ok_and(|line| !line.is_empty())) {}
                let head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n";
                let mut is_there = connection.write_all(head).is_ok();
                while is_there {
                    let part = part();
                    let chunk = [format!("{:x}\r\n", part.len()).as_bytes(), &part, b"\r\n"].concat();
                    is_there = connection.write_all(&chunk).is_ok();
                    thread::sleep(Duration::from_millis(5));
                }
            });
        }
    });
    address
}
