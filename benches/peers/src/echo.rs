//! Echo: every client has so many messages under way and sends another for each that comes back.

use std::{
    collections::VecDeque,
    time::{Duration, Instant},
};

use serde::Deserialize;

use crate::{
    engine::{Engine, Target},
    error::Failure,
    payload::{Kind, Payload},
    report::{Meter, Report},
};

/// Handshakes under way at a time while the clients are opened: Django's runserver lets no more than ten wait.
const AT_ONCE: usize = 8;

/// What to do.
#[derive(Clone, Debug, Deserialize)]
pub struct Echo {
    /// Where.
    pub target: Target,
    /// How many clients.
    pub clients: usize,
    /// Messages that each has under way.
    pub depth: usize,
    /// Bytes of a message.
    pub size: usize,
    /// What the messages are.
    pub kind: Kind,
    /// How long is measured, after the warm-up.
    pub seconds: f64,
    /// How long not to measure at first.
    pub warm_up_seconds: f64,
    /// How long the clients may take to open, and the last answers to come.
    pub limit_seconds: f64,
}

/// What one client has under way.
#[derive(Default)]
struct Flight {
    sent: u64,
    received: u64,
    sent_at: VecDeque<Instant>,
}

impl Flight {
    fn send(&mut self, payload: &Payload, output: &mut Vec<u8>, now: Instant) {
        payload.append(self.sent, output);
        self.sent += 1;
        self.sent_at.push_back(now);
    }

    /// Takes an answer and gives how long it took.
    fn receive(
        &mut self,
        client: usize,
        payload: &Payload,
        (opcode, message): (u8, &[u8]),
        now: Instant,
    ) -> Result<Duration, Failure> {
        let Some(sent_at) = self.sent_at.pop_front() else { return Err(Failure::Unexpected { client }) };
        if let Some(what) = payload.difference(self.received, opcode, message) {
            return Err(Failure::Wrong { client, number: self.received, what });
        }
        self.received += 1;
        Ok(now.saturating_duration_since(sent_at))
    }
}

/// Runs the case.
///
/// # Errors
/// An answer is wrong, doubled, missing or out of order; the server refuses, closes or is too slow.
pub fn run(echo: &Echo) -> Result<Report, Failure> {
    let limit = Duration::from_secs_f64(echo.limit_seconds);
    let mut engine = Engine::open(&echo.target, echo.clients, AT_ONCE, limit)?;
    let payload = Payload::new(echo.kind, echo.size, echo.target.is_compressed);
    let mut flights: Vec<Flight> = Vec::new();
    flights.resize_with(echo.clients, Flight::default);
    for (client, flight) in engine.clients.iter_mut().zip(&mut flights) {
        for _ in 0..echo.depth {
            flight.send(&payload, client.output(), Instant::now());
        }
        client.flush()?;
    }
    let warm = Instant::now() + Duration::from_secs_f64(echo.warm_up_seconds);
    turn(&mut engine, &mut flights, &payload, &mut Meter::begin(), warm)?;
    let mut meter = Meter::begin();
    let end = Instant::now() + Duration::from_secs_f64(echo.seconds);
    turn(&mut engine, &mut flights, &payload, &mut meter, end)?;
    let report = meter.finish();
    drain(&mut engine, &mut flights, &payload, limit)?;
    Ok(report)
}

/// Sends a message for each answer until `end`.
fn turn(
    engine: &mut Engine,
    flights: &mut [Flight],
    payload: &Payload,
    meter: &mut Meter,
    end: Instant,
) -> Result<(), Failure> {
    while Instant::now() < end {
        for number in engine.wait(end)? {
            let (client, flight) = (&mut engine.clients[number], &mut flights[number]);
            let now = Instant::now();
            client.messages(|opcode, message, output| {
                meter.record(flight.receive(number, payload, (opcode, message), now)?);
                flight.send(payload, output, now);
                Ok(())
            })?;
            client.flush()?;
        }
    }
    Ok(())
}

/// Waits for the answers that are still to come, and for none but those.
fn drain(
    engine: &mut Engine,
    flights: &mut [Flight],
    payload: &Payload,
    limit: Duration,
) -> Result<(), Failure> {
    let deadline = Instant::now() + limit;
    let mut missing: u64 = flights.iter().map(|flight| flight.sent - flight.received).sum();
    while missing > 0 {
        for number in engine.wait(deadline)? {
            let flight = &mut flights[number];
            engine.clients[number].messages(|opcode, message, _| {
                flight.receive(number, payload, (opcode, message), Instant::now())?;
                missing -= 1;
                Ok(())
            })?;
            engine.clients[number].flush()?;
        }
        if missing > 0 && Instant::now() >= deadline {
            let of = flights.iter().map(|flight| flight.sent).sum();
            return Err(Failure::Missing { missing, of, what: "answers", seconds: limit.as_secs_f64() });
        }
    }
    Ok(())
}
