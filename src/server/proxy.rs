//! The PROXY protocol, versions 1 and 2: a header before everything else, in which a proxy says whose connection it passes
//! on (`proxy-protocol.txt` of `HAProxy`, sections 2.1 and 2.2).

use std::{
    io,
    net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr},
    str::FromStr,
};

use bytes::{Bytes, BytesMut};
use memchr::memmem;
use tokio::io::{AsyncRead, AsyncReadExt};

/// The beginning of a header of version 1.
const LINE: &[u8] = b"PROXY ";
/// Bytes of the longest header of version 1, its line end included.
const LONGEST_LINE: usize = 107;
/// The beginning of a header of version 2.
const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";
/// Bytes of a header of version 2 before the addresses.
const FIXED_BYTES: usize = 16;
/// What is read at once; what stands behind the header is kept.
const READ_BYTES: usize = 1 << 10;

/// The versions that are understood.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Versions {
    /// The first one, a line of text.
    One,
    /// The second one, which is binary.
    Two,
    /// Whichever comes.
    Both,
}

/// Addresses that begin alike.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Network {
    /// One of them.
    pub address: IpAddr,
    /// How many bits of it all of them have; 32 or 128 for a single address.
    pub prefix: u8,
}

impl Network {
    /// Whether an address is one of them. One of IPv4 is the same however it is written.
    pub fn contains(&self, address: IpAddr) -> bool {
        let prefix = u32::from(self.prefix);
        match (self.address.to_canonical(), address.to_canonical()) {
            (IpAddr::V4(ours), IpAddr::V4(theirs)) => {
                (ours.to_bits() ^ theirs.to_bits()).leading_zeros() >= prefix
            }
            (IpAddr::V6(ours), IpAddr::V6(theirs)) => {
                (ours.to_bits() ^ theirs.to_bits()).leading_zeros() >= prefix
            }
            _ => false,
        }
    }
}

/// Who may send a header, and of which version.
#[derive(Clone, Debug)]
pub struct ProxyProtocol {
    /// The versions that are understood.
    pub versions: Versions,
    /// The proxies; `None`: everybody is one. A client of anywhere else is served as it is.
    pub proxies: Option<Vec<Network>>,
}

impl ProxyProtocol {
    /// Whether a header may come from there. Over a Unix socket (`None`) it may.
    pub(super) fn trusts(&self, peer: Option<SocketAddr>) -> bool {
        match (&self.proxies, peer) {
            (Some(proxies), Some(peer)) => proxies.iter().any(|network| network.contains(peer.ip())),
            _ => true,
        }
    }
}

/// Whose connection a proxy passes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Addresses {
    /// The client's address.
    pub source: SocketAddr,
    /// The address that the client has connected to.
    pub destination: SocketAddr,
}

/// A header, or that there is none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Header {
    /// Its bytes; 0: the connection does not begin with one.
    pub length: usize,
    /// `None`: the connection is the proxy's own, or it does not know.
    pub addresses: Option<Addresses>,
}

const ABSENT: Header = Header { length: 0, addresses: None };

/// What is wrong with a header.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum ProxyError {
    /// The line of version 1 has no end within 107 bytes.
    #[error("the line of the PROXY protocol is too long")]
    LineTooLong,
    /// The line of version 1 is none.
    #[error("the line of the PROXY protocol is malformed")]
    Line,
    /// Another version than 2, or another command than LOCAL and PROXY.
    #[error("the PROXY protocol has no such version or command")]
    Command,
    /// Something else than a stream is passed on, or from no family that exists.
    #[error("the PROXY protocol passes on something else than TCP")]
    Family,
    /// There is no room for the addresses of the family.
    #[error("the header of the PROXY protocol is too short for its addresses")]
    Addresses,
}

/// Parses the beginning of a connection. `Ok(None)`: more bytes are needed.
///
/// # Errors
/// It begins with a header that is malformed.
pub fn parse(bytes: &[u8], versions: Versions) -> Result<Option<Header>, ProxyError> {
    let begins = |mark: &[u8]| bytes.iter().zip(mark).all(|(byte, expected)| byte == expected);
    if versions != Versions::Two && begins(LINE) {
        return if bytes.len() < LINE.len() { Ok(None) } else { parse_line(bytes) };
    }
    if versions != Versions::One && begins(SIGNATURE) {
        return if bytes.len() < FIXED_BYTES { Ok(None) } else { parse_binary(bytes) };
    }
    Ok(Some(ABSENT))
}

