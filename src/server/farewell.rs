//! The end of a client's connection that did not become a WebSocket.

use std::{io, time::Duration};

use bytes::Bytes;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt},
    time,
};

use super::{link::Link, stream::Stream};

/// What is still read, and thrown away, of a client that was answered before it had sent everything: closing at once
/// would reset the connection and take the answer away.
const LINGER_BYTES: usize = 4 << 20;
/// How long that may take.
const LINGER_TIME: Duration = Duration::from_secs(2);

/// Ends a connection that did not become a WebSocket. Failures end here: hyper has sent what can be sent, and the view
/// has learnt from its body or its writer that the client is gone.
pub(super) async fn part(mut stream: Stream, outcome: hyper::Result<()>, link: &Link, unparsed: &Bytes) {
    if link.was_cut_off() {
        // Where only the close ends a response, nothing else tells the client that it is not whole. A socket that is
        // no longer connected refuses the option and needs none.
        drop(stream.reset_at_close());
        return;
    }
    let farewell = async {
        match outcome {
            Err(error) if error.is_timeout() && !unparsed.is_empty() => say_timeout(&mut stream).await?,
            Err(error) if error.is_parse() => {}
            _ if link.has_unread() => {}
            // hyper leaves a connection that was idle for too long without the end of TLS (RFC 8446 section 6.1).
            _ if stream.is_tls() => return stream.shutdown().await,
            _ => return Ok(()),
        }
        linger(&mut stream).await
    };
    let farewell: Result<io::Result<()>, _> = time::timeout(LINGER_TIME, farewell).await;
    // Neither a client that resets nor one that goes on sending past the bound can be told anything more.
    drop(farewell);
}

async fn say_timeout(stream: &mut Stream) -> io::Result<()> {
    stream.write_all(b"HTTP/1.1 408 Request Timeout\r\nconnection: close\r\ncontent-length: 0\r\n\r\n").await
}

/// Ends what is sent and reads on, within a bound.
pub(super) async fn linger(stream: &mut (impl AsyncRead + AsyncWrite + Unpin)) -> io::Result<()> {
    stream.shutdown().await?;
    let mut buffer = vec![0; 16 << 10];
    let mut left = LINGER_BYTES;
    while left > 0 {
        match stream.read(&mut buffer).await? {
            0 => break,
            read => left = left.saturating_sub(read),
        }
    }
    Ok(())
}
