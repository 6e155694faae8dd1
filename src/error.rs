//! What can go wrong below Python.

/// A frame or message of the peer that RFC 6455 or RFC 7692 forbids.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProtocolError {
    /// A client must mask every frame (section 5.1).
    #[error("the client sent a frame that is not masked")]
    UnmaskedFrame,
    /// A reserved bit is set that no extension in use gives a meaning on this frame (section 5.2).
    #[error("the client sent a frame with a reserved bit set that has no agreed meaning")]
    ReservedBits,
    /// The opcode is 3 to 7 or 11 to 15 (section 5.2).
    #[error("the client sent a frame with the reserved opcode {opcode}")]
    ReservedOpcode {
        /// The opcode.
        opcode: u8,
    },
    /// The length of a payload takes more bytes than it needs (section 5.2).
    #[error("the client encoded the length of a frame in more bytes than it needs")]
    NonMinimalLength,
    /// The most significant bit of a 64-bit length is set (section 5.2).
    #[error("the client announced a frame of 2^63 bytes or more")]
    LengthOutOfRange,
    /// A control frame without FIN (section 5.5).
    #[error("the client sent a control frame in fragments")]
    FragmentedControlFrame,
    /// A control frame with a payload of more than 125 bytes (section 5.5).
    #[error("the client sent a control frame of more than 125 bytes")]
    ControlFrameTooBig,
    /// A continuation frame while no message is unfinished (section 5.4).
    #[error("the client sent a continuation frame, but no message has begun")]
    UnexpectedContinuation,
    /// A text or binary frame while a message is unfinished (section 5.4).
    #[error("the client began a message before the last fragment of the one before it")]
    UnfinishedMessage,
    /// A message, or the frame that announces it, exceeds the limit.
    #[error("the client sent a message of more than {limit} bytes")]
    MessageTooBig {
        /// The limit that was exceeded, in bytes.
        limit: usize,
    },
    /// A text message or close reason is not UTF-8 (section 8.1).
    #[error("the client sent text that is not UTF-8")]
    InvalidUtf8,
    /// A compressed message is not what RFC 7692 section 7.2.1 makes: it is no DEFLATE, or it is not whole.
    #[error("the client sent compressed data that cannot be inflated")]
    InvalidDeflate,
    /// A Close whose payload is a single byte (section 5.5.1).
    #[error("the client sent a Close with half a code")]
    IncompleteCloseCode,
    /// A Close with a code that must not be sent (section 7.4).
    #[error("the client sent a Close with the code {code}, which nobody may send")]
    InvalidCloseCode {
        /// The code.
        code: u16,
    },
}

/// A handshake that cannot become a WebSocket; each is answered with an HTTP status.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum HandshakeError {
    /// The method is not GET: 405.
    #[error("a WebSocket handshake must be a GET request")]
    MethodNotAllowed,
    /// The request is older than HTTP/1.1.
    #[error("a WebSocket handshake needs HTTP/1.1 or later")]
    HttpVersionTooOld,
    /// There is no `Host`, or more than one.
    #[error("a WebSocket handshake must have one Host header")]
    InvalidHost,
    /// `Connection` does not contain `Upgrade`; a proxy that does not pass it on is the usual cause.
    #[error("the Connection header must contain Upgrade; a proxy in between may have removed it")]
    MissingConnectionUpgrade,
    /// `Sec-WebSocket-Version` is missing or not 13: 426 with the version that works.
    #[error("Sec-WebSocket-Version must be 13")]
    UnsupportedVersion,
    /// `Sec-WebSocket-Key` is missing, there more than once, or not 16 bytes in base64.
    #[error("a WebSocket handshake must have one Sec-WebSocket-Key of 16 bytes in base64")]
    InvalidKey,
    /// `Sec-WebSocket-Protocol` names what is not a token.
    #[error("Sec-WebSocket-Protocol must be a list of tokens")]
    InvalidSubprotocol,
    /// `Sec-WebSocket-Protocol` names a subprotocol twice.
    #[error("Sec-WebSocket-Protocol must not name a subprotocol twice")]
    RepeatedSubprotocol,
    /// `Sec-WebSocket-Extensions` is no list of extensions.
    #[error("Sec-WebSocket-Extensions must be a list of extensions and their parameters")]
    InvalidExtensions,
    /// The server chose a subprotocol that the client did not offer: 500, for the mistake is the server's.
    #[error("the subprotocol {subprotocol:?} was not offered by the client")]
    SubprotocolNotOffered {
        /// The subprotocol that was chosen.
        subprotocol: String,
    },
}

