//! Messages that are pictures: checked lightly as they come, and read afterwards where they are kept.
//!
//! A picture has a row of squares along its top edge, black or white, each as wide as a fortieth of it: 16 bits of a
//! number from the lowest, then the same 16 bits inverted. So it says itself which one it is.

use std::borrow::Cow;

use data_encoding::BASE64;
use serde::Deserialize;
use serde_json::Value;

use crate::frame::{BINARY, TEXT};

const BITS: usize = 16;
/// Squares that a picture is wide.
const SQUARES: usize = 40;
const OPENING: &[u8] = br#"{"img_base64": ""#;
/// Enough for what stands behind the base64 of a JSON message.
const TAIL_BYTES: usize = 80;
/// Behind this, at most so many bytes from the front of a part, begins its picture.
const PART_HEAD_BYTES: usize = 256;

/// How pictures come.
#[derive(Clone, Copy, Debug, Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
pub enum Form {
    /// Text: a JSON object with the base64 of a JPEG as `img_base64`, and maybe a number as `n`.
    Json,
    /// A JPEG as it is.
    Binary,
    /// Fragments of MP4, each with any number of pictures.
    Mp4,
    /// A part of multipart/x-mixed-replace.
    Multipart,
}

/// What a message is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Look {
    /// So many pictures. The number is the server's own, where it tells one.
    Pictures {
        /// How many.
        count: u64,
        /// Of the only one.
        number: Option<u64>,
    },
    /// It tells of the source, and of nothing wrong.
    Notice,
    /// The server tells what is wrong.
    Complaint(String),
}

impl Form {
    /// What a message is, without reading all of it.
    ///
    /// # Errors
    /// It is nothing that may come in this form.
    pub fn look(self, opcode: u8, message: &[u8]) -> Result<Look, &'static str> {
        let one = |number| Look::Pictures { count: 1, number };
        match (self, opcode) {
            (Self::Json, TEXT) if message.starts_with(OPENING) => {
                let is_whole = message[OPENING.len()..].starts_with(b"/9j/") && message.ends_with(b"}");
                let number = told_number(message)?;
                if is_whole { Ok(one(number)) } else { Err("its picture is no JPEG in base64") }
            }
            (Self::Json | Self::Binary | Self::Mp4, TEXT) => notice(message),
            (Self::Binary | Self::Multipart, BINARY) => {
                let jpeg = self.jpeg(message)?;
                let is_whole = jpeg.starts_with(&[0xFF, 0xD8, 0xFF]) && jpeg.ends_with(&[0xFF, 0xD9]);
                if is_whole { Ok(one(None)) } else { Err("it is no whole JPEG") }
            }
            (Self::Mp4, BINARY) => Ok(Look::Pictures { count: samples(message)?, number: None }),
            _ => Err("it is of another kind"),
        }
    }

    /// The JPEG in a message.
    ///
    /// # Errors
    /// There is none.
    pub fn jpeg(self, message: &[u8]) -> Result<Cow<'_, [u8]>, &'static str> {
        match self {
            Self::Json => {
                let text = message.strip_prefix(OPENING).ok_or("it is no picture")?;
                let end = text.iter().position(|byte| *byte == b'"').ok_or("its picture has no end")?;
                BASE64.decode(&text[..end]).map(Cow::Owned).map_err(|_| "its picture is no base64")
            }
            Self::Binary => Ok(Cow::Borrowed(message)),
            Self::Multipart => {
                let front = &message[..message.len().min(PART_HEAD_BYTES)];
                let head =
                    front.windows(4).position(|bytes| bytes == b"\r\n\r\n").ok_or("a part without a head")?;
                let body = &message[head + 4..];
                Ok(Cow::Borrowed(body.strip_suffix(b"\r\n").unwrap_or(body)))
            }
            Self::Mp4 => Err("the pictures of MP4 are not read"),
        }
    }
}

fn notice(message: &[u8]) -> Result<Look, &'static str> {
    let told: Value = serde_json::from_slice(message).map_err(|_| "it is neither a picture nor JSON")?;
    let is_over = matches!(told["state"].as_str(), Some("lost" | "ended"));
    if is_over || !told["error"].is_null() {
        return Ok(Look::Complaint(told.to_string()));
    }
    Ok(Look::Notice)
}

/// The `n` of a JSON message, which stands behind its picture; most have none.
fn told_number(message: &[u8]) -> Result<Option<u64>, &'static str> {
    let tail = &message[message.len().saturating_sub(TAIL_BYTES)..];
    let Some(at) = tail.windows(4).rposition(|bytes| bytes == br#""n":"#) else { return Ok(None) };
    let digits = std::str::from_utf8(&tail[at + 4..tail.len() - 1]).unwrap_or_default();
    digits.trim().parse().map(Some).map_err(|_| "its number is none")
}

/// How many samples a message of whole MP4 boxes (ISO/IEC 14496-12 section 4.2) has: those of each `moof/traf/trun`.
fn samples(message: &[u8]) -> Result<u64, &'static str> {
    let mut count = 0;
    for (kind, content) in boxes(message)? {
        match kind {
            b"moof" | b"traf" => count += samples(content)?,
            // Section 8.8.8: version and flags, then the number of samples.
            b"trun" => {
                let bytes = content
                    .get(4..8)
                    .and_then(|bytes| bytes.first_chunk())
                    .ok_or("a trun without a count")?;
                count += u64::from(u32::from_be_bytes(*bytes));
            }
            _ => {}
        }
    }
    Ok(count)
}

