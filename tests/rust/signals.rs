//! Signal handlers that were there before ours. A binary with one test, because handlers belong to the whole process.
#![cfg(not(loom))]
#![allow(clippy::unwrap_used, missing_docs)]
// Signal handlers cannot be set without it.
#![allow(unsafe_code)]

use std::{
    io::Read,
    mem::zeroed,
    net::{TcpListener, TcpStream},
    os::fd::AsFd,
    process,
    ptr::null_mut,
    sync::{
        Arc,
        atomic::{AtomicI32, Ordering},
    },
    time::Duration,
};

use bytes::Bytes;
use dwebsocket::{config::ConnectionConfig, connection::adopt::Adopted};
use libc::{c_int, c_void, sigaction, siginfo_t};
use tokio::runtime::Builder;

/// More than a socket takes in that nobody reads, at one byte a signal.
const MANY: i32 = 2_000;

static SENDER: AtomicI32 = AtomicI32::new(0);
static CALLS: AtomicI32 = AtomicI32::new(0);

extern "C" fn with_info(number: c_int, info: *mut siginfo_t, context: *mut c_void) {
    assert_eq!(number, libc::SIGTERM);
    assert!(!context.is_null());
    // SAFETY: under SA_SIGINFO the kernel gives one, and `raise` says who sent it.
    SENDER.store(unsafe { (*info).si_pid() }, Ordering::SeqCst);
}

extern "C" fn plain(number: c_int) {
    assert_eq!(number, libc::SIGINT);
    CALLS.fetch_add(1, Ordering::SeqCst);
}

fn handle(number: c_int, handler: usize, flags: c_int) {
    // SAFETY: zeros are a valid sigaction, and the handler has the signature that the flags ask for.
    unsafe {
        let mut action: sigaction = zeroed();
        action.sa_sigaction = handler;
        action.sa_flags = flags;
        assert_eq!(libc::sigaction(number, &raw const action, null_mut()), 0);
    }
}

fn handler_of(number: c_int) -> usize {
    // SAFETY: zeros are a valid sigaction, which the call fills in.
    unsafe {
        let mut action: sigaction = zeroed();
        assert_eq!(libc::sigaction(number, null_mut(), &raw mut action), 0);
        action.sa_sigaction
    }
}

/// Sends this thread a signal, which is handled before it returns; gives what `errno`, 42 before, is then.
fn errno_after(number: c_int) -> c_int {
    // SAFETY: `errno` is the thread's own.
    unsafe {
        let errno = libc::__errno_location();
        *errno = 42;
        libc::raise(number);
        *errno
    }
}

#[test]
fn the_handlers_there_are_are_called_as_before_and_sockets_close_with_1001() {
    let takes_info: extern "C" fn(c_int, *mut siginfo_t, *mut c_void) = with_info;
    let takes_none: extern "C" fn(c_int) = plain;
    handle(libc::SIGTERM, takes_info as usize, libc::SA_SIGINFO);
    handle(libc::SIGINT, takes_none as usize, 0);
    handle(libc::SIGQUIT, libc::SIG_IGN, 0);
    // It means what the program takes it for, but in uWSGI.
    handle(libc::SIGHUP, takes_none as usize, 0);

    let runtime = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let adopted = Adopted::new(runtime.handle().clone(), std::sync::Arc::default()).unwrap();
    assert_ne!(handler_of(libc::SIGTERM), takes_info as usize);
    assert_ne!(handler_of(libc::SIGINT), takes_none as usize);
    assert_eq!(handler_of(libc::SIGQUIT), libc::SIG_IGN);
    assert_eq!(handler_of(libc::SIGABRT), libc::SIG_DFL);
    assert_eq!(handler_of(libc::SIGHUP), takes_none as usize);

    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let mut client = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
    client.set_read_timeout(Some(Duration::from_secs(60))).unwrap();
    let (server, _) = listener.accept().unwrap();
    let config = Arc::new(ConnectionConfig { ping_interval: None, ..ConnectionConfig::default() });
    let adoption = adopted.prepare(server.as_fd(), config, None, usize::MAX).unwrap();
    let _connection = adoption.take(Bytes::from_static(b"101"), Bytes::new()).unwrap();

    assert_eq!(errno_after(libc::SIGTERM), 42);
    assert_eq!(SENDER.load(Ordering::SeqCst), process::id().cast_signed());
    let mut received = [0; 7];
    client.read_exact(&mut received).unwrap();
    assert_eq!(&received, b"101\x88\x02\x03\xE9");

    // Whether nobody reads any more what they tell or nobody is there to read it, it is the handler's own business.
    for _ in 0..MANY {
        assert_eq!(errno_after(libc::SIGINT), 42);
    }
    assert_eq!(CALLS.load(Ordering::SeqCst), MANY);
}
