//! `limits KIND PORT`: what a server without Python can do, on one thread: `/echo` and `/broadcast`.
//!
//! | kind | what it is |
//! |---|---|
//! | `bare` | frames without a library: the replies to what one read brought leave in one write |
//! | `tungstenite` | tokio-tungstenite as it comes |
//! | `tungstenite-4k` | the same with a read buffer of 4 KiB |
//! | `fastwebsockets` | fastwebsockets; `/echo` alone, since its read cannot be given up for a broadcast |

mod bare;
mod fast;
mod handshake;
mod tungstenite;

use std::{io, process::ExitCode, rc::Rc};

use bytes::Bytes;
use tokio::{net::TcpListener, sync::broadcast, task::LocalSet};

/// Messages of a broadcast that a client may be behind before it misses some.
const BEHIND: usize = 1024;

/// What every connection shares.
pub(crate) struct Shared {
    pub(crate) kind: Kind,
    pub(crate) room: broadcast::Sender<(u8, Bytes)>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Bare,
    Tungstenite,
    Tungstenite4k,
    Fast,
}

fn main() -> io::Result<ExitCode> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let kind = match arguments.first().map(String::as_str) {
        Some("bare") => Kind::Bare,
        Some("tungstenite") => Kind::Tungstenite,
        Some("tungstenite-4k") => Kind::Tungstenite4k,
        Some("fastwebsockets") => Kind::Fast,
        _ => {
            eprintln!("usage: limits bare|tungstenite|tungstenite-4k|fastwebsockets PORT");
            return Ok(ExitCode::from(2));
        }
    };
    let port = arguments.get(1).and_then(|port| port.parse().ok()).unwrap_or(0);
    let runtime = tokio::runtime::Builder::new_current_thread().enable_io().build()?;
    let shared = Rc::new(Shared { kind, room: broadcast::channel(BEHIND).0 });
    LocalSet::new().block_on(&runtime, serve(port, shared))?;
    Ok(ExitCode::SUCCESS)
}

async fn serve(port: u16, shared: Rc<Shared>) -> io::Result<()> {
    let socket = tokio::net::TcpSocket::new_v4()?;
    socket.set_reuseaddr(true)?;
    socket.bind(([127, 0, 0, 1], port).into())?;
    let listener: TcpListener = socket.listen(4096)?;
    loop {
        let (stream, _) = listener.accept().await?;
        stream.set_nodelay(true)?;
        let shared = Rc::clone(&shared);
        tokio::task::spawn_local(async move {
            // A client that lets go, or is no WebSocket, ends its own task only.
            let _ = match shared.kind {
                Kind::Bare => bare::serve(stream, &shared).await,
                Kind::Fast => fast::serve(stream).await,
                Kind::Tungstenite | Kind::Tungstenite4k => tungstenite::serve(stream, &shared).await,
            };
        });
    }
}
