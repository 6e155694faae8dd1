//! Echo and handshakes.

use std::net::SocketAddr;

use load::{
    echo::{self, Echo},
    engine::Target,
    error::Failure,
    handshakes::{self, Handshakes},
    payload::Kind,
    report::Report,
};

use crate::server::{Peer, frame, start, start_with};

fn echo_of(address: SocketAddr, size: usize) -> Echo {
    Echo {
        target: Target { address, path: "/echo".to_owned(), is_compressed: false, is_stream: false },
        clients: 3,
        depth: 4,
        size,
        kind: Kind::Text,
        seconds: 0.2,
        warm_up_seconds: 0.05,
        limit_seconds: 60.0,
    }
}

fn load(address: SocketAddr) -> Result<Report, Failure> {
    echo::run(&echo_of(address, 125))
}

/// Echoes, but for what `lie` makes of message `number` of each client.
fn liar(lie: impl Fn(&mut Peer, u64, u8, Vec<u8>) -> bool + Send + Sync + 'static) -> SocketAddr {
    start(move |mut peer| {
        let mut number = 0;
        while let Some((first, payload)) = peer.receive() {
            if !lie(&mut peer, number, first, payload) {
                return;
            }
            number += 1;
        }
    })
}

fn lies_once(spoil: impl Fn(&mut Vec<u8>) + Send + Sync + 'static) -> SocketAddr {
    liar(move |peer, number, first, payload| {
        let mut answer = frame(first, &payload);
        if number == 9 {
            spoil(&mut answer);
        }
        peer.write(&answer)
    })
}

#[test]
fn an_honest_echo_has_a_figure() {
    let address = lies_once(|_| {});
    for size in [16, 125, 126, 65536] {
        let report = echo::run(&echo_of(address, size)).unwrap();
        assert!(report.count > 0 && report.rate > 0.0 && report.p99_us >= report.p50_us, "{report:?}");
    }
}

#[test]
fn fragments_and_pings_in_between_are_understood() {
    let address = liar(|peer, _, first, payload| {
        let (front, back) = payload.split_at(payload.len() / 2);
        peer.send(first & 0x7F, front)
            && peer.send(0x89, b"there?")
            && peer.send(0x00, &[])
            && peer.send(0x80, back)
            && peer.receive().is_some_and(|next| next == (0x8A, b"there?".to_vec()))
    });
    let mut echo = echo_of(address, 300);
    echo.depth = 1;
    // The Pong comes before the next message, since the Ping came before the end of the one that it answers.
    assert!(echo::run(&echo).is_ok());
}

#[test]
fn an_echo_with_one_bit_wrong_has_none() {
    let address = lies_once(|answer| *answer.last_mut().unwrap() ^= 1);
    assert!(matches!(load(address), Err(Failure::Wrong { number: 9, what: "its content", .. })));
}

#[test]
fn a_shortened_echo_has_none() {
    let address = lies_once(|answer| *answer = frame(0x81, &answer[2..120]));
    assert!(matches!(load(address), Err(Failure::Wrong { number: 9, what: "its length", .. })));
}

#[test]
fn a_binary_echo_of_text_has_none() {
    let address = lies_once(|answer| answer[0] = 0x82);
    assert!(matches!(load(address), Err(Failure::Wrong { number: 9, .. })));
}

#[test]
fn a_doubled_echo_has_none() {
    let address = lies_once(|answer| answer.extend_from_within(..));
    assert!(matches!(load(address), Err(Failure::Wrong { number: 10, .. } | Failure::Unexpected { .. })));
}

#[test]
fn a_swallowed_echo_has_none() {
    let address = lies_once(Vec::clear);
    assert!(matches!(load(address), Err(Failure::Wrong { number: 9, .. })));
}

#[test]
fn swallowing_the_last_echoes_has_none() {
    let address = liar(|peer, number, first, payload| number >= 9 || peer.send(first, &payload));
    let mut echo = echo_of(address, 125);
    echo.limit_seconds = 3.0;
    assert!(matches!(echo::run(&echo), Err(Failure::Missing { what: "answers", missing: 12, of: 39, .. })));
}

