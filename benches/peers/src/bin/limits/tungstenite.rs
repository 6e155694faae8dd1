//! tokio-tungstenite, with its read buffer as it comes or of 4 KiB.

use std::io;

use futures_util::{SinkExt, StreamExt};
use tokio::{net::TcpStream, sync::broadcast::error::RecvError};
use tokio_tungstenite::{
    WebSocketStream, accept_hdr_async_with_config,
    tungstenite::{
        Error, Message, Utf8Bytes,
        handshake::server::{Request, Response},
        protocol::WebSocketConfig,
    },
};

use crate::{Kind, Shared};

const TEXT: u8 = 0x1;

/// Serves one client.
pub(crate) async fn serve(stream: TcpStream, shared: &Shared) -> io::Result<()> {
    let config = match shared.kind {
        Kind::Tungstenite4k => WebSocketConfig::default().read_buffer_size(4 << 10),
        _ => WebSocketConfig::default(),
    };
    let mut path = String::new();
    #[expect(clippy::result_large_err, reason = "the type is the library's")]
    let look = |request: &Request, response: Response| {
        request.uri().path().clone_into(&mut path);
        Ok(response)
    };
    let socket = accept_hdr_async_with_config(stream, look, Some(config)).await.map_err(io::Error::other)?;
    let outcome = if path == "/broadcast" { broadcast(socket, shared).await } else { echo(socket).await };
    outcome.map_err(io::Error::other)
}

async fn echo(mut socket: WebSocketStream<TcpStream>) -> Result<(), Error> {
    while let Some(message) = socket.next().await {
        let message = message?;
        if message.is_text() || message.is_binary() {
            socket.send(message).await?;
        }
    }
    Ok(())
}

async fn broadcast(mut socket: WebSocketStream<TcpStream>, shared: &Shared) -> Result<(), Error> {
    let mut inbox = shared.room.subscribe();
    socket.send(Message::text("joined")).await?;
    loop {
        tokio::select! {
            message = socket.next() => match message {
                None => return Ok(()),
                Some(message) => {
                    let message = message?;
                    if message.is_text() {
                        // Refused only where nobody listens, and this client does.
                        let _ = shared.room.send((TEXT, message.into_data()));
                    }
                }
            },
            message = inbox.recv() => match message {
                Ok((_, payload)) => {
                    let text = Utf8Bytes::try_from(payload).map_err(|error| Error::Utf8(error.to_string()))?;
                    socket.send(Message::Text(text)).await?;
                }
                Err(RecvError::Lagged(_)) => {}
                Err(RecvError::Closed) => return Ok(()),
            },
        }
    }
}
