//! Handshakes: so many clients at a time open a WebSocket, close it and begin anew.

use std::time::{Duration, Instant};

use serde::Deserialize;

use crate::{
    engine::{Engine, Target},
    error::Failure,
    frame,
    report::{Meter, Report},
};

/// What to do.
#[derive(Clone, Debug, Deserialize)]
pub struct Handshakes {
    /// Where.
    pub target: Target,
    /// Clients at a time.
    pub clients: usize,
    /// How long is measured, after the warm-up.
    pub seconds: f64,
    /// How long not to measure at first.
    pub warm_up_seconds: f64,
    /// How long one client may take.
    pub limit_seconds: f64,
}

/// Runs the case. A latency is that of the handshake alone; the closing handshake counts for the rate.
///
/// # Errors
/// A handshake is refused, or its answer or that to the Close takes too long.
pub fn run(handshakes: &Handshakes) -> Result<Report, Failure> {
    let mut engine = Engine::new()?;
    for _ in 0..handshakes.clients {
        engine.connect(&handshakes.target)?;
    }
    let mut begun = vec![Instant::now(); handshakes.clients];
    let warm = Instant::now() + Duration::from_secs_f64(handshakes.warm_up_seconds);
    turn(&mut engine, handshakes, &mut begun, &mut Meter::begin(), warm)?;
    let mut meter = Meter::begin();
    let end = Instant::now() + Duration::from_secs_f64(handshakes.seconds);
    turn(&mut engine, handshakes, &mut begun, &mut meter, end)?;
    Ok(meter.finish())
}

fn turn(
    engine: &mut Engine,
    handshakes: &Handshakes,
    begun: &mut [Instant],
    meter: &mut Meter,
    end: Instant,
) -> Result<(), Failure> {
    let limit = Duration::from_secs_f64(handshakes.limit_seconds);
    while Instant::now() < end {
        for number in engine.wait(end)? {
            let client = &mut engine.clients[number];
            if !client.is_open() {
                if !client.open()? {
                    continue;
                }
                meter.record(begun[number].elapsed());
                frame::encode(client.output(), frame::CLOSE, false, &1000_u16.to_be_bytes());
                client.flush()?;
            }
            match client.messages(|_, _, _| Err(Failure::Unexpected { client: number })) {
                Ok(()) => {}
                // An end without a Close is dwebsocket's, and the next client's turn all the same.
                Err(Failure::Closed { code: Some(1000) | None, .. }) => {
                    engine.replace(number, &handshakes.target)?;
                    begun[number] = Instant::now();
                }
                Err(failure) => return Err(failure),
            }
        }
        let late = begun.iter().filter(|begun| begun.elapsed() > limit).count();
        if late > 0 {
            return Err(Failure::Missing {
                missing: late as u64,
                of: begun.len() as u64,
                what: "handshakes",
                seconds: handshakes.limit_seconds,
            });
        }
    }
    Ok(())
}
