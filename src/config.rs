//! Limits and timeouts. Every field is a bound that something outside the process could otherwise exceed.

use std::time::Duration;

/// What happens to a client whose outbox is full when somebody who does not own the socket sends to it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum SlowClient {
    /// Close the connection with 1013 (Try Again Later).
    #[default]
    Close,
    /// Drop the oldest messages that have not been written yet.
    DropOldest,
}

/// Compression of messages (permessage-deflate, RFC 7692) with the clients that offer it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CompressionConfig {
    /// Whether views that say nothing about it compress. Off by default: it costs time for each message.
    pub enabled: bool,
    /// Payloads of fewer bytes are sent as they are: they would hardly get smaller.
    pub threshold_bytes: usize,
    /// Whether a message may refer to those before it. Short messages get far smaller then, but each connection keeps a
    /// window each way, and a message to many clients is compressed for each of them.
    pub context_takeover: bool,
    /// How far back, 9 to 15 as a power of two of bytes: with context takeover what a connection keeps each way. A client
    /// that does not offer to use a smaller window than 15 may still make its own side 32 KiB.
    pub window_bits: u8,
}

impl Default for CompressionConfig {
    fn default() -> Self {
        Self { enabled: false, threshold_bytes: 1024, context_takeover: false, window_bits: 15 }
    }
}

/// Limits and timeouts of one connection.
#[derive(Clone, Debug)]
pub struct ConnectionConfig {
    /// Largest message taken from the peer, in bytes after reassembly; a larger one closes with 1009.
    pub max_message_bytes: usize,
    /// Messages that may wait for the view; when so many wait, the socket is not read.
    pub inbox_messages: usize,
    /// Bytes that may wait for the view (one message may exceed it alone).
    pub inbox_bytes: usize,
    /// Encoded bytes that may wait for the peer (one message may exceed it alone).
    pub outbox_bytes: usize,
    /// How long the owning view waits for room in the outbox.
    pub send_timeout: Duration,
    /// What happens when another sender finds the outbox full.
    pub slow_client: SlowClient,
    /// Pause between Pings; `None` sends none.
    pub ping_interval: Option<Duration>,
    /// How long a Ping may stay unanswered before the peer counts as lost.
    pub ping_timeout: Duration,
    /// How long the peer's Close is awaited after ours.
    pub close_timeout: Duration,
    /// Compression of messages.
    pub compression: CompressionConfig,
}

impl Default for ConnectionConfig {
    fn default() -> Self {
        Self {
            max_message_bytes: 16 << 20,
            inbox_messages: 1024,
            inbox_bytes: 4 << 20,
            outbox_bytes: 4 << 20,
            send_timeout: Duration::from_secs(30),
            slow_client: SlowClient::Close,
            ping_interval: Some(Duration::from_secs(20)),
            ping_timeout: Duration::from_secs(20),
            close_timeout: Duration::from_secs(5),
            compression: CompressionConfig::default(),
        }
    }
}

/// Limits and timeouts of the server.
#[derive(Clone, Debug)]
pub struct ServerConfig {
    /// Threads that run HTTP views at the same time.
    pub http_threads: usize,
    /// HTTP requests that may wait for a thread; the next one gets 503.
    pub http_waiting: usize,
    /// WebSockets (and the threads of their views) at the same time; the next handshake gets 503.
    pub max_websocket_connections: usize,
    /// Handshakes whose view has not accepted yet that may run at the same time; further ones wait their turn.
    pub handshake_threads: usize,
    /// TCP connections, HTTP and WebSocket together, that may be open at the same time; the next one gets 503. `None`:
    /// 2,000 more than WebSockets.
    pub max_tcp_connections: Option<usize>,
    /// TCP connections of one address that may be open at the same time; the next one gets 503. `None`: no limit.
    pub max_connections_per_address: Option<usize>,
    /// Bytes of a request line without its end; a longer one gets 414.
    pub max_request_line_bytes: usize,
    /// Bytes of a request's header section; a larger one gets 431.
    pub max_header_bytes: usize,
    /// Fields of a request's header section; more get 431.
    pub max_headers: usize,
    /// Bytes of a request's body; a larger one gets 413. `None`: no limit, since a body takes no memory of the server.
    pub max_body_bytes: Option<usize>,
    /// Bytes of one header field with its line end; one that is larger gets 431. `None`: only the section is limited.
    pub max_header_field_bytes: Option<usize>,
    /// Whether a connection serves more than one request.
    pub keep_alive: bool,
    /// Time for a whole header section to arrive, and for an idle keep-alive connection.
    pub header_timeout: Duration,
    /// Time between two pieces of a request body that the application is waiting for.
    pub body_timeout: Duration,
    /// Time for the client to take a piece of a response.
    pub write_timeout: Duration,
    /// How long an idle thread is kept for reuse.
    pub thread_linger: Duration,
    /// Limits of each WebSocket.
    pub connection: std::sync::Arc<ConnectionConfig>,
}

impl Default for ServerConfig {
    fn default() -> Self {
        Self {
            http_threads: 64,
            http_waiting: 1024,
            max_websocket_connections: 10_000,
            handshake_threads: 16,
            max_tcp_connections: None,
            max_connections_per_address: None,
            max_request_line_bytes: 8190,
            max_header_bytes: 64 << 10,
            max_headers: 100,
            max_body_bytes: None,
            max_header_field_bytes: None,
            keep_alive: true,
            header_timeout: Duration::from_secs(10),
            body_timeout: Duration::from_secs(60),
            write_timeout: Duration::from_secs(60),
            thread_linger: Duration::from_secs(10),
            connection: std::sync::Arc::default(),
        }
    }
}

impl ServerConfig {
    /// TCP connections that may be open at the same time.
    pub fn max_tcp_connections(&self) -> usize {
        self.max_tcp_connections.unwrap_or(self.max_websocket_connections.saturating_add(2000))
    }
}
