//! Extensions a client offers (RFC 6455 section 9.1), and what is agreed on of permessage-deflate (RFC 7692 section 7.1).

use std::fmt::Write;

use http::HeaderValue;

use super::handshake::is_token_byte;
use crate::error::HandshakeError;

/// The largest window that DEFLATE knows, as a power of two of bytes.
pub const MAX_WINDOW_BITS: u8 = 15;

/// The smallest window a client may ask for (RFC 7692 section 7.1.2).
const MIN_WINDOW_BITS: u8 = 8;

/// One extension a client offers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Extension {
    /// Its name.
    pub name: String,
    /// Its parameters in the client's order, with their values.
    pub parameters: Vec<(String, Option<String>)>,
}

impl Extension {
    /// Reads the lines of `Sec-WebSocket-Extensions`, which are one list.
    ///
    /// # Errors
    /// A line does not have the form of RFC 6455 section 9.1, which ends the handshake by that section.
    pub(super) fn parse_all<'a>(lines: impl Iterator<Item = &'a [u8]>) -> Result<Vec<Self>, HandshakeError> {
        let mut extensions = Vec::new();
        for line in lines {
            let mut cursor = Cursor { rest: line };
            cursor.skip_space();
            while !cursor.rest.is_empty() {
                // Elements may be empty (RFC 9110 section 5.6.1.2).
                if !cursor.take(b',') {
                    extensions.push(cursor.extension().ok_or(HandshakeError::InvalidExtensions)?);
                }
            }
        }
        Ok(extensions)
    }
}

/// What is left of a line. What does not have the form demanded is `None`.
struct Cursor<'a> {
    rest: &'a [u8],
}

impl Cursor<'_> {
    fn extension(&mut self) -> Option<Extension> {
        let mut extension = Extension { name: self.token()?, parameters: Vec::new() };
        while self.take(b';') {
            let name = self.token()?;
            let value = if self.take(b'=') { Some(self.value()?) } else { None };
            extension.parameters.push((name, value));
        }
        (self.rest.is_empty() || self.take(b',')).then_some(extension)
    }

    fn token(&mut self) -> Option<String> {
        let length = self.rest.iter().take_while(|byte| is_token_byte(**byte)).count();
        let (token, rest) = self.rest.split_at(length);
        self.rest = rest;
        self.skip_space();
        token_text(token)
    }

    /// A token, or a quoted string that is one without its quotes.
    fn value(&mut self) -> Option<String> {
        if self.rest.first() != Some(&b'"') {
            return self.token();
        }
        let mut unquoted = Vec::new();
        let mut bytes = self.rest[1..].iter();
        loop {
            match *bytes.next()? {
                b'"' => break,
                b'\\' => unquoted.push(*bytes.next()?),
                byte => unquoted.push(byte),
            }
        }
        self.rest = bytes.as_slice();
        self.skip_space();
        token_text(&unquoted)
    }

    /// Takes `byte` and the white space behind it, if it is next.
    fn take(&mut self, byte: u8) -> bool {
        let is_next = self.rest.first() == Some(&byte);
        if is_next {
            self.rest = &self.rest[1..];
            self.skip_space();
        }
        is_next
    }

    fn skip_space(&mut self) {
        let length = self.rest.iter().take_while(|byte| matches!(byte, b' ' | b'\t')).count();
        self.rest = &self.rest[length..];
    }
}

fn token_text(bytes: &[u8]) -> Option<String> {
    let is_token = !bytes.is_empty() && bytes.iter().copied().all(is_token_byte);
    is_token.then(|| bytes.iter().copied().map(char::from).collect())
}

/// What this side wants of permessage-deflate; a client may ask for less.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Terms {
    /// A message may refer to what the messages before it said, this side's.
    pub server_context_takeover: bool,
    /// The same for the client's messages.
    pub client_context_takeover: bool,
    /// The largest window of either side, 9 to 15 as a power of two of bytes.
    pub max_window_bits: u8,
}

/// What both sides will do: the parameters of RFC 7692 section 7.1, spelled out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Agreement {
    /// This side begins each message with an empty window.
    pub server_no_context_takeover: bool,
    /// The client does.
    pub client_no_context_takeover: bool,
    /// The largest window of this side, 8 to 15; None is 15.
    pub server_max_window_bits: Option<u8>,
    /// The largest window of the client, 8 to 15; None is 15.
    pub client_max_window_bits: Option<u8>,
}

