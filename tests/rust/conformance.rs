//! The tables of `tests/conformance/cases`, whose README tells how to read them.

mod frames;
mod handshake;
mod table;
