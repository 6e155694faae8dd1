//! The load of the side-by-side benchmark: WebSocket clients on one thread, which check everything they receive.
//!
//! | module | what it is |
//! |---|---|
//! | [`frame`] | frames as a client sends and receives them |
//! | [`chunk`] | the same of an HTTP response in chunks |
//! | [`payload`] | the messages that are sent, and what has to come back |
//! | [`client`] | one WebSocket on a socket that does not block |
//! | [`engine`] | many of them on one poll |
//! | [`picture`] | messages that are pictures |
//! | [`echo`], [`handshakes`], [`broadcast`], [`slow`], [`idle`], [`video`] | the cases |
//! | [`report`] | what a case measured |
//!
//! A wrong, missing, doubled or reordered answer fails the whole case: a figure is only given for work that was done.

pub mod broadcast;
pub mod chunk;
pub mod client;
pub mod echo;
pub mod engine;
pub mod error;
pub mod frame;
pub mod handshakes;
pub mod idle;
pub mod payload;
pub mod picture;
pub mod report;
pub mod slow;
pub mod video;
