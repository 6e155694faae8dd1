//! The answer to a handshake.

use std::io;

use bytes::{Buf, BytesMut};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

const MAX_HEAD_BYTES: usize = 64 << 10;

/// Reads a handshake, answers it, and gives its path; what came behind it is left in `input`.
pub(crate) async fn answer(stream: &mut TcpStream, input: &mut BytesMut) -> io::Result<String> {
    let invalid = |what| io::Error::new(io::ErrorKind::InvalidData, what);
    let length = loop {
        if let Some(length) = input.windows(4).position(|window| window == b"\r\n\r\n") {
            break length;
        }
        if stream.read_buf(input).await? == 0 || input.len() > MAX_HEAD_BYTES {
            return Err(invalid("no handshake"));
        }
    };
    let head = String::from_utf8_lossy(&input[..length]).into_owned();
    input.advance(length + 4);
    let mut lines = head.lines();
    let path = lines.next().and_then(|line| line.split(' ').nth(1)).ok_or_else(|| invalid("no path"))?;
    let key = lines
        .filter_map(|line| line.split_once(':'))
        .find(|(name, _)| name.eq_ignore_ascii_case("Sec-WebSocket-Key"))
        .ok_or_else(|| invalid("no key"))?;
    let accept = derive_accept_key(key.1.trim().as_bytes());
    let response = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Accept: {accept}\r\n\r\n"
    );
    stream.write_all(response.as_bytes()).await?;
    Ok(path.to_owned())
}
