//! How many TCP connections may be open, in all and of one address.

use std::{collections::HashMap, net::IpAddr, sync::Arc, time::Duration};

use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    sync::Semaphore,
    time,
};

use super::{
    notices::{Notice, Notices},
    socket::Socket,
};
use crate::config::ServerConfig;

/// Refusals under way at the same time; further connections are closed without a word.
const REFUSALS: usize = 256;
/// How long a refused client may take to read why.
const REFUSAL_TIME: Duration = Duration::from_secs(1);
const REFUSAL: &[u8] = b"HTTP/1.1 503 Service Unavailable\r\nretry-after: 1\r\nconnection: close\r\n\
    content-type: text/plain; charset=utf-8\r\ncontent-length: 34\r\n\r\nToo many connections. Try later.\r\n";

/// Counts open connections and refuses those beyond the limits.
#[derive(Debug)]
pub(super) struct Admission {
    most: usize,
    most_of_one_address: Option<usize>,
    open: Mutex<Open>,
    refusals: Arc<Semaphore>,
    notices: Arc<Notices>,
    /// A refusal could be read only behind a handshake, which costs more than it is worth.
    is_tls: bool,
}

#[derive(Debug, Default)]
struct Open {
    connections: usize,
    /// Kept only where there is a limit for one address.
    by_address: HashMap<IpAddr, usize>,
}

/// The place of one open connection; dropping it frees the place.
#[derive(Debug)]
pub(super) struct Admitted {
    admission: Arc<Admission>,
    address: Option<IpAddr>,
}

impl Admission {
    pub(super) fn new(config: &ServerConfig, notices: Arc<Notices>, is_tls: bool) -> Arc<Self> {
        Arc::new(Self {
            most: config.max_tcp_connections(),
            most_of_one_address: config.max_connections_per_address,
            open: Mutex::default(),
            refusals: Arc::new(Semaphore::new(REFUSALS)),
            notices,
            is_tls,
        })
    }

    /// `None`: there is no place for the connection, which has been told so, or closed where it speaks TLS.
    pub(super) fn admit(self: &Arc<Self>, socket: Socket) -> Option<(Socket, Admitted)> {
        match self.place(&socket) {
            Ok(admitted) => Some((socket, admitted)),
            Err(notice) => {
                self.notices.note(notice, address_of(&socket), "");
                if !self.is_tls
                    && let Ok(place) = Arc::clone(&self.refusals).try_acquire_owned()
                {
                    tokio::spawn(async move {
                        // A client that does not listen is not told.
                        let _untold = time::timeout(REFUSAL_TIME, refuse(socket)).await;
                        drop(place);
                    });
                }
                None
            }
        }
    }

    fn place(self: &Arc<Self>, socket: &Socket) -> Result<Admitted, Notice> {
        let address = self.most_of_one_address.and_then(|_| address_of(socket));
        let mut open = self.open.lock();
        if open.connections >= self.most {
            return Err(Notice::ConnectionsFull);
        }
        if let (Some(address), Some(most)) = (address, self.most_of_one_address) {
            let of_this = open.by_address.entry(address).or_default();
            if *of_this >= most {
                return Err(Notice::AddressFull);
            }
            *of_this += 1;
        }
        open.connections += 1;
        Ok(Admitted { admission: Arc::clone(self), address })
    }
}

impl Drop for Admitted {
    fn drop(&mut self) {
        let mut open = self.admission.open.lock();
        open.connections -= 1;
        if let Some(address) = self.address
            && let Some(of_this) = open.by_address.get_mut(&address)
        {
            *of_this -= 1;
            if *of_this == 0 {
                open.by_address.remove(&address);
            }
        }
    }
}

/// The address without the port; one of IPv4 is the same however it is written.
fn address_of(socket: &Socket) -> Option<IpAddr> {
    socket.peer().map(|peer| peer.ip().to_canonical())
}

/// Answers before anything is read, then reads what has arrived: unread bytes would make the close a reset, which may
/// take the answer away.
async fn refuse(mut socket: Socket) -> std::io::Result<()> {
    socket.write_all(REFUSAL).await?;
    socket.shutdown().await?;
    let mut discarded = [0; 1024];
    for _ in 0..64 {
        if socket.read(&mut discarded).await? == 0 {
            break;
        }
    }
    Ok(())
}
