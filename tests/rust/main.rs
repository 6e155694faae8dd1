//! Tests of the core without Python; the modules mirror `src/`.
#![allow(clippy::unwrap_used, missing_docs)]

mod conformance;
mod connection;
mod groups;
mod properties;
mod rooms;
mod server;
mod wire;