fn parse_line(bytes: &[u8]) -> Result<Option<Header>, ProxyError> {
    let Some(end) = memmem::find(&bytes[..bytes.len().min(LONGEST_LINE)], b"\r\n") else {
        return if bytes.len() < LONGEST_LINE { Ok(None) } else { Err(ProxyError::LineTooLong) };
    };
    let line = std::str::from_utf8(&bytes[LINE.len()..end]).map_err(|_| ProxyError::Line)?;
    let fields: Vec<_> = line.split(' ').collect();
    let addresses = match fields[..] {
        // Whatever follows means nothing.
        ["UNKNOWN", ..] => None,
        ["TCP4", source, destination, from, to] => {
            Some(addresses::<Ipv4Addr>((source, from), (destination, to)).ok_or(ProxyError::Line)?)
        }
        ["TCP6", source, destination, from, to] => {
            Some(addresses::<Ipv6Addr>((source, from), (destination, to)).ok_or(ProxyError::Line)?)
        }
        _ => return Err(ProxyError::Line),
    };
    Ok(Some(Header { length: end + 2, addresses }))
}

fn addresses<Ip: FromStr + Into<IpAddr>>(
    (source, from): (&str, &str),
    (destination, to): (&str, &str),
) -> Option<Addresses> {
    let address = |ip: &str, port: &str| {
        // A sign is none of the digits.
        let digits = port.bytes().all(|byte| byte.is_ascii_digit());
        let ip: Ip = ip.parse().ok()?;
        digits.then(|| port.parse().ok()).flatten().map(|port: u16| SocketAddr::new(ip.into(), port))
    };
    Some(Addresses { source: address(source, from)?, destination: address(destination, to)? })
}

/// `bytes` has the fixed part at least.
fn parse_binary(bytes: &[u8]) -> Result<Option<Header>, ProxyError> {
    let length = FIXED_BYTES + usize::from(u16::from_be_bytes([bytes[14], bytes[15]]));
    let is_local = match bytes[12] {
        0x20 => true,
        0x21 => false,
        _ => return Err(ProxyError::Command),
    };
    let Some(body) = bytes.get(FIXED_BYTES..length) else { return Ok(None) };
    let addresses = match bytes[13] {
        _ if is_local => None,
        // Unknown, and a stream between Unix sockets: there is nothing that could be told.
        0x00 | 0x31 => None,
        0x11 => Some(binary::<4>(body)?),
        0x21 => Some(binary::<16>(body)?),
        _ => return Err(ProxyError::Family),
    };
    Ok(Some(Header { length, addresses }))
}

/// Two addresses of so many bytes and two ports; what follows (type-length-value) is not looked at.
fn binary<const BYTES: usize>(body: &[u8]) -> Result<Addresses, ProxyError>
where
    IpAddr: From<[u8; BYTES]>,
{
    let (source, rest) = body.split_first_chunk::<BYTES>().ok_or(ProxyError::Addresses)?;
    let (destination, rest) = rest.split_first_chunk::<BYTES>().ok_or(ProxyError::Addresses)?;
    let (ports, _) = rest.split_first_chunk::<4>().ok_or(ProxyError::Addresses)?;
    let [from, to] = [[ports[0], ports[1]], [ports[2], ports[3]]].map(u16::from_be_bytes);
    Ok(Addresses {
        source: SocketAddr::new((*source).into(), from),
        destination: SocketAddr::new((*destination).into(), to),
    })
}

/// Reads a header, and gives what has come behind it. `heard` is called with the first bytes.
pub(super) async fn read(
    socket: &mut (impl AsyncRead + Unpin),
    versions: Versions,
    heard: impl Fn(),
) -> io::Result<(Option<Addresses>, Bytes)> {
    let mut bytes = BytesMut::with_capacity(READ_BYTES);
    loop {
        if socket.read_buf(&mut bytes).await? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        heard();
        let parsed =
            parse(&bytes, versions).map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        if let Some(Header { length, addresses }) = parsed {
            return Ok((addresses, bytes.split_off(length).freeze()));
        }
        bytes.reserve(READ_BYTES);
    }
}
