//! Video for dwebsocket-rs.
