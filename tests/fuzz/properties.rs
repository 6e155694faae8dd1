//! What holds for any bytes whatever. The fuzz targets run these on what libFuzzer invents, the tests on the seeds and on
//! what proptest invents.

use std::{
    collections::HashSet,
    io::{self, Cursor, Read, Write},
};

use bytes::{Bytes, BytesMut};
use dwebsocket::{
    error::ProtocolError,
    server::{cgi, framing::Framing},
    wire::{
        close,
        deflate::{Deflater, Inflater},
        handshake::Handshake,
        message::{Kind, Message},
        offer::{Agreement, Terms},
        protocol::{Event, Protocol},
    },
};
use http::{HeaderMap, HeaderName, HeaderValue, Method, Uri, Version};
use tungstenite::{
    WebSocket,
    protocol::{Role, WebSocketConfig},
};

/// A property of any bytes: it panics where it does not hold.
pub type Property = fn(&[u8]);

/// All of them, by the names of the fuzz targets.
pub const ALL: [(&str, Property); 6] = [
    ("frame", frame),
    ("protocol", protocol),
    ("deflate", deflate),
    ("handshake", handshake),
    ("environ", environ),
    ("framing", framing),
];

/// Small, so that a fuzzer reaches it.
const LIMIT: usize = 1 << 12;

type Heard = (Vec<Event>, Option<ProtocolError>);

fn hear(mut protocol: Protocol, bytes: &[u8], size: usize) -> Heard {
    let mut input = BytesMut::new();
    let mut events = Vec::new();
    for piece in bytes.chunks(size.max(1)) {
        input.extend_from_slice(piece);
        loop {
            match protocol.receive(&mut input) {
                Ok(Some(event)) => events.push(event),
                Ok(None) => break,
                Err(error) => return (events, Some(error)),
            }
        }
    }
    (events, None)
}

/// The first byte, as the size of pieces, and the rest.
fn cut(data: &[u8]) -> (usize, &[u8]) {
    data.split_first().map_or((1, data), |(&size, rest)| (usize::from(size).max(1), rest))
}

/// The header of a frame is refused for the reasons of RFC 6455 section 5.2 and 5.5, read once more from the text.
pub fn frame(data: &[u8]) {
    let (_, error) = hear(Protocol::new(LIMIT), data, usize::MAX);
    let [first, second, rest @ ..] = data else {
        assert_eq!(error, None, "half a header");
        return;
    };
    let is_control = first & 0x08 != 0;
    let short = u64::from(second & 0x7F);
    let wide = |bytes: usize| {
        rest.get(..bytes).map(|bytes| bytes.iter().fold(0_u64, |sum, byte| sum << 8 | u64::from(*byte)))
    };
    let Some(length) = (match short {
        126 => wide(2),
        127 => wide(8),
        _ => Some(short),
    }) else {
        return;
    };
    let is_minimal = match short {
        126 => length > 125,
        127 => length > 0xFFFF,
        _ => true,
    };
    let forbidden = first & 0x70 != 0
        || matches!(first & 0x0F, 3..=7 | 11..)
        || second & 0x80 == 0
        || (is_control && (first & 0x80 == 0 || length > 125))
        || !is_minimal
        || length >> 63 != 0
        // Nothing has begun that could be continued.
        || matches!(first & 0x0F, 0)
        || (!is_control && length > LIMIT as u64);
    let header = 2 + [0, 2, 8][usize::from(short >= 126) + usize::from(short == 127)] + 4;
    if forbidden && data.len() >= header {
        assert!(error.is_some(), "{data:02x?} was not refused");
    }
    if let (false, Some(error)) = (forbidden, error) {
        // Then it is what follows the header that will not do.
        assert!(data.len() > header, "{data:02x?} was refused: {error}");
    }
}

/// Frames mean the same however they are cut, and the same to tungstenite, which refuses less.
pub fn protocol(data: &[u8]) {
    let (size, stream) = cut(data);
    let whole = hear(Protocol::new(LIMIT), stream, usize::MAX);
    assert_eq!(hear(Protocol::new(LIMIT), stream, size), whole);
    let (mut events, error) = whole;
    events.iter_mut().for_each(give_up_1014);
    let (theirs, failed) = hear_by_tungstenite(stream);
    let common = &theirs[..events.len().min(theirs.len())];
    assert_eq!(events, common);
    if error.is_none() {
        assert!(!failed, "tungstenite refuses what was taken");
        assert_eq!(events, theirs);
    }
}

