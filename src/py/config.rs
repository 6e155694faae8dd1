//! The `config` of `Server`: settings by name, checked, as the core wants them.

use std::{net::IpAddr, sync::Arc, time::Duration};

use pyo3::{
    exceptions::{PyTypeError, PyValueError},
    prelude::*,
    types::{PyBool, PyDict, PyFloat, PyInt, PyMapping, PyString},
};

use super::tls::Tls;
use crate::{
    config::{CompressionConfig, ConnectionConfig, ServerConfig, SlowClient},
    server::{
        self, Preface,
        proxy::{Network, ProxyProtocol, Versions},
    },
};

/// Far beyond any use, and well within what clocks can add.
const MAX_SECONDS: f64 = 1e9;

/// What `Server` was told.
#[derive(Debug)]
pub(super) struct Settings {
    /// Limits and timeouts of the core.
    pub(super) server: ServerConfig,
    /// Threads of the tokio runtime, should this server be the one that builds it.
    pub(super) io_threads: usize,
    /// What each connection begins with.
    pub(super) preface: Preface,
}

impl Settings {
    /// Reads a mapping of names to values; what it does not name has its default.
    ///
    /// # Errors
    /// `TypeError` for a name that does not exist or a value of the wrong type, `ValueError` for a value out of bounds;
    /// each names the setting.
    pub(super) fn parse(config: &Bound<'_, PyMapping>) -> PyResult<Self> {
        let values = PyDict::new(config.py());
        values.update(config)?;
        let mut settings =
            Self { server: ServerConfig::default(), io_threads: 1, preface: Preface::default() };
        let mut connection = ConnectionConfig::default();
        for (name, value) in values {
            let name: String = name.extract()?;
            let value = Value { name: &name, value };
            if !settings.set(&value)? && !set_connection(&mut connection, &value)? {
                return Err(PyTypeError::new_err(format!("there is no setting {name:?}")));
            }
        }
        settings.server.connection = Arc::new(connection);
        Ok(settings)
    }

    /// False: the name is not one of the server's.
    fn set(&mut self, value: &Value<'_, '_>) -> PyResult<bool> {
        let server = &mut self.server;
        match value.name {
            "http_threads" => server.http_threads = value.count()?,
            "max_connections" => server.max_websocket_connections = value.count()?,
            "handshake_threads" => server.handshake_threads = value.count()?,
            "max_tcp_connections" => server.max_tcp_connections = value.optional_count()?,
            "max_connections_per_address" => server.max_connections_per_address = value.optional_count()?,
            "max_request_line_bytes" => server.max_request_line_bytes = value.count()?,
            "max_header_bytes" => server.max_header_bytes = value.count()?,
            "max_headers" => server.max_headers = value.count()?,
            "max_body_bytes" => server.max_body_bytes = value.optional_count()?,
            "max_header_field_bytes" => server.max_header_field_bytes = value.optional_count()?,
            "keep_alive" => server.keep_alive = value.flag()?,
            "header_timeout_seconds" => server.header_timeout = value.seconds()?,
            "body_timeout_seconds" => server.body_timeout = value.seconds()?,
            "write_timeout_seconds" => server.write_timeout = value.seconds()?,
            "thread_linger_seconds" => server.thread_linger = value.seconds_or_zero()?,
            "io_threads" => self.io_threads = value.count()?,
            "proxy_protocol" => self.preface.proxy = value.proxy_protocol()?,
            "tls" => self.preface.tls = value.tls()?,
            _ => return Ok(false),
        }
        Ok(true)
    }
}

/// False: the name is not one of a connection's.
fn set_connection(connection: &mut ConnectionConfig, value: &Value<'_, '_>) -> PyResult<bool> {
    match value.name {
        "max_message_bytes" => connection.max_message_bytes = value.count()?,
        "inbox_messages" => connection.inbox_messages = value.count()?,
        "inbox_bytes" => connection.inbox_bytes = value.count()?,
        "outbox_bytes" => connection.outbox_bytes = value.count()?,
        "send_timeout_seconds" => connection.send_timeout = value.seconds()?,
        "slow_client" => connection.slow_client = value.slow_client()?,
        "ping_interval_seconds" => connection.ping_interval = value.interval()?,
        "ping_timeout_seconds" => connection.ping_timeout = value.seconds()?,
        "close_timeout_seconds" => connection.close_timeout = value.seconds()?,
        _ => return set_compression(&mut connection.compression, value),
    }
    Ok(true)
}

/// False: the name is not one of compression's.
fn set_compression(compression: &mut CompressionConfig, value: &Value<'_, '_>) -> PyResult<bool> {
    match value.name {
        "compression" => compression.enabled = value.flag()?,
        "compression_threshold_bytes" => compression.threshold_bytes = value.count()?,
        "compression_context_takeover" => compression.context_takeover = value.flag()?,
        "compression_window_bits" => compression.window_bits = value.window_bits()?,
        _ => return Ok(false),
    }
    Ok(true)
}

struct Value<'a, 'py> {
    name: &'a str,
    value: Bound<'py, PyAny>,
}

