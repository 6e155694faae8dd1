//! Broadcast: one client sends, and sends again when all have received it.
//!
//! The server says "joined" to each client that will receive what is sent from then on.

use std::time::{Duration, Instant};

use serde::Deserialize;

use crate::{
    engine::{Engine, Target},
    error::Failure,
    frame::TEXT,
    payload::{Kind, Payload},
    report::{Meter, Report},
};

/// Handshakes under way at a time while the clients are opened: Django's runserver lets no more than ten wait.
const AT_ONCE: usize = 8;

/// What to do.
#[derive(Clone, Debug, Deserialize)]
pub struct Broadcast {
    /// Where.
    pub target: Target,
    /// How many clients; the first sends, and receives as well.
    pub clients: usize,
    /// Bytes of a message.
    pub size: usize,
    /// How long is measured, after the warm-up.
    pub seconds: f64,
    /// How long not to measure at first.
    pub warm_up_seconds: f64,
    /// How long the clients may take to join, and a message to reach all.
    pub limit_seconds: f64,
}

/// Runs the case: deliveries are counted, and a latency is that of a delivery.
///
/// # Errors
/// A message is wrong, doubled, missing or out of order at any client; the server refuses, closes or is too slow.
pub fn run(broadcast: &Broadcast) -> Result<Report, Failure> {
    let limit = Duration::from_secs_f64(broadcast.limit_seconds);
    let mut engine = Engine::open(&broadcast.target, broadcast.clients, AT_ONCE, limit)?;
    wait_for_joined(&mut engine, limit)?;
    let payload = Payload::new(Kind::Text, broadcast.size, broadcast.target.is_compressed);
    let mut received = vec![0; broadcast.clients];
    let warm = Instant::now() + Duration::from_secs_f64(broadcast.warm_up_seconds);
    while Instant::now() < warm {
        round(&mut engine, &payload, &mut received, &mut Meter::begin(), limit)?;
    }
    let mut meter = Meter::begin();
    let end = Instant::now() + Duration::from_secs_f64(broadcast.seconds);
    while meter.count() == 0 || Instant::now() < end {
        round(&mut engine, &payload, &mut received, &mut meter, limit)?;
    }
    Ok(meter.finish())
}

/// Waits until the server has said "joined" to every client.
///
/// # Errors
/// It said something else, or not to all in time.
pub fn wait_for_joined(engine: &mut Engine, limit: Duration) -> Result<(), Failure> {
    let deadline = Instant::now() + limit;
    let mut joined = vec![false; engine.clients.len()];
    let mut missing = joined.len();
    // The word may have come with the answer to the handshake.
    let mut ready: Vec<usize> = (0..joined.len()).collect();
    loop {
        for number in ready {
            engine.clients[number].messages(|opcode, message, _| {
                if joined[number] {
                    return Err(Failure::Unexpected { client: number });
                }
                if (opcode, message) != (TEXT, b"joined") {
                    return Err(Failure::Wrong {
                        client: number,
                        number: 0,
                        what: "\"joined\" has to come first",
                    });
                }
                joined[number] = true;
                missing -= 1;
                Ok(())
            })?;
        }
        if missing == 0 {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(Failure::Missing {
                missing: missing as u64,
                of: joined.len() as u64,
                what: "\"joined\"",
                seconds: limit.as_secs_f64(),
            });
        }
        ready = engine.wait(deadline)?;
    }
}

/// One message to all.
fn round(
    engine: &mut Engine,
    payload: &Payload,
    received: &mut [u64],
    meter: &mut Meter,
    limit: Duration,
) -> Result<(), Failure> {
    let turn = received[0];
    let begun = Instant::now();
    payload.append(turn, engine.clients[0].output());
    engine.clients[0].flush()?;
    let mut missing = received.len() as u64;
    while missing > 0 {
        for number in engine.wait(begun + limit)? {
            let count = &mut received[number];
            let client = &mut engine.clients[number];
            client.messages(|opcode, message, _| {
                if *count > turn {
                    return Err(Failure::Unexpected { client: number });
                }
                if let Some(what) = payload.difference(turn, opcode, message) {
                    return Err(Failure::Wrong { client: number, number: turn, what });
                }
                *count += 1;
                missing -= 1;
                meter.record(begun.elapsed());
                Ok(())
            })?;
            client.flush()?;
        }
        if missing > 0 && begun.elapsed() >= limit {
            let of = received.len() as u64;
            return Err(Failure::Missing { missing, of, what: "deliveries", seconds: limit.as_secs_f64() });
        }
    }
    Ok(())
}
