//! TLS (rustls) between a client's socket and HTTP.

use std::{
    io::{self, IoSlice},
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use memchr::memmem;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio_rustls::{
    FallibleAccept, TlsAcceptor,
    rustls::{
        self, RootCertStore,
        crypto::{CryptoProvider, ring},
        pki_types::{CertificateDer, PrivateKeyDer, pem, pem::PemObject},
        server::{WebPkiClientVerifier, danger::ClientCertVerifier},
    },
    server::TlsStream,
};

use super::{link::Link, socket::Socket};
use crate::error::{TlsError, TlsPart};

/// What waits for a client above the socket's own buffer: one record (RFC 8446 section 5.1).
const BUFFERED_BYTES: usize = 16 << 10;

/// The authorities whose certificates clients show, in PEM, and whether each client has to.
#[derive(Clone, Copy, Debug)]
pub struct ClientAuthorities<'a> {
    /// Their certificates.
    pub certificates: &'a [u8],
    /// Whether a client without a certificate is refused.
    pub required: bool,
}

/// TLS 1.2 and 1.3 with one certificate, for HTTP/1.1 (RFC 7301). Cheap to clone; may be made before a fork.
#[derive(Clone, Debug)]
pub struct Tls {
    config: Arc<rustls::ServerConfig>,
}

impl Tls {
    /// `certificate` is followed by those that lead to an authority; each is PEM, and the private key may stand among
    /// them.
    ///
    /// # Errors
    /// Something is missing, broken, encrypted or does not belong together.
    pub fn new(
        certificate: &[u8],
        key: &[u8],
        authorities: Option<ClientAuthorities<'_>>,
    ) -> Result<Self, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let chain = certificates(certificate, TlsPart::Certificate)?;
        let key = private_key(key)?;
        let verifier = match authorities {
            Some(authorities) => verifier(authorities, &provider)?,
            None => WebPkiClientVerifier::no_client_auth(),
        };
        let mut config = rustls::ServerConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Unusable)?
            .with_client_cert_verifier(verifier)
            .with_single_cert(chain, key)
            .map_err(|error| match error {
                rustls::Error::InconsistentKeys(_) => TlsError::ForeignKey,
                error => TlsError::Unusable(error),
            })?;
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Self { config: Arc::new(config) })
    }

    /// The handshake with a client. An alert goes to one that fails.
    /// `early` is what has been read of it already.
    pub(super) fn accept(&self, socket: Socket, early: Bytes, link: Arc<Link>) -> FallibleAccept<Carrier> {
        let carrier = Carrier { socket, early, link, taken: 0 };
        let acceptor = TlsAcceptor::from(Arc::clone(&self.config));
        acceptor
            .accept_with(carrier, |session| session.set_buffer_limit(Some(BUFFERED_BYTES)))
            .into_fallible()
    }
}

fn certificates(bytes: &[u8], part: TlsPart) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let found: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(bytes).collect();
    match found {
        Ok(found) if found.is_empty() => Err(TlsError::Missing(part)),
        Ok(found) => Ok(found),
        Err(error) => Err(TlsError::Pem { part, error }),
    }
}

fn private_key(bytes: &[u8]) -> Result<PrivateKeyDer<'static>, TlsError> {
    let part = TlsPart::Key;
    // RFC 5958 and the older form, which says so within its section.
    let encrypted: [&[u8]; 2] = [b"-----BEGIN ENCRYPTED PRIVATE KEY-----", b"Proc-Type: 4,ENCRYPTED"];
    if encrypted.iter().any(|mark| memmem::find(bytes, mark).is_some()) {
        return Err(TlsError::EncryptedKey);
    }
    PrivateKeyDer::from_pem_slice(bytes).map_err(|error| match error {
        pem::Error::NoItemsFound => TlsError::Missing(part),
        error => TlsError::Pem { part, error },
    })
}

fn verifier(
    authorities: ClientAuthorities<'_>,
    provider: &Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let mut roots = RootCertStore::empty();
    for certificate in certificates(authorities.certificates, TlsPart::Authorities)? {
        roots.add(certificate).map_err(|error| TlsError::Authority(error.to_string()))?;
    }
    let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider));
    let builder = if authorities.required { builder } else { builder.allow_unauthenticated() };
    builder.build().map_err(|error| TlsError::Authority(error.to_string()))
}

/// A client's connection in TLS.
pub(super) type Secured = Box<TlsStream<Carrier>>;

/// The socket below TLS, which knows what has passed.
#[derive(Debug)]
pub(super) struct Carrier {
    socket: Socket,
    early: Bytes,
    link: Arc<Link>,
    taken: u64,
}

impl Carrier {
    pub(super) fn socket(&self) -> &Socket {
        &self.socket
    }

    /// Bytes that the socket has taken so far.
    pub(super) fn taken_bytes(&self) -> u64 {
        self.taken
    }

    fn count(&mut self, written: Poll<io::Result<usize>>) -> Poll<io::Result<usize>> {
        if let Poll::Ready(Ok(bytes)) = &written {
            self.taken += *bytes as u64;
        }
        written
    }
}

/// As much of what has been read already as there is room for.
pub(super) fn take(early: &mut Bytes, buffer: &mut ReadBuf<'_>) {
    let piece = early.split_to(early.len().min(buffer.remaining()));
    buffer.put_slice(&piece);
}

impl AsyncRead for Carrier {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = self.get_mut();
        if !this.early.is_empty() {
            take(&mut this.early, buffer);
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        ready!(Pin::new(&mut this.socket).poll_read(context, buffer))?;
        if buffer.filled().len() > before {
            this.link.hear();
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Carrier {
    fn poll_write(self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.socket).poll_write(context, bytes);
        this.count(written)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = self.get_mut();
        let written = Pin::new(&mut this.socket).poll_write_vectored(context, pieces);
        this.count(written)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_flush(context)
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().socket).poll_shutdown(context)
    }
}
