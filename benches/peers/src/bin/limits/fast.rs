//! fastwebsockets.

use std::io;

use bytes::BytesMut;
use fastwebsockets::{FragmentCollector, Frame, OpCode, Role, WebSocket};
use tokio::net::TcpStream;

use crate::handshake;

/// Serves one client.
pub(crate) async fn serve(mut stream: TcpStream) -> io::Result<()> {
    let mut input = BytesMut::with_capacity(4 << 10);
    handshake::answer(&mut stream, &mut input).await?;
    if !input.is_empty() {
        return Err(io::Error::other("bytes right behind the handshake"));
    }
    let mut socket = WebSocket::after_handshake(stream, Role::Server);
    socket.set_auto_close(true);
    socket.set_auto_pong(true);
    let mut socket = FragmentCollector::new(socket);
    loop {
        let frame = socket.read_frame().await.map_err(io::Error::other)?;
        match frame.opcode {
            OpCode::Close => return Ok(()),
            OpCode::Text | OpCode::Binary => {
                let reply = Frame::new(true, frame.opcode, None, frame.payload);
                socket.write_frame(reply).await.map_err(io::Error::other)?;
            }
            _ => {}
        }
    }
}