/// The kind of a box, and its content.
type Kinded<'m> = (&'m [u8; 4], &'m [u8]);

fn boxes(mut bytes: &[u8]) -> Result<Vec<Kinded<'_>>, &'static str> {
    let mut found = Vec::new();
    while !bytes.is_empty() {
        let (size, rest) = bytes.split_first_chunk::<4>().ok_or("a piece of a box")?;
        let (kind, _) = rest.split_first_chunk::<4>().ok_or("a piece of a box")?;
        let size = u32::from_be_bytes(*size) as usize;
        let content = bytes.get(8..size).ok_or("a box that is longer than its message")?;
        found.push((kind, content));
        bytes = &bytes[size..];
    }
    Ok(found)
}

/// The number that a picture shows.
///
/// # Errors
/// It is no JPEG, or its squares are no number.
pub fn mark(jpeg: &[u8]) -> Result<u16, &'static str> {
    let mut decoder = jpeg_decoder::Decoder::new(jpeg);
    let pixels = decoder.decode().map_err(|_| "its JPEG cannot be decoded")?;
    let info = decoder.info().ok_or("its JPEG has no size")?;
    let bytes_each = info.pixel_format.pixel_bytes();
    let (width, height) = (usize::from(info.width), usize::from(info.height));
    let side = width / SQUARES;
    if side == 0 || height < side {
        return Err("it is too small for its squares");
    }
    let is_white = |square: usize| {
        let at = (side / 2 * width + square * side + side / 2) * bytes_each;
        pixels[at] >= 0x80
    };
    let bits = |first: usize| (0..BITS).fold(0, |bits, bit| bits | u16::from(is_white(first + bit)) << bit);
    let number: u16 = bits(0);
    if bits(BITS) == !number { Ok(number) } else { Err("its squares are no number") }
}

#[cfg(test)]
mod tests {
    use super::*;

    const JPEG: &[u8] = include_bytes!("../tests/marked.jpg");

    fn json(tail: &str) -> Vec<u8> {
        format!(r#"{{"img_base64": "{}"{tail}}}"#, BASE64.encode(JPEG)).into_bytes()
    }

    fn moof(counts: &[u32]) -> Vec<u8> {
        let truns = counts.iter().map(|count| [&[0; 4][..], &count.to_be_bytes(), &[0; 4]].concat());
        let truns = truns.map(|content| boxed(*b"trun", &content)).collect::<Vec<_>>().concat();
        [boxed(*b"moof", &boxed(*b"traf", &truns)), boxed(*b"mdat", b"trun")].concat()
    }

    fn boxed(kind: [u8; 4], content: &[u8]) -> Vec<u8> {
        let size = u32::try_from(8 + content.len()).unwrap();
        [&size.to_be_bytes()[..], &kind, content].concat()
    }

    #[test]
    fn a_picture_says_which_one_it_is() {
        assert_eq!(mark(JPEG), Ok(0x2A5C));
        assert_eq!(mark(&JPEG[..JPEG.len() / 2]), Err("its JPEG cannot be decoded"));
    }

    #[test]
    fn json_with_and_without_a_number_is_a_picture() {
        for (tail, number) in [("", None), (r#", "t": 1.234, "n": 567"#, Some(567))] {
            let message = json(tail);
            assert_eq!(Form::Json.look(TEXT, &message), Ok(Look::Pictures { count: 1, number }));
            assert_eq!(mark(&Form::Json.jpeg(&message).unwrap()), Ok(0x2A5C));
        }
        assert!(Form::Json.look(TEXT, br#"{"img_base64": "aGVsbG8="}"#).is_err());
        assert!(Form::Json.look(TEXT, &json(r#", "n": x"#)).is_err());
        assert!(Form::Json.look(BINARY, JPEG).is_err());
    }

    #[test]
    fn what_the_server_tells_is_no_picture() {
        let look = |text: &str| Form::Binary.look(TEXT, text.as_bytes());
        assert_eq!(look(r#"{"state": "live", "error": null}"#), Ok(Look::Notice));
        for text in [r#"{"state":"lost"}"#, r#"{"error":"no such form"}"#] {
            assert_eq!(look(text), Ok(Look::Complaint(text.to_owned())));
        }
        assert!(look("what?").is_err());
    }

    #[test]
    fn a_jpeg_and_a_part_are_pictures_when_they_are_whole() {
        let part = [&b"--frame\r\nContent-Type:image/jpeg\r\n\r\n"[..], JPEG, b"\r\n"].concat();
        for (form, message) in [(Form::Binary, JPEG), (Form::Multipart, &part)] {
            assert_eq!(form.look(BINARY, message), Ok(Look::Pictures { count: 1, number: None }));
            assert_eq!(form.jpeg(message).unwrap(), JPEG);
            assert!(form.look(BINARY, &message[..message.len() - 4]).is_err());
        }
    }

    #[test]
    fn the_samples_of_fragments_are_counted() {
        let look = |message: &[u8]| Form::Mp4.look(BINARY, message);
        assert_eq!(look(&moof(&[3, 4])), Ok(Look::Pictures { count: 7, number: None }));
        assert_eq!(look(&boxed(*b"ftyp", b"isom")), Ok(Look::Pictures { count: 0, number: None }));
        assert!(look(&moof(&[3])[..40]).is_err());
        assert!(look(&[0, 0, 0, 4, b'm', b'd', b'a', b't']).is_err());
    }
}
