//! RFC 6455 over byte slices: no tokio, no hyper, no clock, no threads.

pub mod close;
pub mod frame;
pub mod handshake;
pub mod mask;
pub mod message;
pub mod protocol;
pub mod utf8;
