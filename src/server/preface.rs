//! What a connection begins with before HTTP.

use std::{io, net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use tokio::{sync::watch, time};

use super::{
    farewell::linger,
    http::Host,
    link::Link,
    notices::Notice,
    proxy::{self, Addresses, ProxyProtocol},
    shutdown::{Stage, asked_to_end},
    socket::Socket,
    stream::Stream,
    tls::{Carrier, Tls},
};

/// How long a client whose handshake failed may take to read the alert.
const ALERT_TIME: Duration = Duration::from_secs(1);

/// What a connection begins with before HTTP; by default nothing. All of it has to end within the header timeout.
#[derive(Clone, Debug, Default)]
pub struct Preface {
    /// First the header of a proxy.
    pub proxy: Option<ProxyProtocol>,
    /// Then the TLS handshake.
    pub tls: Option<Tls>,
}

/// In the extensions of a request's head: the connection is passed on by a proxy.
#[derive(Clone, Copy, Debug)]
pub struct Proxied {
    /// The proxy's own address (`None` over a Unix socket).
    pub proxy: Option<SocketAddr>,
    /// The address that the client has connected to.
    pub destination: SocketAddr,
}

/// A connection on which HTTP begins.
#[derive(Debug)]
pub(super) struct Begun {
    pub(super) stream: Stream,
    /// What has been read of HTTP already.
    pub(super) early: Bytes,
    /// The client's address.
    pub(super) peer: Option<SocketAddr>,
    pub(super) proxied: Option<Proxied>,
}

enum Failure {
    Proxy(io::Error),
    Tls(io::Error, Carrier),
}

/// Passes what comes before HTTP. `None`: it did not come as it has to, and the client has been told.
pub(super) async fn pass(
    host: &Host,
    socket: Socket,
    link: &Arc<Link>,
    stage: &watch::Receiver<Stage>,
) -> Option<Begun> {
    let peer = socket.peer();
    if host.preface.tls.is_none() && host.preface.proxy.is_none() {
        return Some(Begun { stream: Stream::Plain(socket), early: Bytes::new(), peer, proxied: None });
    }
    // On the heap: it is gone before a connection lives long, and a plain one has none.
    let begun = Box::pin(time::timeout(host.config.header_timeout, begin(&host.preface, socket, peer, link)));
    let outcome = tokio::select! {
        biased;
        outcome = begun => outcome,
        () = asked_to_end(stage.clone(), link) => return None,
    };
    // Whoever connects and says nothing is merely idle, as a browser that has connected in advance.
    let note = |notice, detail: &str| {
        if link.has_heard() {
            host.notices.note(notice, peer.map(|peer| peer.ip()), detail);
        }
    };
    match outcome {
        Ok(Ok(begun)) => return Some(begun),
        Ok(Err(Failure::Proxy(error))) => note(Notice::Preface, &error.to_string()),
        Ok(Err(Failure::Tls(error, mut carrier))) => {
            note(Notice::Preface, &error.to_string());
            // The alert is on its way; closing with bytes unread would take it away.
            let _untold = time::timeout(ALERT_TIME, linger(&mut carrier)).await;
        }
        Err(_elapsed) => note(Notice::PrefaceTimedOut, ""),
    }
    None
}

async fn begin(
    preface: &Preface,
    mut socket: Socket,
    peer: Option<SocketAddr>,
    link: &Arc<Link>,
) -> Result<Begun, Failure> {
    let (addresses, early) = match &preface.proxy {
        Some(protocol) if protocol.trusts(peer) => {
            proxy::read(&mut socket, protocol.versions, || link.hear()).await.map_err(Failure::Proxy)?
        }
        _ => (None, Bytes::new()),
    };
    let proxied = addresses.map(|Addresses { destination, .. }| Proxied { proxy: peer, destination });
    let peer = addresses.map_or(peer, |addresses| Some(addresses.source));
    let Some(tls) = &preface.tls else {
        return Ok(Begun { stream: Stream::Plain(socket), early, peer, proxied });
    };
    let accepted = tls.accept(socket, early, Arc::clone(link)).await;
    let stream = accepted.map_err(|(error, carrier)| Failure::Tls(error, carrier))?;
    Ok(Begun { stream: Stream::Tls(Box::new(stream)), early: Bytes::new(), peer, proxied })
}
