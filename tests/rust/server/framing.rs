//! Where requests begin and end, however their bytes are cut.

use dwebsocket::server::framing::{Framing, Verdict};
use http::StatusCode;
use proptest::prelude::*;

/// Passes the bytes in pieces of `size` and gives what came through and what is said of the heads.
fn passed(bytes: &[u8], size: usize) -> (Vec<u8>, Option<Verdict>) {
    let mut framing = Framing::default();
    let mut through = bytes.to_vec();
    through.chunks_mut(size).for_each(|piece| framing.pass(piece));
    (through, framing.verdict())
}

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const CHUNKED: &str = "POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n";

#[test]
fn regular_requests_pass_unchanged_in_pieces_of_any_size() {
    let requests = [
        GET,
        "POST / HTTP/1.1\r\nContent-Length: 5\r\n\r\n\n\r\n\r\n",
        CHUNKED,
        "3;a=b\r\n\r\n\r\r\n00A\r\n0123456789\r\n0\r\nX: y\r\n\r\n",
        "POST / HTTP/1.1\r\nContent-Length: 0\r\n\r\n",
        CHUNKED,
        "0\r\n\r\n",
        GET,
    ]
    .concat();
    for size in 1..=requests.len() {
        assert_eq!(passed(requests.as_bytes(), size), (requests.clone().into_bytes(), None), "{size}");
    }
}

#[test]
fn the_verdict_names_the_first_head_that_will_not_do() {
    for (head, status) in [
        ("GET / HTTP/1.1\nHost: a\r\n\r\n", StatusCode::BAD_REQUEST),
        ("GET / HTTP/1.1\r\nHost: a\n\r\n", StatusCode::BAD_REQUEST),
        ("GET / HTTP/1.1\r\nHost: a\r\n\n", StatusCode::BAD_REQUEST),
        ("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n", StatusCode::BAD_REQUEST),
        ("P / HTTP/1.1\r\nContent-Length: 1\r\nContent-Length: 1\r\n\r\n", StatusCode::BAD_REQUEST),
        ("P / HTTP/1.1\r\nContent-Length: +1\r\n\r\n", StatusCode::BAD_REQUEST),
        ("P / HTTP/1.1\r\nContent-Length: 18446744073709551616\r\n\r\n", StatusCode::BAD_REQUEST),
        ("P / HTTP/1.1\r\ncontent-length: 1\r\nTRANSFER-ENCODING: chunked\r\n\r\n", StatusCode::BAD_REQUEST),
        ("P / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nContent-Length: 1\r\n\r\n", StatusCode::BAD_REQUEST),
        (
            "P / HTTP/1.1\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: x\r\n\r\n",
            StatusCode::BAD_REQUEST,
        ),
        ("P / HTTP/1.1\r\nTransfer-Encoding: gzip, chunked\r\n\r\n", StatusCode::NOT_IMPLEMENTED),
    ] {
        let requests = [GET, "P / HTTP/1.1\r\nContent-Length: 2\r\n\r\nab", head, "behind it\n"].concat();
        for size in 1..=requests.len() {
            let (through, verdict) = passed(requests.as_bytes(), size);
            let (number, violation) = verdict.unwrap_or_else(|| panic!("{head:?} passed"));
            assert_eq!((number, violation.status), (2, status), "{head:?}");
            assert_eq!(through, requests.as_bytes(), "the heads are not changed");
        }
    }
}

#[test]
fn a_malformed_body_is_spoilt_from_where_it_is_known() {
    for body in [
        "+2\r\nab\r\n0\r\n\r\n",
        "2 \r\nab\r\n0\r\n\r\n",
        "2 ;a=b\r\nab\r\n0\r\n\r\n",
        "2\nab\r\n0\r\n\r\n",
        "\r\nab\r\n0\r\n\r\n",
        "ffffffffffffffff\r\nab\r\n0\r\n\r\n",
        "2\r\nabc\r\n0\r\n\r\n",
        "2\r\nab\rc0\r\n\r\n",
        "2\r\nab\r\n0\r\nContent-Length: 3\r\n\r\n",
        "2\r\nab\r\n0\r\nHost: b\r\n\r\n",
        "2\r\nab\r\n0\r\nX Y: b\r\n\r\n",
        "2\r\nab\r\n0\r\nX: y\n\r\n",
    ] {
        let request = [CHUNKED, body].concat();
        for size in 1..=request.len() {
            let (through, verdict) = passed(request.as_bytes(), size);
            assert_eq!(verdict, None, "{body:?}");
            assert_eq!(&through[..CHUNKED.len()], CHUNKED.as_bytes());
            assert_ne!(through, request.as_bytes(), "{body:?} in pieces of {size}");
            // From the first spoilt byte on nothing is what it was sent as.
            let spoilt =
                through.iter().zip(request.as_bytes()).position(|(one, other)| one != other).unwrap();
            assert!(through[spoilt..].iter().all(|byte| matches!(byte, b'\r' | 0)), "{through:?}");
        }
    }
}

proptest! {
    #[test]
    fn what_is_said_does_not_depend_on_how_the_bytes_are_cut(
        bytes in prop::collection::vec(prop::sample::select(b"0a1;: \r\n-GET/".to_vec()), 0..80),
        size in 1_usize..10,
        chunked: bool,
    ) {
        let head = if chunked { CHUNKED } else { "" };
        let request = [head.as_bytes(), &bytes].concat();
        let whole = passed(&request, request.len().max(1));
        let cut = passed(&request, size);
        prop_assert_eq!(whole.1, cut.1);
        // Cut, a malformed line may be known before its end or behind it, but it is known.
        prop_assert_eq!(whole.0 == request, cut.0 == request);
    }
}
