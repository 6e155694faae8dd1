//! What a connection begins with before HTTP.

use std::{sync::Arc, time::Duration};

use tokio::{sync::watch, time};

use super::{
    farewell::linger,
    http::Host,
    link::Link,
    notices::Notice,
    shutdown::{Stage, asked_to_end},
    socket::Socket,
    stream::Stream,
    tls::Tls,
};

/// How long a client whose handshake failed may take to read the alert.
const ALERT_TIME: Duration = Duration::from_secs(1);

/// What a connection begins with before HTTP; by default nothing.
#[derive(Clone, Debug, Default)]
pub struct Preface {
    /// The TLS handshake, for which the client has the header timeout.
    pub tls: Option<Tls>,
}

/// Passes what comes before HTTP. `None`: it did not come as it has to, and the client has been told.
pub(super) async fn pass(
    host: &Host,
    socket: Socket,
    link: &Arc<Link>,
    stage: &watch::Receiver<Stage>,
) -> Option<Stream> {
    match &host.preface.tls {
        None => Some(Stream::Plain(socket)),
        // On the heap: it is gone before a connection lives long, and a plain one has none.
        Some(tls) => Box::pin(secure(host, tls, socket, link, stage)).await,
    }
}

async fn secure(
    host: &Host,
    tls: &Tls,
    socket: Socket,
    link: &Arc<Link>,
    stage: &watch::Receiver<Stage>,
) -> Option<Stream> {
    let address = socket.peer().map(|peer| peer.ip());
    let handshake = time::timeout(host.config.header_timeout, tls.accept(socket, Arc::clone(link)));
    let outcome = tokio::select! {
        biased;
        outcome = handshake => outcome,
        () = asked_to_end(stage.clone(), link) => return None,
    };
    // Whoever connects and says nothing is merely idle, as a browser that has connected in advance.
    let note = |notice, detail: &str| {
        if link.has_heard() {
            host.notices.note(notice, address, detail);
        }
    };
    match outcome {
        Ok(Ok(stream)) => Some(Stream::Tls(Box::new(stream))),
        Ok(Err((error, mut carrier))) => {
            note(Notice::Preface, &error.to_string());
            // The alert is on its way; closing with bytes unread would take it away.
            let _untold = time::timeout(ALERT_TIME, linger(&mut carrier)).await;
            None
        }
        Err(_elapsed) => {
            note(Notice::PrefaceTimedOut, "");
            None
        }
    }
}
