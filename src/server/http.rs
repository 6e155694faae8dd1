//! HTTP/1.1 on one client's connection: requests to the application, its answers to hyper, and what becomes of the
//! socket afterwards.

use std::{
    cell::Cell,
    convert::Infallible,
    future::{Future, poll_fn},
    net::SocketAddr,
    pin::{Pin, pin},
    sync::Arc,
    task::{Context, Poll, ready},
};

use bytes::Bytes;
use http::{HeaderName, HeaderValue, Method, Request, Response, StatusCode, Version, header, request::Parts};
use hyper::{body::Incoming, server::conn::http1, service::Service};
use hyper_util::rt::{TokioIo, TokioTimer};
use memchr::{memchr, memmem};
use tokio::{
    runtime::Handle,
    sync::{oneshot, watch},
};

use super::{
    app::{App, Exchange},
    body::{Limit, RequestBody, Surroundings},
    farewell,
    link::Link,
    notices::{Notice, Notices, beginning},
    pipe::ReplyBody,
    preface::{self, Begun, Preface, Proxied},
    reply::{Answer, ClientGone, Reply, plain},
    shutdown::{Stage, asked_to_end},
    socket::{Patient, Socket},
    sockets::{Registry, Sockets, Upgraded},
    stream::Stream,
};
use crate::{config::ServerConfig, error::HandshakeError, wire::handshake::Handshake};

/// Bytes of a target that hyper takes at most, whatever the bounds are.
const LONGEST_TARGET: usize = 65_534;
/// Bytes of a path that the log shows beside what is wrong with its request.
const SHOWN_PATH_BYTES: usize = 100;

/// What all connections of a server share.
#[derive(Clone)]
pub(super) struct Host {
    pub(super) app: Arc<dyn App>,
    pub(super) config: Arc<ServerConfig>,
    pub(super) registry: Arc<Registry>,
    pub(super) runtime: Handle,
    pub(super) notices: Arc<Notices>,
    pub(super) preface: Preface,
}

/// Serves one client until its connection has ended. `stage` tells when to end after the exchange in flight.
pub(super) fn serve(
    host: Host,
    socket: Socket,
    stage: watch::Receiver<Stage>,
) -> impl Future<Output = ()> + Send {
    // Boxed, so that a WebSocket does not go on to hold the room that HTTP needed.
    let http = Box::pin(serve_http(host, socket, stage));
    async {
        if let Some((upgraded, stream, early)) = http.await {
            upgraded.run(stream, early).await;
        }
    }
}

/// Serves requests until the connection has ended, or is a WebSocket, of which these are the first bytes.
async fn serve_http(
    host: Host,
    socket: Socket,
    stage: watch::Receiver<Stage>,
) -> Option<(Upgraded, Stream, Bytes)> {
    let link = Arc::new(Link::default());
    let local = socket.local();
    let begun = preface::pass(&host, socket, &link, &stage).await?;
    let Begun { stream, early, peer, proxied } = begun;
    let builder = builder(&host.config);
    let patient = Patient::new(stream, early, host.config.write_timeout, Arc::clone(&link));
    let requests = Requests::new(host, (peer, local), proxied, Arc::clone(&link));
    let mut connection = builder.serve_connection(TokioIo::new(patient), requests);
    let outcome = {
        let mut asked_to_end = pin!(asked_to_end(stage, &link));
        let mut told = false;
        poll_fn(|context| {
            if !told && asked_to_end.as_mut().poll(context).is_ready() {
                told = true;
                // A WebSocket in the making gets its Close from the registry; hyper would drop an unflushed 101.
                if !link.is_upgraded() {
                    Pin::new(&mut connection).graceful_shutdown();
                }
            }
            Pin::new(&mut connection).poll(context)
        })
        .await
    };
    let parts = connection.into_parts();
    let (stream, early) = parts.io.into_inner().into_inner();
    let unparsed = if early.is_empty() { parts.read_buf } else { [parts.read_buf, early].concat().into() };
    match (link.take_upgraded(), outcome) {
        // A copy, which does not hold on to the buffer it comes from.
        (Some(upgraded), Ok(())) => Some((upgraded, stream, Bytes::copy_from_slice(&unparsed))),
        (_, outcome) => {
            if let Err(error) = &outcome {
                parts.service.note_refusal(error, &unparsed);
            }
            farewell::part(stream, outcome, &link, &unparsed).await;
            None
        }
    }
}

fn builder(config: &ServerConfig) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(config.header_timeout)
        .max_header_size(config.max_header_bytes)
        .keep_alive(config.keep_alive)
        // A client may shut its sending side down behind its request and still wants the answer.
        .half_close(true);
    // Set, it costs an allocation for each request.
    if config.max_headers != 100 {
        builder.max_headers(config.max_headers);
    }
    builder
}

/// Hands the requests of one connection to the application.
struct Requests {
    host: Host,
    peer: Option<SocketAddr>,
    local: Option<SocketAddr>,
    proxied: Option<Proxied>,
    link: Arc<Link>,
    sockets: Arc<Sockets>,
    /// Heads that hyper has parsed.
    heads: Cell<u64>,
}

