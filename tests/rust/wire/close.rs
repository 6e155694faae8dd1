use dwebsocket::{
    error::ProtocolError,
    wire::close::{self, CloseFrame},
};

#[test]
fn codes_that_may_be_received_are_the_registered_and_the_private_ones() {
    let allowed: Vec<u16> = (0..=u16::MAX).filter(|code| close::may_be_received(*code)).collect();
    let expected: Vec<u16> = (1000..=1003).chain(1007..=1014).chain(3000..=4999).collect();
    assert_eq!(allowed, expected);
}

#[test]
fn a_server_may_send_what_it_may_receive_but_for_the_code_of_a_client() {
    let refused: Vec<u16> =
        (0..=u16::MAX).filter(|code| close::may_be_sent(*code) != close::may_be_received(*code)).collect();
    assert_eq!(refused, [1010]);
}

#[test]
fn constants_have_the_registered_values() {
    let codes = [close::NORMAL, close::GOING_AWAY, close::PROTOCOL_ERROR, close::UNSUPPORTED_DATA];
    assert_eq!(codes, [1000, 1001, 1002, 1003]);
    let codes = [close::NO_STATUS, close::ABNORMAL, close::INVALID_DATA, close::POLICY_VIOLATION];
    assert_eq!(codes, [1005, 1006, 1007, 1008]);
    let codes = [close::MESSAGE_TOO_BIG, close::MANDATORY_EXTENSION, close::INTERNAL_ERROR];
    assert_eq!(codes, [1009, 1010, 1011]);
    let codes = [close::SERVICE_RESTART, close::TRY_AGAIN_LATER, close::BAD_GATEWAY, close::TLS_HANDSHAKE];
    assert_eq!(codes, [1012, 1013, 1014, 1015]);
}

#[test]
fn a_close_has_no_code_or_a_code_or_a_code_and_a_reason() {
    assert_eq!(close::parse(b""), Ok(None));
    let bare = CloseFrame { code: 1000, reason: String::new() };
    assert_eq!(close::parse(b"\x03\xE8"), Ok(Some(bare)));
    let reasoned = CloseFrame { code: 4999, reason: "bye ✓".into() };
    assert_eq!(close::parse(b"\x13\x87bye \xE2\x9C\x93"), Ok(Some(reasoned)));
}

#[test]
fn half_a_code_is_refused() {
    assert_eq!(close::parse(b"\x03"), Err(ProtocolError::IncompleteCloseCode));
}

#[test]
fn a_reason_must_be_utf8() {
    assert_eq!(close::parse(b"\x03\xE8\xFF"), Err(ProtocolError::InvalidUtf8));
    assert_eq!(close::parse(b"\x03\xE8a\xE2\x9C"), Err(ProtocolError::InvalidUtf8));
}

#[test]
fn a_code_that_nobody_may_send_is_refused() {
    assert_eq!(close::parse(b"\x03\xE7"), Err(ProtocolError::InvalidCloseCode { code: 999 }));
    assert_eq!(close::parse(b"\x03\xEC"), Err(ProtocolError::InvalidCloseCode { code: 1004 }));
    assert_eq!(close::parse(b"\x03\xED"), Err(ProtocolError::InvalidCloseCode { code: 1005 }));
    assert_eq!(close::parse(b"\x03\xEE"), Err(ProtocolError::InvalidCloseCode { code: 1006 }));
    assert_eq!(close::parse(b"\x03\xF7"), Err(ProtocolError::InvalidCloseCode { code: 1015 }));
    assert_eq!(close::parse(b"\x0B\xB7"), Err(ProtocolError::InvalidCloseCode { code: 2999 }));
    assert_eq!(close::parse(b"\x13\x88"), Err(ProtocolError::InvalidCloseCode { code: 5000 }));
}

#[test]
fn errors_close_with_the_code_of_their_kind() {
    assert_eq!(ProtocolError::MessageTooBig { limit: 1 }.close_code(), 1009);
    assert_eq!(ProtocolError::InvalidUtf8.close_code(), 1007);
    let errors = [
        ProtocolError::UnmaskedFrame,
        ProtocolError::ReservedBits,
        ProtocolError::ReservedOpcode { opcode: 3 },
        ProtocolError::NonMinimalLength,
        ProtocolError::LengthOutOfRange,
        ProtocolError::FragmentedControlFrame,
        ProtocolError::ControlFrameTooBig,
        ProtocolError::UnexpectedContinuation,
        ProtocolError::UnfinishedMessage,
        ProtocolError::IncompleteCloseCode,
        ProtocolError::InvalidCloseCode { code: 1006 },
    ];
    for error in errors {
        assert_eq!(error.close_code(), 1002, "{error}");
    }
}