/// tungstenite takes 1014, which IANA registered after RFC 6455 for gateways, for a mistake of the client.
fn give_up_1014(event: &mut Event) {
    if let Event::Close(Some(frame)) = event
        && frame.code == 1014
    {
        *frame = close::CloseFrame { code: 1002, reason: "Protocol violation".to_owned() };
    }
}

/// What tungstenite as a server hears, and whether it refused something.
fn hear_by_tungstenite(stream: &[u8]) -> (Vec<Event>, bool) {
    let config = WebSocketConfig::default().max_message_size(Some(LIMIT)).max_frame_size(Some(LIMIT));
    let socket = Socket(Cursor::new(stream));
    let mut peer = WebSocket::from_raw_socket(socket, Role::Server, Some(config));
    let mut events = Vec::new();
    loop {
        let message = match peer.read() {
            Ok(message) => message,
            Err(tungstenite::Error::Io(error)) if error.kind() == io::ErrorKind::WouldBlock => {
                return (events, false);
            }
            Err(tungstenite::Error::ConnectionClosed) => return (events, false),
            Err(_) => return (events, true),
        };
        events.push(match message {
            tungstenite::Message::Text(text) => {
                Event::Message(Message { kind: Kind::Text, payload: Bytes::from(text) })
            }
            tungstenite::Message::Binary(payload) => Event::Message(Message { kind: Kind::Binary, payload }),
            tungstenite::Message::Ping(payload) => Event::Ping(payload),
            tungstenite::Message::Pong(payload) => Event::Pong(payload),
            tungstenite::Message::Close(frame) => Event::Close(frame.map(|frame| close::CloseFrame {
                code: frame.code.into(),
                reason: frame.reason.to_string(),
            })),
            tungstenite::Message::Frame(_) => unreachable!("read() gives no frames"),
        });
    }
}

/// What the client says; what is answered goes nowhere.
struct Socket<'a>(Cursor<&'a [u8]>);

impl Read for Socket<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        match self.0.read(buffer)? {
            0 => Err(io::ErrorKind::WouldBlock.into()),
            count => Ok(count),
        }
    }
}

impl Write for Socket<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Whatever a client compresses, no message exceeds the limit, and cutting changes nothing; whatever is deflated is
/// inflated to the same.
pub fn deflate(data: &[u8]) {
    let [choice, size, stream @ ..] = data else { return };
    let agreement = Agreement {
        server_no_context_takeover: choice & 1 != 0,
        client_no_context_takeover: choice & 2 != 0,
        server_max_window_bits: Some(8 + (choice >> 2) % 8),
        client_max_window_bits: Some(8 + (choice >> 5) % 8),
    };
    let protocol = || Protocol::with_inflater(LIMIT, Inflater::new(agreement));
    let whole = hear(protocol(), stream, usize::MAX);
    for event in &whole.0 {
        if let Event::Message(message) = event {
            assert!(message.payload.len() <= LIMIT);
            assert!(message.kind == Kind::Binary || std::str::from_utf8(&message.payload).is_ok());
        }
    }
    // Which of two things that are wrong is found first depends on how much zlib was given at once.
    let (events, error) = hear(protocol(), stream, usize::from(*size));
    assert_eq!((events, error.is_some()), (whole.0, whole.1.is_some()));

    let payload = &stream[..stream.len().min(LIMIT)];
    let mut deflater = Deflater::new(2 + choice % 8, 8 + (choice >> 5) % 8);
    if let Some(deflated) = deflater.encode_message(Kind::Binary, payload, &[]) {
        let message = Message { kind: Kind::Binary, payload: Bytes::copy_from_slice(payload) };
        assert_eq!(
            hear(protocol(), &as_client(&deflated), usize::MAX),
            (vec![Event::Message(message)], None)
        );
    }
}

/// A frame of a server as a client would send it, with a mask of zeros.
fn as_client(frame: &[u8]) -> Vec<u8> {
    let header = 2 + [0, 2, 8][usize::from(frame[1] >= 126) + usize::from(frame[1] == 127)];
    let mut masked = frame[..header].to_vec();
    masked[1] |= 0x80;
    masked.extend_from_slice(&[0; 4]);
    masked.extend_from_slice(&frame[header..]);
    masked
}

/// Lines of `name: value` as a head; those that no parser of HTTP would let through are left out.
fn headers(lines: &[u8]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for line in lines.split(|&byte| byte == b'\n').take(64) {
        let Some(colon) = line.iter().position(|&byte| byte == b':') else { continue };
        let value = line[colon + 1..].trim_ascii();
        if let (Ok(name), Ok(value)) =
            (HeaderName::from_bytes(&line[..colon]), HeaderValue::from_bytes(value))
        {
            headers.append(name, value);
        }
    }
    headers
}

