//! HTTP/1.1 on hyper and tokio, and the threads that run views.

pub mod app;
