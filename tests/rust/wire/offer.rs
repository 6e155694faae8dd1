use dwebsocket::{
    error::HandshakeError,
    wire::{
        handshake::Handshake,
        offer::{Agreement, Extension, Terms},
    },
};
use http::{HeaderMap, HeaderValue, Method, Version, header::SEC_WEBSOCKET_EXTENSIONS};

/// What a server wants that limits nothing.
const GENEROUS: Terms =
    Terms { server_context_takeover: true, client_context_takeover: true, max_window_bits: 15 };

/// What a server wants that keeps nothing between messages.
const FORGETFUL: Terms =
    Terms { server_context_takeover: false, client_context_takeover: false, max_window_bits: 15 };

fn handshake(lines: &[&[u8]]) -> Result<Handshake, HandshakeError> {
    let mut headers = HeaderMap::new();
    for (name, value) in [
        ("host", "example.com"),
        ("upgrade", "websocket"),
        ("connection", "Upgrade"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
        ("sec-websocket-version", "13"),
    ] {
        headers.insert(name, HeaderValue::from_static(value));
    }
    for line in lines {
        headers.append(SEC_WEBSOCKET_EXTENSIONS, HeaderValue::from_bytes(line).unwrap());
    }
    Handshake::parse(&Method::GET, Version::HTTP_11, &headers).map(Option::unwrap)
}

fn offered(lines: &[&str]) -> Vec<Extension> {
    let lines: Vec<&[u8]> = lines.iter().map(|line| line.as_bytes()).collect();
    handshake(&lines).unwrap().extensions
}

/// The value of the response's `Sec-WebSocket-Extensions`; "none" when there is none.
fn answer(terms: Terms, offer: &str) -> String {
    let handshake = handshake(&[offer.as_bytes()]).unwrap();
    let agreement = Agreement::reach(&handshake.extensions, terms);
    let response = handshake.response(None, agreement).unwrap();
    let values: Vec<_> = response.headers().get_all(SEC_WEBSOCKET_EXTENSIONS).into_iter().collect();
    match values[..] {
        [] => "none".to_owned(),
        [value] => value.to_str().unwrap().to_owned(),
        _ => panic!("{values:?}"),
    }
}

fn extension(name: &str, parameters: &[(&str, Option<&str>)]) -> Extension {
    let owned = |(name, value): &(&str, Option<&str>)| ((*name).to_owned(), value.map(str::to_owned));
    Extension { name: name.to_owned(), parameters: parameters.iter().map(owned).collect() }
}

#[test]
fn extensions_keep_their_order_over_several_lines() {
    let expected = [
        extension("a", &[]),
        extension("b", &[("x", None), ("y", Some("1")), ("x", Some("2"))]),
        extension("a", &[("z", Some("3"))]),
    ];
    assert_eq!(offered(&["a, b; x;y=1;x=2", "a;z=3"]), expected);
    assert_eq!(offered(&["a,\tb ; x ; y = 1; x\t=2 ", "", " , ,a;z=3,,"]), expected);
    assert_eq!(offered(&[]), []);
}

#[test]
fn a_quoted_value_is_the_token_in_its_quotes() {
    assert_eq!(
        offered(&[r#"a;x="1";y="a\b" , b"#])[0],
        extension("a", &[("x", Some("1")), ("y", Some("ab"))])
    );
}

#[test]
fn a_header_that_is_no_list_of_extensions_ends_the_handshake() {
    let malformed = [
        "a b",
        "a;",
        ";",
        "=",
        "a;x=",
        "a;=1",
        "a;x y",
        "a;x=1 2",
        "a;;x",
        "a/b",
        "a;x=b@c",
        "\"a\"",
        "a;\"x\"",
        "a;x=\"",
        "a;x=\"1",
        "a;x=\"\"",
        "a;x=\"1, 2\"",
        "a;x=\"1\\",
        "a;x=\"1\"2",
        "é",
        "a, b;",
    ];
    for line in malformed {
        assert_eq!(handshake(&[line.as_bytes()]), Err(HandshakeError::InvalidExtensions), "{line:?}");
        assert_eq!(handshake(&[b"a", line.as_bytes()]), Err(HandshakeError::InvalidExtensions), "{line:?}");
    }
    assert_eq!(handshake(&[b"a;x=\"\xFF\""]), Err(HandshakeError::InvalidExtensions));
    assert_eq!(HandshakeError::InvalidExtensions.status(), http::StatusCode::BAD_REQUEST);
}

#[test]
fn an_offer_without_parameters_is_taken_as_the_terms_are() {
    assert_eq!(answer(GENEROUS, "permessage-deflate"), "permessage-deflate");
    assert_eq!(
        answer(FORGETFUL, "permessage-deflate"),
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover"
    );
    let server_forgets = Terms { server_context_takeover: false, ..GENEROUS };
    assert_eq!(
        answer(server_forgets, "permessage-deflate"),
        "permessage-deflate; server_no_context_takeover"
    );
}

#[test]
fn what_the_client_demands_is_agreed_to() {
    let cases = [
        "permessage-deflate; server_no_context_takeover",
        "permessage-deflate; client_no_context_takeover",
        "permessage-deflate; server_max_window_bits=8",
        "permessage-deflate; server_max_window_bits=14",
        "permessage-deflate; server_max_window_bits=15",
        "permessage-deflate; client_max_window_bits=8",
        "permessage-deflate; client_max_window_bits=15",
        "permessage-deflate; server_no_context_takeover; client_no_context_takeover; \
         server_max_window_bits=10; client_max_window_bits=11",
    ];
    for offer in cases {
        assert_eq!(answer(GENEROUS, offer), offer);
    }
    assert_eq!(answer(GENEROUS, "permessage-deflate; client_max_window_bits"), "permessage-deflate");
    assert_eq!(
        answer(GENEROUS, "permessage-deflate; server_max_window_bits=\"10\""),
        "permessage-deflate; server_max_window_bits=10"
    );
}

#[test]
fn the_smaller_window_counts() {
    let small = Terms { max_window_bits: 12, ..GENEROUS };
    let cases = [
        ("; server_max_window_bits=10", "; server_max_window_bits=10"),
        ("; server_max_window_bits=15", "; server_max_window_bits=12"),
        ("; client_max_window_bits=10", "; server_max_window_bits=12; client_max_window_bits=10"),
        ("; client_max_window_bits=15", "; server_max_window_bits=12; client_max_window_bits=12"),
        ("; client_max_window_bits", "; server_max_window_bits=12; client_max_window_bits=12"),
    ];
    for (offer, expected) in cases {
        let offer = format!("permessage-deflate{offer}");
        assert_eq!(answer(small, &offer), format!("permessage-deflate{expected}"), "{offer}");
    }
}

#[test]
fn a_client_that_did_not_say_it_can_is_not_told_to_use_a_smaller_window() {
    let small = Terms { max_window_bits: 9, ..GENEROUS };
    assert_eq!(answer(small, "permessage-deflate"), "permessage-deflate; server_max_window_bits=9");
    let agreement = Agreement::reach(&offered(&["permessage-deflate"]), small).unwrap();
    assert_eq!((agreement.client_max_window_bits, agreement.client_window_bits()), (None, 15));
}

#[test]
fn an_offer_with_a_parameter_that_will_not_do_is_passed_over() {
    let parameters = [
        "server_no_context_takeover=1",
        "client_no_context_takeover=true",
        "server_max_window_bits",
        "server_max_window_bits=7",
        "server_max_window_bits=16",
        "server_max_window_bits=08",
        "server_max_window_bits=+9",
        "server_max_window_bits=9.0",
        "server_max_window_bits=x",
        "server_max_window_bits=4294967305",
        "client_max_window_bits=7",
        "client_max_window_bits=16",
        "client_max_window_bits=010",
        "client_max_window_bits=-9",
        "server_no_context_takeover; server_no_context_takeover",
        "client_max_window_bits; client_max_window_bits=10",
        "server_max_window_bits=10; server_max_window_bits=10",
        "unknown",
        "unknown=1",
        "Server_No_Context_Takeover",
    ];
    for parameter in parameters {
        let offer = format!("permessage-deflate; {parameter}");
        assert_eq!(answer(GENEROUS, &offer), "none", "{offer}");
        let with_fallback = format!("{offer}, permessage-deflate; server_max_window_bits=9");
        assert_eq!(
            answer(GENEROUS, &with_fallback),
            "permessage-deflate; server_max_window_bits=9",
            "{offer}"
        );
    }
}

#[test]
fn the_first_offer_that_will_do_is_taken() {
    assert_eq!(
        answer(
            GENEROUS,
            "x-other, permessage-deflate; client_max_window_bits=10, permessage-deflate; server_max_window_bits=9"
        ),
        "permessage-deflate; client_max_window_bits=10"
    );
}

#[test]
fn nothing_is_agreed_on_with_a_client_that_offers_no_deflate() {
    assert_eq!(answer(GENEROUS, ""), "none");
    assert_eq!(answer(GENEROUS, "x-webkit-deflate-frame, permessage-bzip2; x=1"), "none");
}