#[test]
fn echoes_out_of_order_have_none() {
    let address = start(|mut peer| {
        let mut held = None;
        let mut number = 0;
        while let Some((first, payload)) = peer.receive() {
            number += 1;
            if number == 9 {
                held = Some(payload);
                continue;
            }
            if !peer.send(first, &payload) {
                return;
            }
            if let Some(payload) = held.take() {
                peer.send(first, &payload);
            }
        }
    });
    assert!(matches!(load(address), Err(Failure::Wrong { number: 8, .. })));
}

#[test]
fn a_masked_answer_has_none() {
    let address = lies_once(|answer| answer[1] |= 0x80);
    assert!(matches!(load(address), Err(Failure::Frame { what: "a masked frame", .. })));
}

#[test]
fn a_server_that_closes_or_vanishes_has_none() {
    let closing = lies_once(|answer| *answer = frame(0x88, &1011_u16.to_be_bytes()));
    assert!(matches!(load(closing), Err(Failure::Closed { code: Some(1011), .. })));
    let vanishing = liar(|peer, number, first, payload| number < 9 && peer.send(first, &payload));
    assert!(matches!(load(vanishing), Err(Failure::Closed { code: None, .. } | Failure::Io { .. })));
}

#[test]
fn a_wrong_answer_to_the_handshake_has_none() {
    for fields in ["", "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n"] {
        let address = start_with(move |_| fields.to_owned(), |_| {});
        assert!(matches!(load(address), Err(Failure::Handshake { .. })), "{fields}");
    }
}

#[test]
fn a_server_that_does_not_compress_has_no_figure_for_compression() {
    let mut echo = echo_of(lies_once(|_| {}), 4096);
    echo.target.is_compressed = true;
    assert!(matches!(echo::run(&echo), Err(Failure::NotCompressing)));
}

#[test]
fn compressed_echoes_are_inflated_and_compared() {
    let fields = |accept: &str| {
        format!(
            "sec-websocket-accept: {accept}\r\nSec-WebSocket-Extensions: permessage-deflate; \
             server_no_context_takeover; client_no_context_takeover\r\n"
        )
    };
    let run = |spoilt| {
        let address = start_with(fields, move |mut peer| {
            let mut number = 0;
            while let Some((first, mut payload)) = peer.receive() {
                number += 1;
                if number == spoilt {
                    // The compressed form of another message.
                    payload = Vec::from(b"\xf2\x48\xcd\xc9\xc9\x07\x00");
                }
                if !peer.send(first, &payload) {
                    return;
                }
            }
        });
        let mut echo = echo_of(address, 4096);
        echo.target.is_compressed = true;
        echo::run(&echo)
    };
    assert!(run(0).unwrap().count > 0);
    assert!(matches!(run(5), Err(Failure::Wrong { number: 4, .. })));
}

#[test]
fn handshakes_are_counted_and_a_wrong_one_is_no_figure() {
    let handshakes = |address| Handshakes {
        target: Target { address, path: "/echo".to_owned(), is_compressed: false, is_stream: false },
        clients: 4,
        seconds: 0.2,
        warm_up_seconds: 0.05,
        limit_seconds: 60.0,
    };
    let honest = start(|mut peer| {
        let (first, payload) = peer.receive().unwrap();
        peer.send(first, &payload);
    });
    let report = handshakes::run(&handshakes(honest)).unwrap();
    assert!(report.count > 0 && report.p50_us > 0.0, "{report:?}");
    let wrong = start_with(|_| String::new(), |_| {});
    assert!(matches!(handshakes::run(&handshakes(wrong)), Err(Failure::Handshake { .. })));
    let stubborn = start(|mut peer| {
        peer.receive();
        peer.send(0x88, &1011_u16.to_be_bytes());
    });
    assert!(matches!(handshakes::run(&handshakes(stubborn)), Err(Failure::Closed { code: Some(1011), .. })));
}
