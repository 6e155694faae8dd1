//! Connections that receive the same messages.

mod newest;

pub use newest::{NewestRoom, Subscription};
