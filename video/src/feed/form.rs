//! Pictures and notices as messages.

use std::io::Write;

use base64_simd::STANDARD;

use crate::room::Message;

/// Beside the base64 in a JSON message.
const JSON_ROOM: usize = 80;

/// What a viewer gets.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Form {
    /// Text: `{"img_base64": "…", "t": seconds, "n": number}`.
    Json,
    /// Text: base64 of the JPEG, and nothing else.
    Base64,
    /// Binary: the JPEG.
    Binary,
    /// Fragmented MP4, for Media Source Extensions: text, `{"mimeType": "…", "t": seconds}`, and the init segment and
    /// fragments behind it as binary messages.
    Mp4,
}

impl Form {
    /// Every form, each at its index.
    pub const ALL: [Self; 4] = [Self::Json, Self::Base64, Self::Binary, Self::Mp4];

    /// Those that are made of pictures; the other one is made of packets.
    pub const PICTURES: [Self; 3] = [Self::Json, Self::Base64, Self::Binary];

    /// Where it stands in [`Form::ALL`].
    pub fn index(self) -> usize {
        self as usize
    }

    /// A picture in this form, which is one of [`Form::PICTURES`].
    pub fn message(self, jpeg: &[u8], position_seconds: f64, number: u64) -> Message {
        let base64_bytes = STANDARD.encoded_length(jpeg.len());
        match self {
            Self::Json => {
                let mut message = Message::text(base64_bytes + JSON_ROOM);
                let payload = message.payload();
                payload.extend_from_slice(br#"{"img_base64": ""#);
                STANDARD.encode_append(jpeg, payload);
                write!(payload, r#"", "t": {position_seconds:.3}, "n": {number}}}"#)
                    .expect("bug: a vector takes what is written to it");
                message
            }
            Self::Base64 => {
                let mut message = Message::text(base64_bytes);
                STANDARD.encode_append(jpeg, message.payload());
                message
            }
            Self::Binary | Self::Mp4 => {
                let mut message = Message::binary(jpeg.len());
                message.payload().extend_from_slice(jpeg);
                message
            }
        }
    }
}

/// A JSON object as a text message.
pub(super) fn json(value: &serde_json::Value) -> Message {
    let mut message = Message::text(JSON_ROOM);
    serde_json::to_writer(message.payload(), value).expect("bug: a vector takes what is written to it");
    message
}