impl Agreement {
    /// Takes the first offer of permessage-deflate that can be agreed to. `None`: there is none, so that nothing will
    /// be compressed. An offer with a parameter that is unknown, there twice or of a wrong value is passed over
    /// (RFC 7692 section 7).
    pub fn reach(offers: &[Extension], terms: Terms) -> Option<Self> {
        let offers = offers.iter().filter(|extension| extension.name == "permessage-deflate");
        offers
            .filter_map(|extension| Offer::read(&extension.parameters))
            .map(|offer| offer.accept(terms))
            .next()
    }

    /// How far back this side may refer.
    pub fn server_window_bits(self) -> u8 {
        self.server_max_window_bits.unwrap_or(MAX_WINDOW_BITS)
    }

    /// How far back the client may.
    pub fn client_window_bits(self) -> u8 {
        self.client_max_window_bits.unwrap_or(MAX_WINDOW_BITS)
    }

    /// The value of `Sec-WebSocket-Extensions` in the response.
    pub(super) fn header(self) -> HeaderValue {
        let mut value = String::from("permessage-deflate");
        for (name, is_agreed) in [
            ("server_no_context_takeover", self.server_no_context_takeover),
            ("client_no_context_takeover", self.client_no_context_takeover),
        ] {
            if is_agreed {
                value.push_str("; ");
                value.push_str(name);
            }
        }
        for (name, bits) in [
            ("server_max_window_bits", self.server_max_window_bits),
            ("client_max_window_bits", self.client_max_window_bits),
        ] {
            if let Some(bits) = bits {
                write!(value, "; {name}={bits}").expect("bug: a string takes what is written to it");
            }
        }
        HeaderValue::try_from(value).expect("bug: tokens and numbers are a header value")
    }
}

/// The parameters of one valid offer.
#[derive(Default)]
struct Offer {
    server_no_context_takeover: bool,
    client_no_context_takeover: bool,
    server_max_window_bits: Option<u8>,
    client_max_window_bits: Option<u8>,
    /// The client named that parameter, with or without a value. Else the response must not (RFC 7692 section 7.1.2.2).
    client_obeys_limit: bool,
}

impl Offer {
    fn read(parameters: &[(String, Option<String>)]) -> Option<Self> {
        let mut offer = Self::default();
        for (index, (name, value)) in parameters.iter().enumerate() {
            if parameters[..index].iter().any(|(earlier, _)| earlier == name) {
                return None;
            }
            match (name.as_str(), value.as_deref()) {
                ("server_no_context_takeover", None) => offer.server_no_context_takeover = true,
                ("client_no_context_takeover", None) => offer.client_no_context_takeover = true,
                ("server_max_window_bits", Some(value)) => {
                    offer.server_max_window_bits = Some(window_bits(value)?);
                }
                ("client_max_window_bits", value) => {
                    offer.client_obeys_limit = true;
                    offer.client_max_window_bits = match value {
                        Some(value) => Some(window_bits(value)?),
                        None => None,
                    };
                }
                _ => return None,
            }
        }
        Some(offer)
    }

    fn accept(self, terms: Terms) -> Agreement {
        // A window that was offered must be answered, even with 15 (RFC 7692 section 7.1.2.1).
        let at_most = |offered: Option<u8>| {
            let is_limited = offered.is_some() || terms.max_window_bits < MAX_WINDOW_BITS;
            is_limited.then(|| offered.unwrap_or(MAX_WINDOW_BITS).min(terms.max_window_bits))
        };
        Agreement {
            server_no_context_takeover: self.server_no_context_takeover || !terms.server_context_takeover,
            client_no_context_takeover: self.client_no_context_takeover || !terms.client_context_takeover,
            server_max_window_bits: at_most(self.server_max_window_bits),
            client_max_window_bits: at_most(self.client_max_window_bits).filter(|_| self.client_obeys_limit),
        }
    }
}

/// A number from 8 to 15 without leading zeros (RFC 7692 section 7.1.2.1).
fn window_bits(value: &str) -> Option<u8> {
    let is_plain = value.bytes().all(|byte| byte.is_ascii_digit()) && !value.starts_with('0');
    let bits = value.parse().ok().filter(|_| is_plain)?;
    (MIN_WINDOW_BITS..=MAX_WINDOW_BITS).contains(&bits).then_some(bits)
}