/// A handshake is refused, or answered with nothing that was not offered.
pub fn handshake(data: &[u8]) {
    let (choice, lines) = cut(data);
    let headers = headers(lines);
    let Ok(Some(handshake)) = Handshake::parse(&Method::GET, Version::HTTP_11, &headers) else { return };
    let terms = Terms {
        server_context_takeover: choice & 1 != 0,
        client_context_takeover: choice & 2 != 0,
        max_window_bits: 9 + u8::try_from(choice >> 2).unwrap_or_default() % 7,
    };
    let agreement = Agreement::reach(&handshake.extensions, terms);
    let response = handshake.response(None, agreement).expect("no subprotocol was chosen");
    let fields = response.headers();
    assert_eq!(fields["sec-websocket-accept"].len(), 28);
    assert_eq!(fields.contains_key("sec-websocket-extensions"), agreement.is_some());
    if let Some(agreement) = agreement {
        assert!(handshake.extensions.iter().any(|offer| offer.name == "permessage-deflate"));
        assert!((8..=15).contains(&agreement.client_window_bits()));
        assert!((8..=terms.max_window_bits).contains(&agreement.server_window_bits()));
        let answer = fields["sec-websocket-extensions"].to_str().expect("it is ASCII");
        let named = |name: &str| {
            handshake
                .extensions
                .iter()
                .any(|offer| offer.parameters.iter().any(|(offered, _)| offered == name))
        };
        // RFC 7692 section 7.1.2.2: a client that does not name it may not understand it.
        assert!(!answer.contains("client_max_window_bits") || named("client_max_window_bits"));
    }
    for subprotocol in &handshake.subprotocols {
        let response = handshake.response(Some(subprotocol), None).expect("it was offered");
        assert_eq!(response.headers()["sec-websocket-protocol"].as_bytes(), subprotocol.as_bytes());
    }
    assert!(handshake.response(Some("never offered\n"), None).is_err());
}

/// Every variable has the name of one field, none passes for another's, and the path is the one that was sent.
pub fn environ(data: &[u8]) {
    let (target, lines) = match data.iter().position(|&byte| byte == b'\n') {
        Some(end) => (&data[..end], &data[end + 1..]),
        None => (data, &[][..]),
    };
    let headers = headers(lines);
    let mut seen = HashSet::new();
    for (name, value) in cgi::fields(&headers) {
        let variable = cgi::variable(name);
        assert!(variable.bytes().all(|byte| !byte.is_ascii_lowercase() && byte != b'-'));
        assert!(variable.starts_with("HTTP_") || matches!(&*variable, "CONTENT_TYPE" | "CONTENT_LENGTH"));
        assert!(!matches!(&*variable, "HTTP_CONTENT_TYPE" | "HTTP_CONTENT_LENGTH"));
        assert!(seen.insert(variable), "two fields become one variable");
        let lengths: usize = headers.get_all(name).iter().map(HeaderValue::len).sum();
        assert!(value.len() >= lengths, "a value was left out");
    }
    let Ok(uri) = Uri::try_from(target) else { return };
    let Some(path) = cgi::path(&uri) else { return };
    assert!(
        path.is_empty() || path[0] == b'/' || uri.path().starts_with('%') || !uri.path().starts_with('/')
    );
    let percents = uri.path().bytes().filter(|&byte| byte == b'%').count();
    assert!(path.len() + 2 * percents >= uri.path().len().min(path.len() + 2 * percents));
    if percents == 0 && uri.path() != "*" && !uri.path().is_empty() {
        assert_eq!(path, uri.path().as_bytes());
    }
}

/// What is said of requests does not depend on how their bytes are cut, and heads pass unchanged.
pub fn framing(data: &[u8]) {
    let (size, stream) = cut(data);
    let pass = |size: usize| {
        let mut framing = Framing::default();
        let mut through = stream.to_vec();
        through.chunks_mut(size).for_each(|piece| framing.pass(piece));
        assert!(framing.has_spoilt() || through == stream, "a regular request was changed");
        (framing.has_spoilt(), framing.verdict())
    };
    let whole = pass(stream.len().max(1));
    assert_eq!(pass(size), whole);
    let is_chunked = stream.windows(7).any(|word| word.eq_ignore_ascii_case(b"chunked"));
    assert!(is_chunked || !whole.0, "only chunks are spoilt");
}
