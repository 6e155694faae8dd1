//! Connections that receive the same messages.

mod room;

pub use room::{Room, Subscription};
