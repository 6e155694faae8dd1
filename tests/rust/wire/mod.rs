//! Tests of `wire`.

mod handshake;
mod mask;
mod utf8;
