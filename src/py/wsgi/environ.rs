//! The environ of PEP 3333.

use std::{collections::HashMap, net::SocketAddr};

use http::{HeaderMap, HeaderName, Method, request::Parts};
use pyo3::{
    intern,
    prelude::*,
    sync::PyOnceLock,
    types::{PyDict, PyMapping, PyString},
};

use super::file_wrapper::FileWrapper;
use crate::server::{Proxied, cgi};

/// The entries that are the same for every request.
#[derive(Debug)]
pub(in crate::py) struct Template {
    entries: Py<PyDict>,
    /// Whether the entries name the server (then its address does not).
    names_server: bool,
}

impl Template {
    /// `base` wins over what this module would say itself, but not over what a request says.
    ///
    /// # Errors
    /// `base` cannot be read.
    pub(in crate::py) fn new(py: Python<'_>, base: Option<&Bound<'_, PyMapping>>) -> PyResult<Self> {
        let entries = PyDict::new(py);
        entries.set_item("SCRIPT_NAME", "")?;
        entries.set_item("GATEWAY_INTERFACE", "CGI/1.1")?;
        entries.set_item("wsgi.version", (1, 0))?;
        entries.set_item("wsgi.url_scheme", "http")?;
        entries.set_item("wsgi.multithread", true)?;
        entries.set_item("wsgi.multiprocess", false)?;
        entries.set_item("wsgi.run_once", false)?;
        entries.set_item("wsgi.input_terminated", true)?;
        entries.set_item("wsgi.file_wrapper", py.get_type::<FileWrapper>())?;
        if let Some(base) = base {
            entries.update(base)?;
        }
        let names_server = entries.contains("SERVER_NAME")? && entries.contains("SERVER_PORT")?;
        Ok(Self { entries: entries.unbind(), names_server })
    }

    /// Visits what the garbage collector must know of.
    pub(in crate::py) fn traverse(&self, visit: &pyo3::PyVisit<'_>) -> Result<(), pyo3::PyTraverseError> {
        visit.call(&self.entries)
    }

    /// The environ of one request, without its body and without an upgrade. None: the target names no path
    /// (`CONNECT host:port`).
    ///
    /// # Errors
    /// `sys.stderr` cannot be found, or memory is short.
    pub(super) fn environ<'py>(
        &self,
        py: Python<'py>,
        head: &Parts,
        asked: &Asked,
        peer: Option<SocketAddr>,
        local: Option<SocketAddr>,
    ) -> PyResult<Option<Bound<'py, PyDict>>> {
        let Some(path) = cgi::path(&head.uri) else { return Ok(None) };
        let environ = self.entries.bind(py).copy()?;
        environ.set_item(intern!(py, "REQUEST_METHOD"), head.method.as_str())?;
        environ.set_item(intern!(py, "PATH_INFO"), latin1(py, &path))?;
        let query = head.uri.query().unwrap_or_default();
        environ.set_item(intern!(py, "QUERY_STRING"), latin1(py, query.as_bytes()))?;
        let target = latin1(py, asked.target.as_bytes());
        environ.set_item(intern!(py, "REQUEST_URI"), &target)?;
        environ.set_item(intern!(py, "RAW_URI"), &target)?;
        let protocol = if head.version == http::Version::HTTP_10 { "HTTP/1.0" } else { "HTTP/1.1" };
        environ.set_item(intern!(py, "SERVER_PROTOCOL"), protocol)?;
        let errors = py.import(intern!(py, "sys"))?.getattr(intern!(py, "stderr"))?;
        environ.set_item(intern!(py, "wsgi.errors"), errors)?;
        self.set_addresses(&environ, peer, local)?;
        if let Some(proxied) = head.extensions.get::<Proxied>() {
            set_proxied(&environ, proxied)?;
        }
        set_headers(&environ, &head.headers)?;
        if let Some(authority) = head.uri.authority() {
            // RFC 9112 section 3.2.2: the authority of an absolute target replaces the Host field.
            environ.set_item(intern!(py, "HTTP_HOST"), latin1(py, authority.as_str().as_bytes()))?;
        }
        Ok(Some(environ))
    }

    fn set_addresses(
        &self,
        environ: &Bound<'_, PyDict>,
        peer: Option<SocketAddr>,
        local: Option<SocketAddr>,
    ) -> PyResult<()> {
        let py = environ.py();
        if !self.names_server {
            // PEP 3333 wants both to be there and not empty, over a Unix socket too.
            let (name, port) =
                local.map_or_else(|| ("localhost".to_owned(), 80), |at| (at.ip().to_string(), at.port()));
            environ.set_item(intern!(py, "SERVER_NAME"), name)?;
            environ.set_item(intern!(py, "SERVER_PORT"), port.to_string())?;
        }
        let address = peer.map(|peer| peer.ip().to_string()).unwrap_or_default();
        environ.set_item(intern!(py, "REMOTE_ADDR"), address)?;
        let port = peer.map(|peer| peer.port().to_string()).unwrap_or_default();
        environ.set_item(intern!(py, "REMOTE_PORT"), port)
    }
}