impl Value<'_, '_> {
    /// A whole number of at least 1.
    fn count(&self) -> PyResult<usize> {
        if !self.value.is_instance_of::<PyInt>() || self.value.is_instance_of::<PyBool>() {
            return Err(self.wrong_type("a whole number"));
        }
        match self.value.extract::<usize>() {
            Ok(0) | Err(_) => Err(self.out_of_bounds("a whole number of at least 1")),
            Ok(number) => Ok(number),
        }
    }

    /// A whole number of at least 1, or None.
    fn optional_count(&self) -> PyResult<Option<usize>> {
        if self.value.is_none() { Ok(None) } else { self.count().map(Some) }
    }

    /// True or False, or the number that equals it.
    fn flag(&self) -> PyResult<bool> {
        let number = self.value.is_instance_of::<PyInt>() || self.value.is_instance_of::<PyFloat>();
        match if number { self.value.extract::<f64>()? } else { f64::NAN } {
            0.0 => Ok(false),
            1.0 => Ok(true),
            _ => Err(self.wrong_type("True or False")),
        }
    }

    /// 9 to 15.
    fn window_bits(&self) -> PyResult<u8> {
        let bits = u8::try_from(self.count()?).ok().filter(|bits| (9..=15).contains(bits));
        bits.ok_or_else(|| self.out_of_bounds("a whole number from 9 to 15"))
    }

    /// Seconds above 0.
    fn seconds(&self) -> PyResult<Duration> {
        self.seconds_or_zero()?.some_time().ok_or_else(|| self.out_of_bounds("a number of seconds above 0"))
    }

    /// Seconds, 0 allowed.
    fn seconds_or_zero(&self) -> PyResult<Duration> {
        let number = self.value.is_instance_of::<PyInt>() || self.value.is_instance_of::<PyFloat>();
        if !number || self.value.is_instance_of::<PyBool>() {
            return Err(self.wrong_type("a number of seconds"));
        }
        let seconds: f64 = self.value.extract()?;
        if !(0.0..=MAX_SECONDS).contains(&seconds) {
            return Err(self.out_of_bounds("a number of seconds of at least 0"));
        }
        Ok(Duration::from_secs_f64(seconds))
    }

    /// Seconds, where None and 0 mean never.
    fn interval(&self) -> PyResult<Option<Duration>> {
        if self.value.is_none() {
            return Ok(None);
        }
        Ok(self.seconds_or_zero()?.some_time())
    }

    /// None, or a version and the networks of the proxies, for which None stands for all: `("v1", [("127.0.0.1", 32)])`.
    fn proxy_protocol(&self) -> PyResult<Option<ProxyProtocol>> {
        if self.value.is_none() {
            return Ok(None);
        }
        let Ok((version, proxies)) = self.value.extract::<(String, Option<Vec<(String, u8)>>)>() else {
            return Err(self.wrong_type("None, or a version and networks"));
        };
        let versions = match version.as_str() {
            "v1" => Versions::One,
            "v2" => Versions::Two,
            "auto" => Versions::Both,
            _ => return Err(self.out_of_bounds("of the version 'v1', 'v2' or 'auto'")),
        };
        let network = |(address, prefix): (String, u8)| {
            address.parse().ok().map(|address: IpAddr| Network { address, prefix })
        };
        let proxies = proxies.map(|proxies| proxies.into_iter().map(network).collect::<Option<Vec<_>>>());
        match proxies {
            Some(None) => Err(self.out_of_bounds("a version and addresses with their prefixes")),
            proxies => Ok(Some(ProxyProtocol { versions, proxies: proxies.flatten() })),
        }
    }

    fn tls(&self) -> PyResult<Option<server::Tls>> {
        if self.value.is_none() {
            return Ok(None);
        }
        let Ok(tls) = self.value.cast::<Tls>() else { return Err(self.wrong_type("a Tls or None")) };
        Ok(Some(tls.get().core.clone()))
    }

    fn slow_client(&self) -> PyResult<SlowClient> {
        let Ok(word) = self.value.cast::<PyString>() else {
            return Err(self.wrong_type("'close' or 'drop_oldest'"));
        };
        match word.to_cow()?.as_ref() {
            "close" => Ok(SlowClient::Close),
            "drop_oldest" => Ok(SlowClient::DropOldest),
            _ => Err(self.out_of_bounds("'close' or 'drop_oldest'")),
        }
    }

    fn wrong_type(&self, demanded: &str) -> PyErr {
        PyTypeError::new_err(self.message(demanded))
    }

    fn out_of_bounds(&self, demanded: &str) -> PyErr {
        PyValueError::new_err(self.message(demanded))
    }

    fn message(&self, demanded: &str) -> String {
        format!("{} must be {demanded}, not {:?}", self.name, self.value)
    }
}

/// A duration that is not zero.
trait SomeTime {
    fn some_time(self) -> Option<Duration>;
}

impl SomeTime for Duration {
    fn some_time(self) -> Option<Duration> {
        (!self.is_zero()).then_some(self)
    }
}
