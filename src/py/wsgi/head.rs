//! The head of a response, as `start_response` gives it.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, HeaderValue, StatusCode, header};
use hyper::ext::ReasonPhrase;
use pyo3::{
    exceptions::{PyTypeError, PyValueError},
    prelude::*,
    types::{PyList, PyString, PyTuple},
};

/// Status and header fields, checked.
#[derive(Clone, Debug)]
pub(super) struct Head {
    status: StatusCode,
    reason: Option<ReasonPhrase>,
    headers: HeaderMap,
    length: Option<u64>,
}

impl Head {
    /// Reads what the application gave. Fields that concern the connection only (RFC 9110 section 7.6.1) are the server's
    /// and are left out, but for `Connection: close`.
    ///
    /// # Errors
    /// `TypeError` for what is no string, `ValueError` for what HTTP cannot say; each shows the culprit.
    pub(super) fn parse(status: &Bound<'_, PyAny>, headers: &Bound<'_, PyAny>) -> PyResult<Self> {
        let (status, reason) = parse_status(status)?;
        let mut head = Self { status, reason, headers: HeaderMap::new(), length: None };
        let Ok(headers) = headers.cast::<PyList>() else {
            return Err(PyTypeError::new_err(format!("the header fields must be a list, not {headers:?}")));
        };
        for field in headers {
            let Some((name, value)) = pair(&field) else {
                return Err(PyTypeError::new_err(format!(
                    "a header field must be a tuple of two strings, not {field:?}"
                )));
            };
            head.add(&name, &value)?;
        }
        Ok(head)
    }

    /// A response of the server's own.
    pub(super) fn plain(status: StatusCode) -> Self {
        let mut headers = HeaderMap::new();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/plain; charset=utf-8"));
        if status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        Self { status, reason: None, headers, length: None }
    }

    pub(super) fn status(&self) -> StatusCode {
        self.status
    }

    /// The length of the body, when it was declared.
    pub(super) fn length(&self) -> Option<u64> {
        self.length
    }

    /// Whether no response of this status has a body (RFC 9110 section 6.4.1).
    pub(super) fn is_bodyless(&self) -> bool {
        matches!(self.status, StatusCode::NO_CONTENT | StatusCode::NOT_MODIFIED)
    }

    /// Declares the length of the body, unless that was done or the status forbids it.
    pub(super) fn declare_length(&mut self, length: u64) {
        if self.length.is_none() && !self.is_bodyless() {
            self.length = Some(length);
            self.headers.insert(header::CONTENT_LENGTH, HeaderValue::from(length));
        }
    }

    /// As the server sends it.
    pub(super) fn into_response(mut self) -> http::Response<()> {
        if self.status == StatusCode::NO_CONTENT {
            // RFC 9110 section 8.6 forbids it; Django's CommonMiddleware adds it.
            self.headers.remove(header::CONTENT_LENGTH);
        }
        let mut response = http::Response::new(());
        *response.status_mut() = self.status;
        *response.headers_mut() = self.headers;
        if let Some(reason) = self.reason {
            response.extensions_mut().insert(reason);
        }
        response
    }

    fn add(&mut self, name: &Bound<'_, PyString>, value: &Bound<'_, PyString>) -> PyResult<()> {
        let Ok(parsed) = HeaderName::from_bytes(name.to_cow()?.as_bytes()) else {
            return Err(PyValueError::new_err(format!("{name:?} is not the name of a header field")));
        };
        let parsed_value = value.to_cow()?;
        let parsed_value = latin1(&parsed_value).and_then(|value| HeaderValue::from_bytes(&value).ok());
        let Some(parsed_value) = parsed_value else {
            return Err(PyValueError::new_err(format!("the header field {name} cannot be {value:?}")));
        };
        if is_hop_by_hop(&parsed) {
            if parsed != header::CONNECTION || !parsed_value.as_bytes().eq_ignore_ascii_case(b"close") {
                return Ok(());
            }
        } else if parsed == header::CONTENT_LENGTH {
            let length = digits(parsed_value.as_bytes());
            if length.is_none() || self.length.is_some() {
                return Err(PyValueError::new_err(format!(
                    "Content-Length must be one whole number, not {value:?}"
                )));
            }
            self.length = length;
        }
        self.headers.append(parsed, parsed_value);
        Ok(())
    }
}

fn parse_status(status: &Bound<'_, PyAny>) -> PyResult<(StatusCode, Option<ReasonPhrase>)> {
    let Ok(status) = status.cast::<PyString>() else {
        return Err(PyTypeError::new_err(format!("the status must be a string, not {status:?}")));
    };
    let text = status.to_cow()?;
    let (code, reason) = text.split_once(' ').unwrap_or((&text, ""));
    let code = StatusCode::from_bytes(code.as_bytes()).ok().filter(|code| !code.is_informational());
    let phrase = latin1(reason).and_then(|reason| ReasonPhrase::try_from(reason.as_ref()).ok());
    let (Some(code), Some(phrase)) = (code, phrase) else {
        return Err(PyValueError::new_err(format!("the status must be such as '200 OK', not {status:?}")));
    };
    let usual = reason.is_empty() || code.canonical_reason() == Some(reason);
    Ok((code, (!usual).then_some(phrase)))
}

fn pair<'py>(field: &Bound<'py, PyAny>) -> Option<(Bound<'py, PyString>, Bound<'py, PyString>)> {
    let field = field.cast::<PyTuple>().ok().filter(|field| field.len() == 2)?;
    let name = field.get_item(0).ok()?.cast_into().ok()?;
    let value = field.get_item(1).ok()?.cast_into().ok()?;
    Some((name, value))
}

fn is_hop_by_hop(name: &HeaderName) -> bool {
    *name == header::CONNECTION
        || *name == header::TE
        || *name == header::TRAILER
        || *name == header::TRANSFER_ENCODING
        || *name == header::UPGRADE
        || *name == header::PROXY_AUTHENTICATE
        || *name == header::PROXY_AUTHORIZATION
        || matches!(name.as_str(), "keep-alive" | "proxy-connection")
}

fn digits(value: &[u8]) -> Option<u64> {
    let text = std::str::from_utf8(value).ok()?;
    if text.bytes().all(|byte| byte.is_ascii_digit()) { text.parse().ok() } else { None }
}

/// The bytes that a "native string" of PEP 3333 stands for; None when it holds a character beyond U+00FF.
fn latin1(text: &str) -> Option<Cow<'_, [u8]>> {
    if text.is_ascii() {
        return Some(Cow::Borrowed(text.as_bytes()));
    }
    text.chars().map(|letter| u8::try_from(letter).ok()).collect::<Option<Vec<u8>>>().map(Cow::Owned)
}
