//! Tests of `wire`.

mod mask;
mod utf8;
