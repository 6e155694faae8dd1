//! Threads and places: what runs, what waits, what is refused, and when a thread is started.

use std::{
    collections::HashMap,
    sync::{Arc, mpsc::Receiver},
    thread::{self, ThreadId},
    time::{Duration, Instant},
};

use dwebsocket::{
    config::ServerConfig,
    server::{Job, ThreadCounts},
};
use parking_lot::Mutex;

use super::{
    client::Client,
    site::{PATIENCE, Site, answer, until, until_equal},
};

const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
const HANDSHAKE: &str = "GET /socket HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
                         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

fn small() -> ServerConfig {
    ServerConfig {
        http_threads: 2,
        http_waiting: 1,
        handshake_threads: 1,
        max_websocket_connections: 2,
        ..Default::default()
    }
}

fn ask(site: &Site, request: &str) -> Client {
    let mut client = site.connect();
    client.send(request);
    client
}

/// As a thread that begins its job at once.
fn take(site: &Site) -> Job {
    let mut job = site.workers.take().unwrap();
    drop(job.turn.take());
    job
}

fn arrival(receiver: &Receiver<Option<Job>>) -> Option<Job> {
    receiver.recv_timeout(PATIENCE).unwrap()
}

#[test]
fn taker_of_the_last_waiting_thread_starts_the_next_one() {
    let site = Site::open(small());
    let _client = ask(&site, GET);
    let job = take(&site);
    assert!(job.spawn);
    assert_eq!(site.workers.counts(), ThreadCounts { starting: 1, http: 1, ..Default::default() });
    answer(*job.exchange, "");
}

#[test]
fn no_second_thread_is_started_while_one_is_on_its_way() {
    let site = Site::open(small());
    let _clients = [ask(&site, GET), ask(&site, GET)];
    let first = take(&site);
    let second = take(&site);
    // The same thread came back with its job still in hand, so the one that was asked for has not come yet.
    assert!(first.spawn);
    assert!(!second.spawn);
    assert_eq!(site.workers.counts(), ThreadCounts { starting: 1, http: 2, ..Default::default() });
}

#[test]
fn most_recently_idle_thread_goes_first_and_starts_none_while_another_waits() {
    let site = Site::open(small());
    let earlier = site.take_elsewhere();
    until_equal(&1, || site.workers.counts().idle);
    let later = site.take_elsewhere();
    until_equal(&2, || site.workers.counts().idle);
    let _clients = ask(&site, GET);
    let job = arrival(&later).unwrap();
    assert!(!job.spawn);
    assert!(earlier.try_recv().is_err());
    drop(job.turn);
    let _other = ask(&site, GET);
    assert!(arrival(&earlier).unwrap().spawn);
}

#[test]
fn threads_that_wait_are_woken_one_after_another() {
    let site = Site::open(small());
    let waiting = [(); 2].map(|()| site.take_elsewhere());
    until_equal(&2, || site.workers.counts().idle);
    let _clients = [ask(&site, GET), ask(&site, GET)];
    let woken = || waiting.iter().find_map(|thread| thread.try_recv().ok().flatten());
    let first = until("a job", woken);
    let one_is_coming = ThreadCounts { idle: 1, http: 1, http_waiting: 1, ..Default::default() };
    until_equal(&one_is_coming, || site.workers.counts());
    drop(first.turn);
    let second = until("the other job", woken);
    assert_eq!(site.workers.counts(), ThreadCounts { starting: 1, http: 2, ..Default::default() });
    drop((first.slot, second));
}

#[test]
fn thread_that_is_at_it_takes_what_waits_though_another_is_coming() {
    let site = Site::open(small());
    assert!(site.workers.take_now().is_none());
    let waiting = site.take_elsewhere();
    until_equal(&1, || site.workers.counts().idle);
    let _first = ask(&site, GET);
    let coming = arrival(&waiting).unwrap();
    let _second = ask(&site, GET);
    until_equal(&1, || site.workers.counts().http_waiting);
    let job = site.workers.take_now().unwrap();
    assert!(job.turn.is_none());
    assert_eq!(site.workers.counts().http, 2);
    drop((coming, job));
}

#[test]
fn requests_past_the_threads_wait_and_those_past_the_queue_get_503() {
    let site = Site::open(small());
    let mut clients = [ask(&site, GET), ask(&site, GET)];
    let first = take(&site);
    let second = take(&site);
    let mut third = ask(&site, GET);
    until_equal(&1, || site.workers.counts().http_waiting);
    let refused = ask(&site, GET).receive();
    assert_eq!(refused.status(), "HTTP/1.1 503 Service Unavailable");
    assert_eq!(refused.field("retry-after"), Some("1"));
    assert_eq!(site.workers.counts().refused, 1);

    let waiting = site.take_elsewhere();
    until_equal(&1, || site.workers.counts().idle);
    answer(*first.exchange, "first");
    drop(first.slot);
    // A place is free; the thread that left it comes back for what waits.
    answer(*take(&site).exchange, "third");
    assert_eq!(third.receive().body, "third");
    answer(*second.exchange, "second");
    assert_eq!(clients.each_mut().map(|client| client.receive().body).concat().len(), "firstsecond".len());
    drop(waiting);
}

