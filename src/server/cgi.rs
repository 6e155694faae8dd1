//! What a request's head is to an application: the variables of CGI (RFC 3875 section 4.1), as bytes.

use std::borrow::Cow;

use http::{HeaderMap, HeaderName, Uri, header};

/// The path of a target, its escapes decoded; None when it has none. A percent sign that starts no escape stays, as in
/// the servers of the standard library.
pub fn path(uri: &Uri) -> Option<Vec<u8>> {
    match uri.path() {
        // `OPTIONS *`: PEP 3333 allows a path that is empty or starts with a slash.
        "*" => Some(Vec::new()),
        "" if uri.scheme().is_none() => None,
        "" => Some(b"/".to_vec()),
        path => Some(unescape(path.as_bytes())),
    }
}

fn unescape(path: &[u8]) -> Vec<u8> {
    let mut decoded = Vec::with_capacity(path.len());
    let mut rest = path;
    while let Some((&byte, after)) = rest.split_first() {
        match (byte, after) {
            (b'%', [high, low, after @ ..]) if high.is_ascii_hexdigit() && low.is_ascii_hexdigit() => {
                decoded.push(digit(*high) << 4 | digit(*low));
                rest = after;
            }
            _ => {
                decoded.push(byte);
                rest = after;
            }
        }
    }
    decoded
}

fn digit(hexadecimal: u8) -> u8 {
    match hexadecimal {
        b'0'..=b'9' => hexadecimal - b'0',
        _ => (hexadecimal | 0x20) - b'a' + 10,
    }
}

/// Each field of a head once, its values joined. Left out are the names that would pass for others: `X_Forwarded_For` for
/// `X-Forwarded-For`, which a proxy may have set or taken out.
pub fn fields(headers: &HeaderMap) -> impl Iterator<Item = (&HeaderName, Cow<'_, [u8]>)> {
    headers.keys().filter(|name| !name.as_str().contains('_')).map(|name| (name, joined(headers, name)))
}

fn joined<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Cow<'a, [u8]> {
    let mut values = headers.get_all(name).iter();
    let mut whole = Cow::Borrowed(values.next().map_or(&[][..], |first| first.as_bytes()));
    let separator = if name == header::COOKIE { &b"; "[..] } else { b"," };
    for value in values {
        let whole = whole.to_mut();
        whole.extend_from_slice(separator);
        whole.extend_from_slice(value.as_bytes());
    }
    whole
}

/// The variable that a field becomes.
pub fn variable(name: &HeaderName) -> String {
    let mut variable = String::with_capacity(name.as_str().len() + 5);
    if name != header::CONTENT_TYPE && name != header::CONTENT_LENGTH {
        variable.push_str("HTTP_");
    }
    for letter in name.as_str().chars() {
        variable.push(if letter == '-' { '_' } else { letter.to_ascii_uppercase() });
    }
    variable
}
