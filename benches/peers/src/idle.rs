//! Idle: many clients open a WebSocket, say one message, and are silent until they are told to say another.

use std::{
    io::{BufRead, Write},
    sync::Arc,
    time::{Duration, Instant},
};

use mio::{Token, Waker};
use serde::{Deserialize, Serialize};

use crate::{
    engine::{Engine, Target},
    error::Failure,
    payload::{Kind, Payload},
};

/// What to do.
#[derive(Clone, Debug, Deserialize)]
pub struct Idle {
    /// Where.
    pub target: Target,
    /// How many clients.
    pub clients: usize,
    /// Handshakes under way at a time.
    pub at_once: usize,
    /// How long the clients may take to open; those that are not open then are left out.
    pub limit_seconds: f64,
}

/// The clients are open and silent.
#[derive(Clone, Debug, Serialize)]
pub struct Held {
    /// How many are open, and have been answered.
    pub opened: usize,
    /// How long that took.
    pub seconds: f64,
    /// Why it is not all of them.
    pub reason: Option<String>,
}

/// The end.
#[derive(Clone, Debug, Serialize)]
pub struct Alive {
    /// How many of those that were open still answer.
    pub alive: usize,
    /// How long the answers took.
    pub seconds: f64,
}

/// Opens the clients, tells `output`, waits for a line or the end of `input`, and lets every client say something.
/// Pings are answered all the while.
///
/// # Errors
/// No client could be opened; an answer is wrong; the poll fails.
pub fn run(
    idle: &Idle,
    input: impl BufRead + Send + 'static,
    mut output: impl Write,
) -> Result<Alive, Failure> {
    let limit = Duration::from_secs_f64(idle.limit_seconds);
    let begun = Instant::now();
    let mut engine = Engine::new()?;
    let outcome = engine.open_more(&idle.target, idle.clients, idle.at_once, limit);
    // What is not open by now will not be.
    let mut crowd = Crowd {
        payload: Payload::new(Kind::Text, 64, false),
        states: vec![State::Shut; engine.clients.len()],
    };
    for (state, client) in crowd.states.iter_mut().zip(&mut engine.clients) {
        if client.is_open() {
            *state = State::Silent;
        } else {
            client.give_up();
        }
    }
    let answered = crowd.ask_all(&mut engine, 0, limit)?;
    let held = Held {
        opened: answered,
        seconds: begun.elapsed().as_secs_f64(),
        reason: outcome
            .err()
            .map(|failure| failure.to_string())
            .or_else(|| (answered < idle.clients).then(|| "some were opened and not answered".to_owned())),
    };
    writeln!(output, "{}", serde_json::json!(held))?;
    output.flush()?;
    crowd.hold(&mut engine, input)?;
    let begun = Instant::now();
    let alive = crowd.ask_all(&mut engine, 1, limit)?;
    Ok(Alive { alive, seconds: begun.elapsed().as_secs_f64() })
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Silent,
    Asked,
    Shut,
}

struct Crowd {
    payload: Payload,
    states: Vec<State>,
}

impl Crowd {
    /// Every open client says message `turn`; how many are answered in time.
    fn ask_all(&mut self, engine: &mut Engine, turn: u64, limit: Duration) -> Result<usize, Failure> {
        for (client, state) in engine.clients.iter_mut().zip(&mut self.states) {
            if *state == State::Silent {
                self.payload.append(turn, client.output());
                *state = if client.flush().is_ok() { State::Asked } else { State::Shut };
            }
        }
        let deadline = Instant::now() + limit;
        while self.states.contains(&State::Asked) && Instant::now() < deadline {
            self.look(engine, turn, deadline)?;
        }
        for state in &mut self.states {
            if *state == State::Asked {
                *state = State::Shut;
            }
        }
        Ok(self.states.iter().filter(|state| **state == State::Silent).count())
    }

    /// Answers Pings until `input` says something or ends.
    fn hold(&mut self, engine: &mut Engine, mut input: impl BufRead + Send + 'static) -> Result<(), Failure> {
        let waker = Arc::new(Waker::new(engine.poll().registry(), Token(usize::MAX))?);
        let listener = std::thread::spawn(move || {
            let outcome = input.read_line(&mut String::new());
            waker.wake().and(outcome.map(|_| ()))
        });
        while !listener.is_finished() {
            self.look(engine, 0, Instant::now() + Duration::from_millis(100))?;
        }
        listener.join().expect("bug: reading a line cannot panic")?;
        Ok(())
    }

    fn look(&mut self, engine: &mut Engine, turn: u64, deadline: Instant) -> Result<(), Failure> {
        for number in engine.wait(deadline)? {
            let (state, payload) = (&mut self.states[number], &self.payload);
            if *state == State::Shut {
                continue;
            }
            let client = &mut engine.clients[number];
            let outcome = client.messages(|opcode, message, _| {
                if *state != State::Asked {
                    return Err(Failure::Unexpected { client: number });
                }
                if let Some(what) = payload.difference(turn, opcode, message) {
                    return Err(Failure::Wrong { client: number, number: turn, what });
                }
                *state = State::Silent;
                Ok(())
            });
            match outcome.and_then(|()| client.flush()) {
                Ok(()) => {}
                Err(Failure::Closed { .. } | Failure::Io { .. }) => *state = State::Shut,
                Err(failure) => return Err(failure),
            }
        }
        Ok(())
    }
}
