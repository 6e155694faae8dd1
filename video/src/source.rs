//! What is played, and how it is named without its credentials.

use std::ffi::{OsStr, OsString};
use std::fmt;
use std::path::PathBuf;

/// What stands in a shown url where a credential was.
const MASK: &str = "***";

/// Query parameters whose value is a credential when their name contains one of these.
const SECRET_NAMES: [&str; 10] =
    ["auth", "credential", "key", "pass", "pwd", "secret", "session", "sig", "token", "user"];

/// What is played. Its `Display` is safe to log: credentials are masked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Source {
    /// A camera by its index.
    Camera(i32),
    /// A local file.
    File(PathBuf),
    /// Anything with a scheme: `rtmp://`, `rtsp://`, `http://`, `udp://`, `file://`, …
    Url(String),
}

impl Source {
    /// Tells a url from a file name: a url starts with a scheme and `://`.
    pub fn from_text(text: &str) -> Self {
        match text.split_once("://") {
            Some((scheme, _)) if is_scheme(scheme) => Self::Url(text.to_owned()),
            _ => Self::File(PathBuf::from(text)),
        }
    }

    /// The name FFmpeg opens; None for a camera.
    ///
    /// The name of an existing file with a colon gets the prefix `file:`, or a recording called `22:30.mp4` would be
    /// taken for a protocol.
    pub fn file_name(&self) -> Option<OsString> {
        match self {
            Self::Camera(_) => None,
            Self::Url(url) => Some(OsString::from(url)),
            Self::File(path) => {
                let name = path.as_os_str();
                let mut prefixed = OsString::new();
                if has_colon(name) && path.exists() {
                    prefixed.push("file:");
                }
                prefixed.push(name);
                Some(prefixed)
            }
        }
    }
}

impl fmt::Display for Source {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Camera(index) => write!(formatter, "camera {index}"),
            Self::File(path) => write!(formatter, "{}", path.display()),
            Self::Url(url) => formatter.write_str(&mask(url)),
        }
    }
}

fn is_scheme(text: &str) -> bool {
    text.starts_with(|first: char| first.is_ascii_alphabetic())
        && text.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
}

fn has_colon(name: &OsStr) -> bool {
    name.as_encoded_bytes().contains(&b':')
}

/// The url with its user, password and secret query values replaced.
fn mask(url: &str) -> String {
    let Some((scheme, rest)) = url.split_once("://") else { return url.to_owned() };
    let (place, query) = rest.split_at(rest.find('?').unwrap_or(rest.len()));
    let authority_end = place.find(['/', '#']).unwrap_or(place.len());
    let authority = &place[..authority_end];
    let user_end = match authority.rfind('@') {
        Some(at) => Some(at),
        // A password with an unescaped slash ends the authority early: then what looks like the port is no number.
        None if has_odd_port(authority) => rest.rfind('@'),
        None => None,
    };
    let (kept, query) = match user_end {
        None => (place, query),
        Some(at) if at < place.len() => (&place[at..], query),
        Some(at) => (&rest[at..], ""),
    };
    let user = if user_end.is_some() { MASK } else { "" };
    format!("{scheme}://{user}{kept}{}", mask_query(query))
}

fn has_odd_port(authority: &str) -> bool {
    let port = match authority.rfind(']') {
        Some(bracket) => authority[bracket + 1..].strip_prefix(':'),
        None => authority.split_once(':').map(|(_, port)| port),
    };
    port.is_some_and(|port| !port.bytes().all(|byte| byte.is_ascii_digit()))
}

/// `?name=value&…` with the values of secret names replaced.
fn mask_query(query: &str) -> String {
    let parameters = query.split('&').map(|parameter| match parameter.split_once('=') {
        Some((name, value)) if is_secret(name) && !value.is_empty() => format!("{name}={MASK}"),
        _ => parameter.to_owned(),
    });
    parameters.collect::<Vec<_>>().join("&")
}

fn is_secret(name: &str) -> bool {
    let name = name.to_ascii_lowercase();
    SECRET_NAMES.iter().any(|secret| name.contains(secret))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(text: &str) -> String {
        Source::from_text(text).to_string()
    }

    #[test]
    fn a_scheme_makes_a_url_and_everything_else_is_a_file() {
        assert_eq!(Source::from_text("rtmp://host/live"), Source::Url("rtmp://host/live".into()));
        assert_eq!(Source::from_text("clips/a.mp4"), Source::File("clips/a.mp4".into()));
        assert_eq!(Source::from_text("22:30.mp4"), Source::File("22:30.mp4".into()));
        assert_eq!(Source::from_text("://x"), Source::File("://x".into()));
    }

    #[test]
    fn a_url_without_credentials_is_shown_as_it_is() {
        for url in ["rtmp://host:1935/live/cam@1", "rtsp://[::1]:554/a", "http://host/a.m3u8?start=3&x"] {
            assert_eq!(shown(url), url);
        }
    }

    #[test]
    fn user_and_password_are_masked() {
        assert_eq!(shown("rtsp://admin:hunter2@10.0.0.7:554/1"), "rtsp://***@10.0.0.7:554/1");
        assert_eq!(shown("rtsp://admin@host/1"), "rtsp://***@host/1");
        assert_eq!(shown("rtsp://admin:p@ss@host/1"), "rtsp://***@host/1");
        assert_eq!(shown("rtsp://admin:hun/ter2@host/1"), "rtsp://***@host/1");
        assert_eq!(shown("rtsp://admin:hun?ter2@host/1"), "rtsp://***@host/1");
    }

    #[test]
    fn secret_query_values_are_masked() {
        assert_eq!(shown("rtmp://h/live?token=abc&start=3"), "rtmp://h/live?token=***&start=3");
        assert_eq!(shown("http://u:p@h/x?Stream_Key=1&sig=2"), "http://***@h/x?Stream_Key=***&sig=***");
    }

    #[test]
    fn a_camera_is_shown_by_its_index() {
        assert_eq!(Source::Camera(2).to_string(), "camera 2");
    }

    #[test]
    fn an_existing_file_with_a_colon_is_no_protocol() {
        let directory = std::env::temp_dir().join(format!("dwebsocket-video-{}", std::process::id()));
        std::fs::create_dir_all(&directory).unwrap();
        let path = directory.join("22:30.mp4");
        std::fs::write(&path, b"").unwrap();
        let mut expected = OsString::from("file:");
        expected.push(&path);
        assert_eq!(Source::File(path).file_name(), Some(expected));
        assert_eq!(Source::from_text("concat:a|b").file_name(), Some("concat:a|b".into()));
        std::fs::remove_dir_all(&directory).unwrap();
    }
}
