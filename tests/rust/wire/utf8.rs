use dwebsocket::{error::ProtocolError, wire::utf8::Validator};
use proptest::prelude::*;

/// How many bytes are taken, one by one, before the validator refuses; `None`: all of them, and the end too.
fn refused_after(text: &[u8]) -> Option<usize> {
    let mut validator = Validator::default();
    let refused = text.chunks(1).position(|byte| validator.push(byte).is_err());
    refused.or_else(|| validator.finish().is_err().then_some(text.len()))
}

#[test]
fn characters_of_every_length_pass_byte_by_byte_up_to_the_last_one() {
    let texts = ["", "\0", "\u{7F}", "\u{80}", "\u{7FF}", "\u{800}", "\u{D7FF}", "\u{E000}", "\u{FFFF}"];
    for text in texts.into_iter().chain(["\u{10000}", "\u{10FFFF}", "κόσμε", "日本語", "🦀🦀"]) {
        assert_eq!(refused_after(text.as_bytes()), None, "{text:?}");
    }
}

#[test]
fn the_first_impossible_byte_is_refused() {
    let cases: [(&[u8], usize); 13] = [
        (b"\x80", 0),             // a continuation byte without a lead byte
        (b"a\xC0\xAF", 1),        // never a lead byte: overlong
        (b"\xC1\xBF", 0),         // never a lead byte: overlong
        (b"\xC3a", 1),            // a lead byte without its continuation
        (b"\xE0\x9F\xBF", 1),     // overlong, three bytes
        (b"\xED\xA0\x80", 1),     // a surrogate
        (b"\xED\xBF\xBF", 1),     // a surrogate
        (b"\xF0\x8F\xBF\xBF", 1), // overlong, four bytes
        (b"\xF4\x90\x80\x80", 1), // past U+10FFFF
        (b"\xF5\x80\x80\x80", 0), // never a lead byte
        (b"\xFF", 0),             // never a byte of UTF-8
        (b"\xE2\x82a", 2),        // a character cut short by another
        (b"\xF0\x9F\xA6\xC3", 3), // a character cut short by a lead byte
    ];
    for (text, bytes_taken) in cases {
        assert_eq!(refused_after(text), Some(bytes_taken), "{text:x?}");
        assert_eq!(Validator::default().push(text), Err(ProtocolError::InvalidUtf8), "{text:x?}");
    }
}

#[test]
fn a_text_must_not_end_within_a_character() {
    for text in [&b"\xC3"[..], b"a\xE2\x82", b"\xF0\x9F\xA6"] {
        let mut validator = Validator::default();
        assert_eq!(validator.push(text), Ok(()), "{text:x?}");
        assert_eq!(validator.finish(), Err(ProtocolError::InvalidUtf8), "{text:x?}");
    }
}

#[test]
fn a_finished_validator_takes_another_text() {
    let mut validator = Validator::default();
    for piece in [&b"gr\xC3"[..], b"\xBC\xC3", b"\x9Fe"] {
        assert_eq!(validator.push(piece), Ok(()));
    }
    assert_eq!(validator.finish(), Ok(()));
    assert_eq!(validator.push(b"\xBC"), Err(ProtocolError::InvalidUtf8));
}

/// Bytes that are nearly UTF-8: text of which one byte may be replaced and the end may be cut off.
fn nearly_text() -> impl Strategy<Value = Vec<u8>> {
    (any::<String>(), any::<prop::sample::Index>(), any::<Option<u8>>(), 0..4_usize).prop_map(
        |(text, place, replacement, cut)| {
            let mut bytes = text.into_bytes();
            if let (Some(byte), false) = (replacement, bytes.is_empty()) {
                let place = place.index(bytes.len());
                bytes[place] = byte;
            }
            bytes.truncate(bytes.len().saturating_sub(cut));
            bytes
        },
    )
}

proptest! {
    #[test]
    fn pieces_are_judged_as_the_standard_library_judges_the_whole(
        text in nearly_text(),
        sizes in prop::collection::vec(0..9_usize, 1..20),
    ) {
        let mut validator = Validator::default();
        let mut rest = &text[..];
        let mut verdict = Ok(());
        for size in sizes.iter().cycle().take(10 * text.len()) {
            let (piece, after) = rest.split_at((*size).min(rest.len()));
            verdict = verdict.and_then(|()| validator.push(piece));
            rest = after;
        }
        verdict = verdict.and_then(|()| validator.push(rest)).and_then(|()| validator.finish());
        prop_assert_eq!(verdict.is_ok(), std::str::from_utf8(&text).is_ok());
    }

    #[test]
    fn a_beginning_is_refused_only_if_nothing_could_follow(text in nearly_text()) {
        let hopeless = std::str::from_utf8(&text).is_err_and(|error| error.error_len().is_some());
        prop_assert_eq!(Validator::default().push(&text).is_err(), hopeless);
    }
}