/// What gunicorn tells of a connection that a proxy has passed on, and the proxy's own address.
fn set_proxied(environ: &Bound<'_, PyDict>, proxied: &Proxied) -> PyResult<()> {
    let destination = proxied.destination;
    environ.set_item("PROXY_PROTOCOL", if destination.is_ipv4() { "TCP4" } else { "TCP6" })?;
    environ.set_item("PROXY_ADDR", destination.ip().to_string())?;
    environ.set_item("PROXY_PORT", destination.port().to_string())?;
    let proxy = proxied.proxy.map(|proxy| proxy.ip().to_string()).unwrap_or_default();
    environ.set_item("dwebsocket.proxy_address", proxy)
}

/// A "native string" of PEP 3333: each byte is the character of the same number.
fn latin1<'py>(py: Python<'py>, bytes: &[u8]) -> Bound<'py, PyString> {
    match std::str::from_utf8(bytes) {
        Ok(text) if text.is_ascii() => PyString::new(py, text),
        _ => PyString::new(py, &bytes.iter().map(|&byte| char::from(byte)).collect::<String>()),
    }
}

fn set_headers(environ: &Bound<'_, PyDict>, headers: &HeaderMap) -> PyResult<()> {
    let py = environ.py();
    let known = known_keys(py);
    cgi::fields(headers).try_for_each(|(name, value)| {
        let value = latin1(py, &value);
        match known.get(name) {
            Some(key) => environ.set_item(key, value),
            None => environ.set_item(cgi::variable(name), value),
        }
    })
}

/// The keys of the fields that most requests have, made once.
fn known_keys(py: Python<'_>) -> &'static HashMap<HeaderName, Py<PyString>> {
    static KEYS: PyOnceLock<HashMap<HeaderName, Py<PyString>>> = PyOnceLock::new();
    const NAMES: [&str; 34] = [
        "accept",
        "accept-encoding",
        "accept-language",
        "authorization",
        "cache-control",
        "connection",
        "content-length",
        "content-type",
        "cookie",
        "dnt",
        "expect",
        "forwarded",
        "host",
        "if-modified-since",
        "if-none-match",
        "origin",
        "pragma",
        "priority",
        "range",
        "referer",
        "sec-fetch-dest",
        "sec-fetch-mode",
        "sec-fetch-site",
        "sec-websocket-extensions",
        "sec-websocket-key",
        "sec-websocket-protocol",
        "sec-websocket-version",
        "transfer-encoding",
        "upgrade",
        "upgrade-insecure-requests",
        "user-agent",
        "x-csrftoken",
        "x-forwarded-for",
        "x-forwarded-proto",
    ];
    KEYS.get_or_init(py, || {
        let names = NAMES.map(HeaderName::from_static);
        names
            .map(|name| (name.clone(), PyString::intern(py, &cgi::variable(&name)).unbind()))
            .into_iter()
            .collect()
    })
}

/// What a request asks for. Unlike its head it holds on to nothing else.
#[derive(Debug)]
pub(super) struct Asked {
    method: Method,
    target: String,
}

impl Asked {
    pub(super) fn new(head: &Parts) -> Self {
        Self { method: head.method.clone(), target: head.uri.to_string() }
    }

    /// `GET /path` for logs.
    pub(super) fn line(&self) -> String {
        format!("{} {}", self.method, self.target)
    }
}