impl Requests {
    fn new(
        host: Host,
        (peer, local): (Option<SocketAddr>, Option<SocketAddr>),
        proxied: Option<Proxied>,
        link: Arc<Link>,
    ) -> Self {
        let sockets = Arc::new(Sockets {
            registry: Arc::clone(&host.registry),
            config: Arc::clone(&host.config.connection),
            peer: peer.map_or_else(|| "unix".to_owned(), |peer| peer.to_string()),
            stats: Arc::clone(host.notices.stats()),
        });
        Self { host, peer, local, proxied, link, sockets, heads: Cell::new(0) }
    }

    fn exchange(&self, request: Request<Incoming>) -> (Exchange, oneshot::Receiver<Answer>) {
        let (mut head, incoming) = request.into_parts();
        // hyper's own hook for upgrades; this module takes the socket from hyper instead.
        head.extensions.remove::<hyper::upgrade::OnUpgrade>();
        if let Some(proxied) = self.proxied {
            head.extensions.insert(proxied);
        }
        let awaits_continue =
            head.version > Version::HTTP_10 && head.headers.get(header::EXPECT).is_some_and(is_continue);
        let surroundings = Surroundings {
            link: Arc::clone(&self.link),
            runtime: self.host.runtime.clone(),
            timeout: self.host.config.body_timeout,
            limit: self.host.config.max_body_bytes.map(|bytes| Limit {
                bytes,
                notices: Arc::clone(&self.host.notices),
                address: self.peer.map(|peer| peer.ip()),
                path: head.uri.path().to_owned(),
            }),
        };
        let body = RequestBody::new(incoming, awaits_continue, surroundings);
        let (reply, answer) = Reply::new(
            (&head.method, head.version),
            Arc::clone(&self.link),
            body.unread(),
            Arc::clone(&self.sockets),
        );
        (Exchange { head, peer: self.peer, local: self.local, body, reply, handshake: None }, answer)
    }

    /// Tells of a request that hyper has refused, or given up waiting for. `unparsed` is what had come of it.
    fn note_refusal(&self, error: &hyper::Error, unparsed: &[u8]) {
        if error.is_timeout() {
            // A connection that is merely idle is no request.
            if !unparsed.is_empty() {
                self.note(Notice::HeaderTimedOut, "");
            }
        } else if error.is_parse_too_large() {
            self.note(too_large(unparsed, self.host.config.max_header_bytes), "");
        } else if error.is_parse() {
            self.note(Notice::BadRequest, &error.to_string());
        }
    }

    fn note(&self, notice: Notice, detail: &str) {
        self.host.notices.note(notice, self.peer.map(|peer| peer.ip()), detail);
    }
}

/// Which bound the head exceeds that hyper calls too large.
fn too_large(unparsed: &[u8], max_header_bytes: usize) -> Notice {
    let end = memmem::find(unparsed, b"\r\n\r\n");
    if end.map_or(unparsed.len() >= max_header_bytes, |end| end + 4 > max_header_bytes) {
        Notice::HeaderTooLarge
    } else if memchr(b'\n', unparsed).is_some_and(|end| end > LONGEST_TARGET) {
        Notice::RequestLineTooLong
    } else {
        Notice::TooManyHeaders
    }
}

impl Service<Request<Incoming>> for Requests {
    type Response = Response<ReplyBody>;
    type Error = Infallible;
    type Future = Answering;

    fn call(&self, request: Request<Incoming>) -> Answering {
        let (mut exchange, answer) = self.exchange(request);
        let number = self.heads.replace(self.heads.get() + 1);
        let verdict = self.link.verdict().filter(|(judged, _)| *judged == number);
        let inspected = match verdict {
            Some((_, violation)) => Err(Refusal::Request(violation.status, violation.reason)),
            None => inspect(&exchange, &self.host.config),
        };
        match inspected {
            Ok(handshake) => {
                exchange.handshake = handshake;
                self.host.app.call(exchange);
            }
            Err(refusal) => {
                self.note(refusal.notice(), &refusal.detail(exchange.head.uri.path()));
                refusal.answer(exchange);
            }
        }
        Answering { answer, link: Arc::clone(&self.link) }
    }
}

/// Why a request never reaches the application.
enum Refusal {
    /// The request itself, with the reason.
    Request(StatusCode, &'static str),
    /// An upgrade to `websocket` that RFC 6455 forbids.
    Handshake(HandshakeError),
}

impl Refusal {
    fn notice(&self) -> Notice {
        match self {
            Self::Request(StatusCode::URI_TOO_LONG, _) => Notice::RequestLineTooLong,
            Self::Request(StatusCode::PAYLOAD_TOO_LARGE, _) => Notice::BodyTooLarge,
            _ => Notice::BadRequest,
        }
    }

    /// What the log says beside the notice.
    fn detail(&self, path: &str) -> String {
        match self {
            Self::Request(StatusCode::URI_TOO_LONG | StatusCode::PAYLOAD_TOO_LARGE, _) => path.to_owned(),
            Self::Request(status, reason) => detail(path, *status, reason),
            Self::Handshake(error) => detail(path, error.status(), &error.to_string()),
        }
    }

