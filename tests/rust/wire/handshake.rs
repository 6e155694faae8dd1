use dwebsocket::{error::HandshakeError, wire::handshake::Handshake};
use http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version};

const VALID: [(&str, &str); 5] = [
    ("host", "example.com"),
    ("upgrade", "websocket"),
    ("connection", "Upgrade"),
    ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ("sec-websocket-version", "13"),
];

fn headers(lines: &[(&str, &str)]) -> HeaderMap {
    let value = |text: &str| HeaderValue::from_bytes(text.as_bytes()).unwrap();
    lines.iter().map(|(name, text)| (name.parse::<HeaderName>().unwrap(), value(text))).collect()
}

/// A valid handshake with all lines of `name` replaced by `values`.
fn with(name: &str, values: &[&str]) -> Result<Option<Handshake>, HandshakeError> {
    let mut lines: Vec<_> = VALID.into_iter().filter(|(valid, _)| *valid != name).collect();
    lines.extend(values.iter().map(|value| (name, *value)));
    parse(&lines)
}

fn parse(lines: &[(&str, &str)]) -> Result<Option<Handshake>, HandshakeError> {
    Handshake::parse(&Method::GET, Version::HTTP_11, &headers(lines))
}

fn is_accepted(outcome: &Result<Option<Handshake>, HandshakeError>) -> bool {
    matches!(outcome, Ok(Some(handshake)) if handshake.accept_key == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
}

#[test]
fn a_request_without_upgrade_to_websocket_is_plain_http() {
    assert_eq!(with("upgrade", &[]), Ok(None));
    assert_eq!(with("upgrade", &["h2c"]), Ok(None));
    assert_eq!(with("upgrade", &["websocket/13"]), Ok(None));
    assert_eq!(Handshake::parse(&Method::POST, Version::HTTP_10, &HeaderMap::new()), Ok(None));
}

#[test]
fn upgrade_and_connection_are_lists_in_any_case_over_several_lines() {
    for values in [&["WebSocket"][..], &["h2c, websocket"], &["h2c", "WEBSOCKET"], &[",websocket ,"]] {
        assert!(is_accepted(&with("upgrade", values)), "{values:?}");
    }
    for values in [&["upgrade"][..], &["keep-alive, Upgrade"], &["keep-alive", "UPGRADE"], &["a,,upgrade"]] {
        assert!(is_accepted(&with("connection", values)), "{values:?}");
    }
}

#[test]
fn the_method_must_be_get() {
    for method in [Method::POST, Method::HEAD, Method::CONNECT, Method::OPTIONS] {
        let outcome = Handshake::parse(&method, Version::HTTP_11, &headers(&VALID));
        assert_eq!(outcome, Err(HandshakeError::MethodNotAllowed), "{method}");
    }
}

#[test]
fn the_version_of_http_must_be_at_least_1_1() {
    for version in [Version::HTTP_09, Version::HTTP_10] {
        let outcome = Handshake::parse(&Method::GET, version, &headers(&VALID));
        assert_eq!(outcome, Err(HandshakeError::HttpVersionTooOld), "{version:?}");
    }
}

#[test]
fn there_must_be_one_host() {
    assert_eq!(with("host", &[]), Err(HandshakeError::InvalidHost));
    assert_eq!(with("host", &["a.example", "b.example"]), Err(HandshakeError::InvalidHost));
}

#[test]
fn connection_must_name_upgrade() {
    for values in [&[][..], &["keep-alive"], &["upgrades"], &["keep-alive upgrade"]] {
        assert_eq!(with("connection", values), Err(HandshakeError::MissingConnectionUpgrade), "{values:?}");
    }
}

#[test]
fn the_version_must_be_13() {
    for values in [&[][..], &["8"], &["013"], &["13, 8"], &["130"], &["13", "8"], &["13", "13"], &[""]] {
        assert_eq!(
            with("sec-websocket-version", values),
            Err(HandshakeError::UnsupportedVersion),
            "{values:?}"
        );
    }
}

#[test]
fn the_key_must_be_there_once_and_be_16_bytes_in_base64() {
    let wrong = [
        &[][..],
        &[""],
        &["dGhlIHNhbXBsZSBub25jZQ"],
        &["dGhlIHNhbXBsZSBub25jZ==="],
        &["dGhlIHNhbXBsZSBub25j"],
        &["dGhlIHNhbXBsZSBub25jZQ=A"],
        &["dGhlIHNhbXBsZSBub25jZXg="],
        &["dGhlIHNhbXBsZSBub25jZXh5"],
        &["dGhlIHNhbXBsZSBub2 jZQ=="],
        &["dGhlIHNhbXBsZSBub2-_ZQ=="],
        &["dGhlIHNhbXBsZSBub25jZQ==", "dGhlIHNhbXBsZSBub25jZQ=="],
    ];
    for values in wrong {
        assert_eq!(with("sec-websocket-key", values), Err(HandshakeError::InvalidKey), "{values:?}");
    }
}

#[test]
fn a_key_with_stray_bits_at_its_end_is_taken_as_it_is() {
    // RFC 6455 section 4.1 has this key as its example; its last character has bits beyond the sixteenth byte.
    let handshake = with("sec-websocket-key", &["AQIDBAUGBwgJCgsMDQ4PEC=="]).unwrap().unwrap();
    assert_eq!(handshake.accept_key, "OfS0wDaT5NoxF2gqm7Zj2YtetzM=");
}

#[test]
fn white_space_around_values_does_not_count() {
    assert!(is_accepted(&with("sec-websocket-key", &[" \tdGhlIHNhbXBsZSBub25jZQ== "])));
    assert!(is_accepted(&with("sec-websocket-version", &[" 13\t"])));
}

#[test]
fn subprotocols_keep_their_order_over_several_lines() {
    let handshake = with("sec-websocket-protocol", &["chat, superchat", "", "v1.b~x,,"]).unwrap().unwrap();
    assert_eq!(handshake.subprotocols, ["chat", "superchat", "v1.b~x"]);
    assert_eq!(with("sec-websocket-protocol", &[]).unwrap().unwrap().subprotocols, Vec::<String>::new());
}

#[test]
fn subprotocols_must_be_tokens() {
    for value in ["a b", "a/b", "a;b", "\"chat\"", "a, b@c", "é"] {
        let outcome = with("sec-websocket-protocol", &[value]);
        assert_eq!(outcome, Err(HandshakeError::InvalidSubprotocol), "{value:?}");
    }
}

#[test]
fn a_subprotocol_must_not_be_named_twice() {
    assert_eq!(with("sec-websocket-protocol", &["a, b, a"]), Err(HandshakeError::RepeatedSubprotocol));
    assert_eq!(with("sec-websocket-protocol", &["a", "a"]), Err(HandshakeError::RepeatedSubprotocol));
    assert!(is_accepted(&with("sec-websocket-protocol", &["a, A"])));
}

#[test]
fn the_response_names_a_subprotocol_only_if_one_was_chosen() {
    let handshake = with("sec-websocket-protocol", &["a, b"]).unwrap().unwrap();
    let response = handshake.response(Some("b"), None).unwrap();
    assert_eq!(response.headers()["sec-websocket-protocol"], "b");
    assert!(!handshake.response(None, None).unwrap().headers().contains_key("sec-websocket-protocol"));
}

#[test]
fn a_subprotocol_that_was_not_offered_cannot_be_chosen() {
    let handshake = with("sec-websocket-protocol", &["a, b"]).unwrap().unwrap();
    let error = handshake.response(Some("A"), None).unwrap_err();
    assert_eq!(error, HandshakeError::SubprotocolNotOffered { subprotocol: "A".into() });
    assert_eq!(error.status(), StatusCode::INTERNAL_SERVER_ERROR);
}

#[test]
fn refusals_have_the_status_and_headers_of_their_kind() {
    assert_eq!(HandshakeError::UnsupportedVersion.status(), StatusCode::UPGRADE_REQUIRED);
    let fields = [("Sec-WebSocket-Version", "13"), ("Upgrade", "websocket"), ("Connection", "Upgrade")];
    assert_eq!(HandshakeError::UnsupportedVersion.headers(), fields);
    assert_eq!(HandshakeError::MethodNotAllowed.status(), StatusCode::METHOD_NOT_ALLOWED);
    assert_eq!(HandshakeError::MethodNotAllowed.headers(), [("Allow", "GET")]);
    let bad_requests = [
        HandshakeError::HttpVersionTooOld,
        HandshakeError::InvalidHost,
        HandshakeError::MissingConnectionUpgrade,
        HandshakeError::InvalidKey,
        HandshakeError::InvalidSubprotocol,
        HandshakeError::RepeatedSubprotocol,
        HandshakeError::InvalidExtensions,
    ];
    for error in bad_requests {
        assert_eq!((error.status(), error.headers()), (StatusCode::BAD_REQUEST, &[][..]), "{error}");
    }
}
