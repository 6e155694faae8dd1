//! Tests of `connection`.

mod adopt;
mod closing;
mod compression;
mod endings;
mod mailbox;
mod reads;
mod receiving;
mod sending;
mod slow_clients;
mod stack;
mod stats;
pub(crate) mod support;
mod timers;
mod turnstile;
