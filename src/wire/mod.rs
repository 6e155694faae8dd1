//! RFC 6455 and RFC 7692 over byte slices: no tokio, no hyper, no clock, no threads.

pub mod close;
pub mod deflate;
pub mod frame;
pub mod handshake;
pub mod mask;
pub mod message;
pub mod offer;
pub mod protocol;
pub mod utf8;