    fn answer(self, exchange: Exchange) {
        let (mut head, body) = match &self {
            Self::Request(status, reason) => plain(*status, reason),
            Self::Handshake(error) => plain(error.status(), &error.to_string()),
        };
        let fields = head.headers_mut();
        if let Self::Handshake(error) = self {
            for (name, value) in error.headers() {
                fields.insert(*name, HeaderValue::from_static(value));
            }
        }
        // Where a request that will not do ends is not certain, and what follows a handshake may be frames.
        fields.append(header::CONNECTION, HeaderValue::from_static("close"));
        // A client that is gone needs no refusal.
        let _gone: Result<(), ClientGone> = exchange.reply.send(head, body);
    }
}

/// The handshake if the request is one, or why the application never sees it.
fn inspect(exchange: &Exchange, config: &ServerConfig) -> Result<Option<Handshake>, Refusal> {
    let head = &exchange.head;
    if request_line_bytes(head) > config.max_request_line_bytes {
        return Err(Refusal::Request(StatusCode::URI_TOO_LONG, "The request line is too long."));
    }
    if config.max_header_field_bytes.is_some_and(|most| field_bytes(head) > most) {
        let status = StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE;
        return Err(Refusal::Request(status, "A header field is too long."));
    }
    let target = head.uri.path_and_query().map_or("", |target| target.as_str());
    if !target.is_ascii() || (target == "*" && head.method != Method::OPTIONS) {
        return Err(Refusal::Request(StatusCode::BAD_REQUEST, "This is no address of a request."));
    }
    // RFC 9110 section 9.1: methods are told apart by case, and those that exist are in capitals.
    if head.method.as_str().bytes().any(|byte| byte.is_ascii_lowercase()) {
        return Err(Refusal::Request(StatusCode::BAD_REQUEST, "A method is written in capitals."));
    }
    if head.headers.get(header::EXPECT).is_some_and(|expectation| !is_continue(expectation)) {
        return Err(Refusal::Request(StatusCode::EXPECTATION_FAILED, "Only 100-continue can be expected."));
    }
    if head.method == Method::CONNECT {
        return Err(Refusal::Request(StatusCode::NOT_IMPLEMENTED, "This server is no proxy."));
    }
    // RFC 9112 section 3.2.
    let hosts = head.headers.get_all(header::HOST).iter().count();
    if hosts > 1 || (hosts == 0 && head.version > Version::HTTP_10) {
        return Err(Refusal::Request(StatusCode::BAD_REQUEST, "A request has one Host."));
    }
    if exchange.body.is_announced_too_large() {
        return Err(Refusal::Request(StatusCode::PAYLOAD_TOO_LARGE, "The body of the request is too large."));
    }
    let handshake =
        Handshake::parse(&head.method, head.version, &head.headers).map_err(Refusal::Handshake)?;
    if handshake.is_some() && !exchange.body.is_empty() {
        return Err(Refusal::Request(StatusCode::BAD_REQUEST, "A WebSocket handshake has no body."));
    }
    Ok(handshake)
}

/// The beginning of the path: what is wrong with the request has to fit in behind it.
fn detail(path: &str, status: StatusCode, reason: &str) -> String {
    format!("{} with {}: {reason}", beginning(path, SHOWN_PATH_BYTES), status.as_str())
}

fn is_continue(expectation: &HeaderValue) -> bool {
    expectation.as_bytes().eq_ignore_ascii_case(b"100-continue")
}

/// Of `GET /path?query HTTP/1.1` without its end.
fn request_line_bytes(head: &Parts) -> usize {
    let uri = &head.uri;
    let target = uri.scheme_str().map_or(0, |scheme| scheme.len() + "://".len())
        + uri.authority().map_or(0, |authority| authority.as_str().len())
        + uri.path_and_query().map_or(0, |path| path.as_str().len());
    head.method.as_str().len() + target + "  HTTP/1.1".len()
}

/// Of the longest `Name: value` with its line end.
fn field_bytes(head: &Parts) -> usize {
    let bytes = |(name, value): (&HeaderName, &HeaderValue)| name.as_str().len() + value.len() + 4;
    head.headers.iter().map(bytes).max().unwrap_or_default()
}

/// Waits for the application's answer.
struct Answering {
    answer: oneshot::Receiver<Answer>,
    link: Arc<Link>,
}

impl Future for Answering {
    type Output = Result<Response<ReplyBody>, Infallible>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let response = match ready!(Pin::new(&mut self.answer).poll(context)) {
            Ok(Answer::Response(mut response)) => {
                if self.link.ends_after_response() {
                    response.headers_mut().insert(header::CONNECTION, HeaderValue::from_static("close"));
                }
                response
            }
            Ok(Answer::Upgrade(head, upgraded)) => {
                self.link.upgrade(upgraded);
                head.map(|()| ReplyBody::empty())
            }
            Err(_unanswered) => {
                let (head, body) = plain(StatusCode::INTERNAL_SERVER_ERROR, "The server made an error.");
                head.map(|()| ReplyBody::whole(body, None))
            }
        };
        Poll::Ready(Ok(response))
    }
}
