//! The load against servers that are honest and servers that are not.
#![allow(clippy::unwrap_used, missing_docs)]

mod answers;
mod crowds;
mod server;
mod video;
