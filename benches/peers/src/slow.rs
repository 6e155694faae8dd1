//! Broadcast at a fixed pace while some clients never read: what do the others get?

use std::time::{Duration, Instant};

use serde::{Deserialize, Serialize};

use crate::{
    broadcast::wait_for_joined,
    engine::{Engine, Target},
    error::Failure,
    payload::{Kind, Payload},
    report::{Meter, Report, exact},
};

/// Messages that the first client may have waiting for its socket before those that are due are left out.
const LATE_MESSAGES: usize = 4;

/// What to do.
#[derive(Clone, Debug, Deserialize)]
pub struct Slow {
    /// Where.
    pub target: Target,
    /// Clients that read, of which the first sends.
    pub readers: usize,
    /// Clients that never read.
    pub sleepers: usize,
    /// Bytes of a message.
    pub size: usize,
    /// Messages a second.
    pub pace: f64,
    /// How long they are sent.
    pub seconds: f64,
    /// How long what was sent may be under way at the end.
    pub drain_seconds: f64,
    /// How long the clients may take to join.
    pub limit_seconds: f64,
}

/// What came of it.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// Deliveries to the clients that read.
    #[serde(flatten)]
    pub report: Report,
    /// Messages that could be sent, of those that were due.
    pub sent_share: f64,
    /// Messages that reached the clients that read, of those that were sent.
    pub delivered_share: f64,
    /// Readers that the server closed.
    pub closed_readers: usize,
}

/// Runs the case. Messages that do not arrive are counted; nothing else is forgiven.
///
/// # Errors
/// A message is wrong, doubled or out of order.
pub fn run(slow: &Slow) -> Result<Outcome, Failure> {
    let limit = Duration::from_secs_f64(slow.limit_seconds);
    let mut engine = Engine::open(&slow.target, slow.readers + slow.sleepers, 8, limit)?;
    wait_for_joined(&mut engine, limit)?;
    let payload = Payload::new(Kind::Text, slow.size, false);
    let mut crowd =
        Crowd { readers: vec![Reader::default(); slow.readers], sent_at: Vec::new(), meter: Meter::begin() };
    let begun = Instant::now();
    let end = begun + Duration::from_secs_f64(slow.seconds);
    let mut due = 0_u32;
    while Instant::now() < end && !crowd.readers[0].is_closed {
        let sender = &mut engine.clients[0];
        let next = begun + Duration::from_secs_f64(f64::from(due) / slow.pace);
        if Instant::now() >= next {
            due += 1;
            // A server that does not read makes its client wait; messages are not heaped up here.
            if sender.unsent() < LATE_MESSAGES * slow.size {
                payload.append(crowd.sent_at.len() as u64, sender.output());
                crowd.sent_at.push(Instant::now());
                sender.flush()?;
            }
            continue;
        }
        crowd.receive(&mut engine, &payload, next.min(end))?;
    }
    let deadline = Instant::now() + Duration::from_secs_f64(slow.drain_seconds);
    while Instant::now() < deadline && !crowd.has_everything() {
        crowd.receive(&mut engine, &payload, deadline)?;
    }
    let report = crowd.meter.finish();
    let (sent, readers) = (exact(crowd.sent_at.len() as u64), exact(slow.readers as u64));
    let due = (slow.seconds * slow.pace).ceil().max(1.0);
    Ok(Outcome {
        sent_share: sent / due,
        delivered_share: if sent > 0.0 { exact(report.count) / (sent * readers) } else { 0.0 },
        closed_readers: crowd.readers.iter().filter(|reader| reader.is_closed).count(),
        report,
    })
}

/// Those who read.
struct Crowd {
    readers: Vec<Reader>,
    sent_at: Vec<Instant>,
    meter: Meter,
}

#[derive(Clone, Default)]
struct Reader {
    /// The number of the next message, or of a later one where some are missing.
    next: u64,
    is_closed: bool,
}

impl Crowd {
    /// Whether nothing more can come.
    fn has_everything(&self) -> bool {
        let all = self.sent_at.len() as u64;
        self.readers.iter().all(|reader| reader.is_closed || reader.next == all)
    }

    fn receive(&mut self, engine: &mut Engine, payload: &Payload, deadline: Instant) -> Result<(), Failure> {
        for number in engine.wait_for(deadline, self.readers.len())? {
            let (reader, sent_at, meter) = (&mut self.readers[number], &self.sent_at, &mut self.meter);
            if reader.is_closed {
                continue;
            }
            let client = &mut engine.clients[number];
            let outcome = client.messages(|opcode, message, _| {
                let wrong = |what| Failure::Wrong { client: number, number: reader.next, what };
                let index = Payload::number(message).ok_or_else(|| wrong("it has no number"))?;
                if index < reader.next {
                    return Err(wrong("it is doubled or out of order"));
                }
                let sent_at = usize::try_from(index).ok().and_then(|index| sent_at.get(index));
                let sent_at = sent_at.ok_or_else(|| wrong("it was never sent"))?;
                if let Some(what) = payload.difference(index, opcode, message) {
                    return Err(wrong(what));
                }
                meter.record(sent_at.elapsed());
                reader.next = index + 1;
                Ok(())
            });
            match outcome {
                Ok(()) => client.flush()?,
                Err(Failure::Closed { .. }) => reader.is_closed = true,
                Err(failure) => return Err(failure),
            }
        }
        Ok(())
    }
}
