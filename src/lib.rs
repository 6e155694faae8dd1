//! WebSockets for ordinary synchronous Django views.
//!
//! | module | what it is | may use |
//! |---|---|---|
//! | [`wire`] | RFC 6455 and RFC 7692 over byte slices, without I/O, clock or threads | `config`, `error` |
//! | [`connection`] | a live WebSocket: mailboxes and the one task that serves it | `wire` |
//! | [`rooms`] | connections that receive the same messages | `connection`, `wire` |
//! | [`server`] | listener, HTTP/1.1 and the threads that run views | `connection`, `wire` |
//! | `py` | the only place that names `pyo3` | everything |
//!
//! Build with `--no-default-features` to leave Python out.

pub mod config;
pub mod connection;
pub mod error;
#[cfg(feature = "python")]
mod py;
#[cfg(not(loom))]
pub mod rooms;
#[cfg(not(loom))]
pub mod server;
pub mod wire;
