//! Tests of `server`: a small application in Rust on plain threads, and clients that send literal bytes.

mod bodies;
mod client;
mod draining;
mod faults;
mod framing;
mod limits;
mod listening;
mod notices;
mod proxy;
mod requests;
mod responses;
mod site;
mod stats;
mod stopping;
mod volume;
mod websockets;
mod workers;