#[test]
fn sockets_take_no_place_of_http() {
    let site = Site::open(ServerConfig { http_threads: 1, handshake_threads: 8, ..Default::default() });
    let _sockets = [(); 8].map(|()| ask(&site, HANDSHAKE));
    let handshakes = [(); 8].map(|()| take(&site));
    let mut client = ask(&site, GET);
    let job = take(&site);
    assert!(job.exchange.handshake.is_none());
    answer(*job.exchange, "served");
    assert_eq!(client.receive().body, "served");
    drop(handshakes);
}

#[test]
fn http_takes_no_place_of_sockets() {
    let site = Site::open(ServerConfig { http_threads: 1, ..Default::default() });
    let _clients = [ask(&site, GET), ask(&site, GET)];
    let request = take(&site);
    until_equal(&1, || site.workers.counts().http_waiting);
    let _socket = ask(&site, HANDSHAKE);
    assert!(take(&site).exchange.handshake.is_some());
    drop(request);
}

#[test]
fn handshake_past_the_last_websocket_gets_503_at_once() {
    let site = Site::open(small());
    let _sockets = [ask(&site, HANDSHAKE), ask(&site, HANDSHAKE)];
    until_equal(&2, || site.workers.counts().websockets);
    let refused = ask(&site, HANDSHAKE).receive();
    assert_eq!(refused.status(), "HTTP/1.1 503 Service Unavailable");
    assert_eq!(refused.field("retry-after"), Some("1"));
    assert_eq!(site.workers.counts().refused, 1);
    let mut client = ask(&site, GET);
    until_equal(&1, || site.workers.counts().http_waiting);
    let job = take(&site);
    answer(*job.exchange, "HTTP goes on");
    assert_eq!(client.receive().body, "HTTP goes on");
}

#[test]
fn accepted_handshake_frees_its_place_for_the_next_handshake() {
    let site = Site::open(small());
    let _sockets = [ask(&site, HANDSHAKE), ask(&site, HANDSHAKE)];
    let first = take(&site);
    let waiting = site.take_elsewhere();
    until_equal(
        &ThreadCounts { idle: 1, handshakes: 1, handshakes_waiting: 1, websockets: 2, ..Default::default() },
        || site.workers.counts(),
    );
    assert!(waiting.try_recv().is_err());
    first.slot.opened();
    first.slot.opened();
    let second = arrival(&waiting).unwrap();
    assert!(second.exchange.handshake.is_some());
    assert_eq!(site.workers.counts().handshakes, 1);
    drop(second);
    assert_eq!(site.workers.counts(), ThreadCounts { starting: 1, websockets: 1, ..Default::default() });
    drop(first);
    assert_eq!(site.workers.counts(), ThreadCounts { starting: 1, ..Default::default() });
}

#[test]
fn opening_an_http_place_does_nothing() {
    let site = Site::open(small());
    let _client = ask(&site, GET);
    let job = take(&site);
    job.slot.opened();
    assert_eq!(site.workers.counts().http, 1);
    drop(job);
    assert_eq!(site.workers.counts().http, 0);
}

#[test]
fn no_thread_is_started_when_nothing_more_could_start() {
    let config = ServerConfig {
        http_threads: 1,
        max_websocket_connections: 1,
        handshake_threads: 1,
        ..Default::default()
    };
    let site = Site::open(config);
    let (_client, _socket) = (ask(&site, GET), ask(&site, HANDSHAKE));
    let first = take(&site);
    let newcomer = site.take_elsewhere();
    let second = arrival(&newcomer).unwrap();
    assert!(first.spawn);
    assert!(!second.spawn);
    assert_eq!(site.workers.counts().starting, 0);
}

#[test]
fn waiting_handshake_always_finds_a_thread() {
    let config = ServerConfig {
        http_threads: 0,
        http_waiting: 0,
        max_websocket_connections: 2,
        handshake_threads: 1,
        ..Default::default()
    };
    let site = Site::open(config);
    let _sockets = [ask(&site, HANDSHAKE), ask(&site, HANDSHAKE)];
    until_equal(&2, || site.workers.counts().websockets);
    assert!(take(&site).spawn);
}

