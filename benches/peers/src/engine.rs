//! Many clients on one poll.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use mio::{Events, Interest, Poll, Token};
use serde::Deserialize;

use crate::{client::Client, error::Failure};

/// Events that one look at the poll takes.
const EVENTS: usize = 1024;

/// Where the load goes.
#[derive(Clone, Debug, Deserialize)]
pub struct Target {
    /// Address and port of the server.
    pub address: SocketAddr,
    /// The path of the handshake.
    pub path: String,
    /// Whether permessage-deflate is offered and has to be agreed on.
    #[serde(default)]
    pub is_compressed: bool,
    /// Whether it is no WebSocket but a response in chunks.
    #[serde(default)]
    pub is_stream: bool,
}

/// Many clients on one poll.
pub struct Engine {
    poll: Poll,
    events: Events,
    /// The clients, each at its number.
    pub clients: Vec<Client>,
}

impl Engine {
    /// An engine without clients.
    pub fn new() -> Result<Self, Failure> {
        Ok(Self { poll: Poll::new()?, events: Events::with_capacity(EVENTS), clients: Vec::new() })
    }

    /// An engine with `count` open clients, of which at most `at_once` are being opened at a time.
    ///
    /// # Errors
    /// One of them was refused, or not all were open in time.
    pub fn open(target: &Target, count: usize, at_once: usize, limit: Duration) -> Result<Self, Failure> {
        let mut engine = Self::new()?;
        engine.open_more(target, count, at_once, limit)?;
        Ok(engine)
    }

    /// Opens clients until there are `count` in all. After an error the first ones, up to some number, are open.
    pub fn open_more(
        &mut self,
        target: &Target,
        count: usize,
        at_once: usize,
        limit: Duration,
    ) -> Result<(), Failure> {
        let deadline = Instant::now() + limit;
        let mut opened = self.clients.len();
        while opened < count {
            while self.clients.len() < count.min(opened + at_once) {
                self.connect(target)?;
            }
            for token in self.wait(deadline)? {
                let client = &mut self.clients[token];
                if !client.is_open() && client.open()? {
                    opened += 1;
                }
            }
            if opened < count && Instant::now() >= deadline {
                return Err(Failure::Missing {
                    missing: (count - opened) as u64,
                    of: count as u64,
                    what: "handshakes",
                    seconds: limit.as_secs_f64(),
                });
            }
        }
        Ok(())
    }

    /// Begins to open one client more.
    pub fn connect(&mut self, target: &Target) -> Result<(), Failure> {
        self.connect_holding(target, None)
    }

    /// As [`Engine::connect`]; the client's socket holds so many bytes at most that were not read yet.
    pub fn connect_holding(&mut self, target: &Target, holds: Option<usize>) -> Result<(), Failure> {
        let client = self.register(target, self.clients.len(), holds)?;
        self.clients.push(client);
        Ok(())
    }

    /// Lets go of a client and begins to open another in its place.
    pub fn replace(&mut self, number: usize, target: &Target) -> Result<(), Failure> {
        self.clients[number] = self.register(target, number, None)?;
        Ok(())
    }

    /// Waits until something can be read or written, at most until `deadline`, reads and writes it, and gives the
    /// numbers of the clients that may have something new.
    pub fn wait(&mut self, deadline: Instant) -> Result<Vec<usize>, Failure> {
        self.wait_for(deadline, usize::MAX)
    }

    /// As [`Engine::wait`]; only the first `readers` clients are read.
    pub fn wait_for(&mut self, deadline: Instant, readers: usize) -> Result<Vec<usize>, Failure> {
        let timeout = deadline.saturating_duration_since(Instant::now());
        match self.poll.poll(&mut self.events, Some(timeout)) {
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => return Ok(Vec::new()),
            outcome => outcome?,
        }
        let mut ready = Vec::with_capacity(EVENTS);
        for event in &self.events {
            let number = event.token().0;
            // A waker has no client.
            let Some(client) = self.clients.get_mut(number).filter(|_| number < readers) else { continue };
            if event.is_writable() && client.unsent() > 0 {
                client.flush()?;
            }
            if event.is_readable() || event.is_read_closed() {
                client.fill()?;
            }
            ready.push(number);
        }
        Ok(ready)
    }

    /// The poll, for what is no client.
    pub fn poll(&self) -> &Poll {
        &self.poll
    }

    fn register(&self, target: &Target, number: usize, holds: Option<usize>) -> Result<Client, Failure> {
        let mut client = Client::connect(number, target, holds)?;
        let interest = Interest::READABLE | Interest::WRITABLE;
        self.poll.registry().register(&mut client.stream, Token(number), interest)?;
        Ok(client)
    }
}
