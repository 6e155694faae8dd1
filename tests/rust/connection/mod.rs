//! Tests of `connection`.

mod closing;
mod support;
