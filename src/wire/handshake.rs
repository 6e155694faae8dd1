//! The opening handshake (RFC 6455 section 4.2).

use std::collections::HashSet;

use base64::{
    Engine, alphabet,
    engine::{GeneralPurpose, general_purpose},
};
use bytes::Bytes;
use http::{
    HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Version,
    header::{
        CONNECTION, HOST, SEC_WEBSOCKET_ACCEPT, SEC_WEBSOCKET_EXTENSIONS, SEC_WEBSOCKET_KEY,
        SEC_WEBSOCKET_PROTOCOL, SEC_WEBSOCKET_VERSION, UPGRADE,
    },
};
use tungstenite::handshake::derive_accept_key;

use super::offer::{Agreement, Extension};
use crate::error::HandshakeError;

/// Base64 whose last character may have bits that mean nothing, like the key of the example in RFC 6455 section 4.1.
const KEY_ENCODING: GeneralPurpose =
    GeneralPurpose::new(&alphabet::STANDARD, general_purpose::PAD.with_decode_allow_trailing_bits(true));

/// A valid request to open a WebSocket.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Handshake {
    /// The value of `Sec-WebSocket-Accept`.
    pub accept_key: String,
    /// The subprotocols offered, in the client's order.
    pub subprotocols: Vec<String>,
    /// The extensions offered, in the client's order.
    pub extensions: Vec<Extension>,
}

impl Handshake {
    /// Reads a request's head. `Ok(None)`: a plain HTTP request (no `Upgrade: websocket`).
    /// A body is none of its business: whoever reads the request decides about it.
    ///
    /// # Errors
    /// An upgrade to `websocket` that RFC 6455 forbids; [`HandshakeError::status`] is the status to refuse it with.
    pub fn parse(
        method: &Method,
        version: Version,
        headers: &HeaderMap,
    ) -> Result<Option<Self>, HandshakeError> {
        if !lists(headers, &UPGRADE, "websocket") {
            return Ok(None);
        }
        if method != Method::GET {
            return Err(HandshakeError::MethodNotAllowed);
        }
        if version < Version::HTTP_11 {
            return Err(HandshakeError::HttpVersionTooOld);
        }
        if only_value(headers, &HOST).is_none() {
            return Err(HandshakeError::InvalidHost);
        }
        if !lists(headers, &CONNECTION, "upgrade") {
            return Err(HandshakeError::MissingConnectionUpgrade);
        }
        if only_value(headers, &SEC_WEBSOCKET_VERSION) != Some(b"13") {
            return Err(HandshakeError::UnsupportedVersion);
        }
        let key = only_value(headers, &SEC_WEBSOCKET_KEY).filter(|key| is_nonce(key));
        let key = key.ok_or(HandshakeError::InvalidKey)?;
        Ok(Some(Self {
            accept_key: derive_accept_key(key),
            subprotocols: subprotocols(headers)?,
            extensions: extensions(headers)?,
        }))
    }

    /// The head of the 101 response. `agreement` is what was agreed on of the client's `extensions`.
    ///
    /// # Errors
    /// `subprotocol` was not offered by the client.
    pub fn response(
        &self,
        subprotocol: Option<&str>,
        agreement: Option<Agreement>,
    ) -> Result<http::Response<()>, HandshakeError> {
        let mut response = http::Response::new(());
        *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
        let headers = response.headers_mut();
        headers.insert(UPGRADE, HeaderValue::from_static("websocket"));
        headers.insert(CONNECTION, HeaderValue::from_static("Upgrade"));
        headers.insert(SEC_WEBSOCKET_ACCEPT, value(&self.accept_key));
        if let Some(subprotocol) = subprotocol {
            if !self.subprotocols.iter().any(|offered| offered == subprotocol) {
                return Err(HandshakeError::SubprotocolNotOffered { subprotocol: subprotocol.to_owned() });
            }
            headers.insert(SEC_WEBSOCKET_PROTOCOL, value(subprotocol));
        }
        if let Some(agreement) = agreement {
            headers.insert(SEC_WEBSOCKET_EXTENSIONS, agreement.header());
        }
        Ok(response)
    }
}