#[test]
fn thread_that_could_not_be_started_is_asked_for_again() {
    let site = Site::open(small());
    let _clients = [ask(&site, GET), ask(&site, GET)];
    let first = take(&site);
    assert!(first.spawn);
    site.workers.spawn_failed();
    assert_eq!(site.workers.counts().starting, 0);
    drop(first);
    assert!(take(&site).spawn);
}

#[test]
fn idle_thread_is_sent_away_after_a_while_but_one_stays() {
    let linger = Duration::from_millis(20);
    let site = Site::open(ServerConfig { thread_linger: linger, ..small() });
    let begin = Instant::now();
    let waiting = [(); 3].map(|()| site.take_elsewhere());
    let mut gone = Vec::new();
    until_equal(&2, || {
        gone.extend(waiting.iter().filter_map(|thread| thread.try_recv().ok()));
        gone.len()
    });
    assert!(begin.elapsed() >= linger);
    assert!(gone.iter().all(Option::is_none));
    // The last to start may not wait yet.
    until_equal(&1, || site.workers.counts().idle);
    // The one that stays takes the next job.
    let _client = ask(&site, GET);
    let job = until("a job", || waiting.iter().find_map(|thread| thread.try_recv().ok().flatten()));
    assert!(job.spawn);
}

#[test]
fn stop_sends_idle_threads_away_and_refuses_what_waits_and_comes() {
    let site = Site::open(small());
    let mut running = ask(&site, GET);
    let job = take(&site);
    let mut waiting = [ask(&site, GET), ask(&site, HANDSHAKE)];
    until_equal(&(1, 1), || {
        let counts = site.workers.counts();
        (counts.http_waiting, counts.handshakes_waiting)
    });
    site.workers.stop();
    for client in &mut waiting {
        assert_eq!(client.receive().status(), "HTTP/1.1 503 Service Unavailable");
    }
    assert_eq!(ask(&site, GET).receive().status(), "HTTP/1.1 503 Service Unavailable");
    assert!(site.workers.take().is_none());
    answer(*job.exchange, "still answered");
    assert_eq!(running.receive().body, "still answered");
    drop(job.slot);
    assert_eq!(site.workers.counts(), ThreadCounts { starting: 1, refused: 3, ..Default::default() });
}

#[test]
fn stop_wakes_threads_that_wait() {
    let site = Site::open(small());
    let waiting = [(); 2].map(|()| site.take_elsewhere());
    until_equal(&2, || site.workers.counts().idle);
    site.workers.stop();
    for thread in waiting {
        assert!(arrival(&thread).is_none());
    }
    assert_eq!(site.workers.counts(), ThreadCounts::default());
}

#[test]
fn one_thread_serves_a_thousand_requests_of_one_client() {
    let site = Site::serving(ServerConfig::default(), |exchange, _| answer(exchange, "again"));
    let mut client = site.connect();
    for _ in 0..1000 {
        assert_eq!(client.send(GET).receive().body, "again");
        // One served, the other was started to wait meanwhile. A client that does not wait for both to be back
        // may be served by a third.
        until_equal(&ThreadCounts { idle: 2, ..Default::default() }, || site.workers.counts());
    }
}

#[test]
fn thread_makes_way_for_another_after_many_handshakes() {
    for (request, most) in [(HANDSHAKE, 16), (GET, 200)] {
        let threads: Arc<Mutex<HashMap<ThreadId, usize>>> = Arc::default();
        let site = Site::serving(ServerConfig::default(), {
            let threads = Arc::clone(&threads);
            move |exchange, _| {
                *threads.lock().entry(thread::current().id()).or_default() += 1;
                answer(exchange, "no socket");
            }
        });
        for _ in 0..200 {
            assert_eq!(ask(&site, request).receive().body, "no socket");
        }
        let threads = threads.lock();
        assert_eq!(threads.values().sum::<usize>(), 200);
        assert!(threads.values().all(|count| *count <= most), "{threads:?}");
    }
}

#[test]
fn threads_that_leave_as_soon_as_they_may_lose_no_request() {
    for linger in [Duration::ZERO, Duration::from_micros(50)] {
        let config = ServerConfig { thread_linger: linger, http_threads: 4, ..Default::default() };
        let site = Site::serving(config, |exchange, _| answer(exchange, "again"));
        thread::scope(|scope| {
            for _ in 0..8 {
                scope.spawn(|| {
                    let mut client = site.connect();
                    for _ in 0..200 {
                        assert_eq!(client.send(GET).receive().body, "again");
                    }
                });
            }
        });
        until_equal(&(0, 1), || {
            let counts = site.workers.counts();
            (counts.http + counts.starting, counts.idle)
        });
    }
}
