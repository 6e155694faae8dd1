//! A connection whose driver stands still.

use std::{
    io::{self, Read, Write},
    net::TcpStream as Peer,
};

use bytes::Bytes;
use dwebsocket::{
    connection::{Connection, Patience, Socket, Taken},
    wire::{frame::encode_message, message::Kind},
};
use parking_lot::{Mutex, MutexGuard};
use tokio::{runtime, task::JoinHandle};

use super::support::{LONG, client_frame, config, opened, readable, tcp_pair};

pub(crate) static TURN: Mutex<()> = Mutex::new(());

/// A connection whose driver runs only when a test lets it.
pub(crate) struct Standing {
    pub(crate) runtime: runtime::Runtime,
    pub(crate) connection: Connection,
    pub(crate) peer: Peer,
    pub(crate) task: JoinHandle<()>,
    pub(crate) turn: Option<MutexGuard<'static, ()>>,
}

impl Standing {
    /// A connection whose driver has found nothing to do. No other test has one.
    pub(crate) fn new() -> Self {
        let turn = TURN.lock();
        Self { turn: Some(turn), ..Self::another() }
    }

    /// One more in the same test.
    pub(crate) fn another() -> Self {
        let runtime = runtime::Builder::new_current_thread().enable_all().build().unwrap();
        let (connection, driver) = opened(config(|_| {}));
        let (socket, peer) = runtime.block_on(tcp_pair());
        let peer = peer.into_std().unwrap();
        peer.set_nonblocking(false).unwrap();
        peer.set_read_timeout(Some(LONG)).unwrap();
        let task = runtime.spawn(driver.run_socket(Socket::Tcp(socket), Bytes::new()));
        let standing = Self { runtime, connection, peer, task, turn: None };
        standing.turn();
        standing
    }

    /// Lets the driver do what it was woken for.
    pub(crate) fn turn(&self) {
        self.runtime.block_on(async {
            for _ in 0..4 {
                tokio::task::yield_now().await;
            }
        });
    }

    pub(crate) fn send_now(&self, text: &str) {
        self.send_now_as(Patience::Owner, text);
    }

    pub(crate) fn send_now_as(&self, patience: Patience, text: &str) {
        assert_eq!(self.connection.send_now(encode_message(Kind::Text, text.as_bytes()), patience), None);
    }

    pub(crate) fn queue(&self, text: &str) {
        self.connection.send(encode_message(Kind::Text, text.as_bytes()), Patience::Other).unwrap();
    }

    pub(crate) fn expect(&mut self, expected: &[u8]) {
        let mut read = vec![0; expected.len()];
        self.peer.read_exact(&mut read).unwrap();
        assert_eq!(read, expected);
    }

    /// Loopback delivers before the write returns: what is not there now was not written.
    pub(crate) fn expect_nothing(&mut self) {
        self.peer.set_nonblocking(true).unwrap();
        assert_eq!(self.peer.read(&mut [0; 1]).unwrap_err().kind(), io::ErrorKind::WouldBlock);
        self.peer.set_nonblocking(false).unwrap();
    }

    /// The peer sends so many messages, and all are in the inbox.
    pub(crate) fn receive(&mut self, messages: usize) {
        for _ in 0..messages {
            self.peer.write_all(&client_frame(0x81, b"hi")).unwrap();
        }
        self.runtime.block_on(async {
            while self.connection.pending() < messages {
                readable(&self.connection).await;
                tokio::task::yield_now().await;
            }
        });
    }

    pub(crate) fn take(&self) {
        assert!(matches!(self.connection.receive_now(), Ok(Taken::Message(_))));
    }
}