impl HandshakeError {
    /// The status that refuses the handshake.
    pub fn status(&self) -> StatusCode {
        match self {
            Self::MethodNotAllowed => StatusCode::METHOD_NOT_ALLOWED,
            Self::UnsupportedVersion => StatusCode::UPGRADE_REQUIRED,
            Self::SubprotocolNotOffered { .. } => StatusCode::INTERNAL_SERVER_ERROR,
            _ => StatusCode::BAD_REQUEST,
        }
    }

    /// The header fields that a response with [`HandshakeError::status`] must have (RFC 6455 section 4.4, RFC 9110
    /// sections 15.5.6 and 15.5.22). `Connection` and `Upgrade` are for the server to send: PEP 3333 forbids them to
    /// an application.
    pub fn headers(&self) -> &'static [(&'static str, &'static str)] {
        match self {
            Self::MethodNotAllowed => &[("Allow", "GET")],
            Self::UnsupportedVersion => {
                &[("Sec-WebSocket-Version", "13"), ("Upgrade", "websocket"), ("Connection", "Upgrade")]
            }
            _ => &[],
        }
    }
}

/// The bytes of a response's head, for a server that leaves the answer to a handshake to others.
pub fn encode_head(head: &http::Response<()>) -> Bytes {
    let status = head.status();
    let mut bytes = Vec::with_capacity(256);
    bytes.extend_from_slice(b"HTTP/1.1 ");
    bytes.extend_from_slice(status.as_str().as_bytes());
    bytes.push(b' ');
    bytes.extend_from_slice(status.canonical_reason().unwrap_or_default().as_bytes());
    bytes.extend_from_slice(b"\r\n");
    for (name, value) in head.headers() {
        bytes.extend_from_slice(name.as_str().as_bytes());
        bytes.extend_from_slice(b": ");
        bytes.extend_from_slice(value.as_bytes());
        bytes.extend_from_slice(b"\r\n");
    }
    bytes.extend_from_slice(b"\r\n");
    bytes.into()
}

/// The elements of a comma-separated header over all its lines, without the empty ones (RFC 9110 section 5.6.1).
fn elements<'a>(headers: &'a HeaderMap, name: &HeaderName) -> impl Iterator<Item = &'a [u8]> {
    let lines = headers.get_all(name).into_iter();
    let elements = lines.flat_map(|line| line.as_bytes().split(|&byte| byte == b','));
    elements.map(<[u8]>::trim_ascii).filter(|element| !element.is_empty())
}

fn lists(headers: &HeaderMap, name: &HeaderName, token: &str) -> bool {
    elements(headers, name).any(|element| element.eq_ignore_ascii_case(token.as_bytes()))
}

/// The value of a header that is there once.
fn only_value<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<&'a [u8]> {
    let mut lines = headers.get_all(name).into_iter();
    let first = lines.next()?;
    if lines.next().is_some() { None } else { Some(first.as_bytes().trim_ascii()) }
}

fn is_nonce(key: &[u8]) -> bool {
    // 16 bytes are 24 characters; a longer value is not worth decoding.
    key.len() == 24 && KEY_ENCODING.decode(key).is_ok_and(|nonce| nonce.len() == 16)
}

fn subprotocols(headers: &HeaderMap) -> Result<Vec<String>, HandshakeError> {
    let mut seen = HashSet::new();
    let mut subprotocols = Vec::new();
    for element in elements(headers, &SEC_WEBSOCKET_PROTOCOL) {
        let token = std::str::from_utf8(element).ok().filter(|text| text.bytes().all(is_token_byte));
        let token = token.ok_or(HandshakeError::InvalidSubprotocol)?;
        if !seen.insert(token) {
            return Err(HandshakeError::RepeatedSubprotocol);
        }
        subprotocols.push(token.to_owned());
    }
    Ok(subprotocols)
}

/// The characters of a token (RFC 9110 section 5.6.2).
pub(super) fn is_token_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b"!#$%&'*+-.^_`|~".contains(&byte)
}

fn extensions(headers: &HeaderMap) -> Result<Vec<Extension>, HandshakeError> {
    let lines = headers.get_all(SEC_WEBSOCKET_EXTENSIONS).into_iter();
    Extension::parse_all(lines.map(HeaderValue::as_bytes))
}

/// A header value of characters that have been checked.
fn value(text: &str) -> HeaderValue {
    HeaderValue::from_str(text).expect("bug: a token or base64 is a header value")
}