/// Why nothing was received.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ReceiveError {
    /// The time given ran out.
    #[error("no message arrived in time")]
    TimedOut,
    /// The connection is closed or lost, and no message is left.
    #[error("the WebSocket is closed ({0})")]
    Closed(CloseReason),
}

/// Why a message was not queued.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SendError {
    /// The outbox stayed full for the send timeout, or another sender found it full; the connection closes with 1013.
    #[error("the client reads too slowly")]
    SlowClient,
    /// The connection is closed, closing or lost.
    #[error("the WebSocket is closed ({0})")]
    Closed(CloseReason),
}

/// Why a socket was not adopted.
#[derive(Debug, thiserror::Error)]
pub enum AdoptError {
    /// As many as are allowed are open: 503.
    #[error("too many WebSockets are open")]
    TooMany,
    /// The operating system refused.
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// Why TLS cannot be spoken with what is there for it.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// A file is not what its PEM sections say.
    #[error("the {part} is no PEM: {error}")]
    Pem {
        /// Which one.
        part: TlsPart,
        /// What is wrong.
        error: tokio_rustls::rustls::pki_types::pem::Error,
    },
    /// There is no section of its kind.
    #[error("there is no {0} in PEM")]
    Missing(TlsPart),
    /// The private key wants a password, which nobody is there to tell.
    #[error("the private key is encrypted; a key without a password is needed")]
    EncryptedKey,
    /// The private key is that of another certificate.
    #[error("the private key does not belong to the certificate")]
    ForeignKey,
    /// The certificate or the private key is of no kind that TLS can use.
    #[error("the certificate or the private key cannot be used: {0}")]
    Unusable(tokio_rustls::rustls::Error),
    /// A certificate cannot be one of an authority.
    #[error("the certificate of an authority cannot be used: {0}")]
    Authority(String),
}

/// What TLS needs of files.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum TlsPart {
    /// The certificate and those that lead from it to an authority.
    Certificate,
    /// Its private key.
    Key,
    /// The certificates of the authorities that vouch for clients.
    Authorities,
}

impl std::fmt::Display for TlsPart {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str(match self {
            Self::Certificate => "certificate",
            Self::Key => "private key",
            Self::Authorities => "certificate of an authority",
        })
    }
}

/// How a connection ended (RFC 6455 section 7.1.5 and 7.1.6) and who ended it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct CloseReason {
    /// The close code; 1005 when the peer's Close had none, 1006 when there was no Close.
    pub code: u16,
    /// The reason given with the code.
    pub reason: String,
    /// Who ended it.
    pub by: ClosedBy,
}

/// What ended a connection, where its [`CloseReason`], which is what the peer is told, does not say. For the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Fault {
    /// The peer broke a rule, or the limit of a message.
    Violation(ProtocolError),
    /// The peer answered no Ping in time.
    Silence,
    /// The driver panicked.
    Panic,
}

/// Who ended a connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ClosedBy {
    /// The peer sent a Close.
    Peer,
    /// This side sent a Close first.
    Us,
    /// End of file, reset or an unanswered Ping: no Close was seen.
    Lost,
}

impl std::fmt::Display for CloseReason {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}", self.code)?;
        if self.reason.is_empty() { Ok(()) } else { write!(formatter, " {}", self.reason) }
    }
}
