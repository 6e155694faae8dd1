//! Video: many clients watch one source. What comes is counted and checked lightly; of some clients some pictures are
//! kept, and read when nothing is measured any more.
//!
//! The first client opens alone, so that its first picture tells how long a source takes that nobody watched; the others
//! come when it has one.

use std::{
    io::Write,
    time::{Duration, Instant},
};

use rustix::time::{ClockId, clock_gettime};
use serde::{Deserialize, Serialize};

use crate::{
    engine::{Engine, Target},
    error::Failure,
    picture::{Form, Look, mark},
    report::{Meter, exact},
};

/// Handshakes under way at a time.
const AT_ONCE: usize = 8;
/// What the socket of a slow client holds, so that the server's side and not its own is what waits.
const SLOW_SOCKET_BYTES: usize = 16 << 10;
/// How often a slow client reads.
const SLOW_TURN: Duration = Duration::from_millis(10);
/// How much of what it could not read in time a slow client may still read.
const SLOW_BURST_SECONDS: f64 = 0.05;
/// Two messages that are equal here, and of one length, are the same picture.
const PROBE_BYTES: usize = 32;

/// What to do.
#[derive(Clone, Debug, Deserialize)]
pub struct Video {
    /// Where.
    pub target: Target,
    /// How the pictures come.
    pub form: Form,
    /// How many watch; at least one.
    pub viewers: usize,
    /// How many of them keep pictures to be read; with a slow one, that one keeps all of its own.
    pub samplers: usize,
    /// They keep one of so many.
    pub sample_every: u64,
    /// Bytes a second that one more viewer reads; 0: there is no such.
    #[serde(default)]
    pub slow_bytes_per_second: f64,
    /// How long is measured, after the warm-up.
    pub seconds: f64,
    /// How long not to measure at first.
    pub warm_up_seconds: f64,
    /// How long all may take to get their first picture.
    pub limit_seconds: f64,
}

/// What came.
#[derive(Clone, Debug, Serialize)]
pub struct Outcome {
    /// How long was measured.
    pub seconds: f64,
    /// Pictures that all viewers got, but for the slow one.
    pub pictures: u64,
    /// Pictures a second of the viewer that got fewest.
    pub fps_least: f64,
    /// Of the one in the middle.
    pub fps_median: f64,
    /// Pictures that were the one before once more.
    pub repeats: u64,
    /// Pictures that the server numbered and did not send.
    pub skipped: u64,
    /// Megabits a second to all of them.
    pub megabits: f64,
    /// From the first client's connecting to its first picture, in milliseconds.
    pub first_ms: f64,
    /// The same of those that came later, the one in the middle.
    pub later_first_ms: Option<f64>,
    /// CPU time of this process: 1 is a whole core.
    pub load_cpu: f64,
    /// The pictures that were kept.
    pub samples: Vec<Sample>,
    /// Those of the slow viewer.
    pub slow_samples: Vec<Sample>,
}

/// A picture that was read.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Sample {
    /// The number of the client.
    pub client: usize,
    /// The number in the picture.
    pub number: u16,
    /// When all of it had come, in seconds of `CLOCK_MONOTONIC`.
    pub at: f64,
}

/// Runs the case. `output` gets a line when the measuring begins, and another when it has ended.
///
/// # Errors
/// A message is wrong, a viewer gets no picture in time, the server tells that something is wrong or closes.
pub fn run(video: &Video, mut output: impl Write) -> Result<Outcome, Failure> {
    let mut crowd = Crowd::new(video)?;
    crowd.open(Instant::now() + Duration::from_secs_f64(video.limit_seconds))?;
    crowd.receive_for(video.warm_up_seconds)?;
    crowd.forget();
    writeln!(output, r#"{{"measures": true}}"#)?;
    output.flush()?;
    let meter = Meter::begin();
    crowd.receive_for(video.seconds)?;
    let report = meter.finish();
    writeln!(output, r#"{{"measures": false}}"#)?;
    output.flush()?;
    crowd.outcome(report.seconds, report.load_cpu)
}

/// One viewer.
struct Viewer {
    began: Instant,
    first: Option<Duration>,
    pictures: u64,
    bytes: u64,
    repeats: u64,
    skipped: u64,
    /// The number that the server gave the last one.
    told: Option<u64>,
    probe: (usize, [u8; PROBE_BYTES]),
    kept: Vec<(f64, Vec<u8>)>,
    /// One of so many is kept; 0: none.
    keeps_every: u64,
}

struct Crowd<'v> {
    video: &'v Video,
    engine: Engine,
    viewers: Vec<Viewer>,
    /// Of which so many are open.
    opened: usize,
    /// Until then the slow viewer may have read so many bytes.
    slow: (Instant, f64),
}

impl<'v> Crowd<'v> {
    fn new(video: &'v Video) -> Result<Self, Failure> {
        let slow = (Instant::now(), 0.0);
        Ok(Self { video, engine: Engine::new()?, viewers: Vec::new(), opened: 0, slow })
    }

    fn has_slow(&self) -> bool {
        self.video.slow_bytes_per_second > 0.0
    }

    /// Opens all viewers, and waits until each has got a picture.
    fn open(&mut self, deadline: Instant) -> Result<(), Failure> {
        let all = self.video.viewers + usize::from(self.has_slow());
        loop {
            let with_picture = self.viewers.iter().filter(|viewer| viewer.first.is_some()).count();
            if with_picture == all {
                return Ok(());
            }
            if Instant::now() >= deadline {
                return Err(Failure::Missing {
                    missing: (all - with_picture) as u64,
                    of: all as u64,
                    what: "first pictures",
                    seconds: self.video.limit_seconds,
                });
            }
            let most = if with_picture == 0 { 1 } else { all.min(self.opened + AT_ONCE) };
            while self.viewers.len() < most {
                self.connect()?;
            }
            self.receive_until(deadline.min(Instant::now() + Duration::from_millis(100)), usize::MAX)?;
        }
    }

    fn connect(&mut self) -> Result<(), Failure> {
        let number = self.viewers.len();
        let keeps_every = if number < self.video.samplers { self.video.sample_every } else { 0 };
        let is_slow = number == self.video.viewers;
        self.viewers.push(Viewer::new(if is_slow { 1 } else { keeps_every }));
        self.engine.connect_holding(&self.video.target, is_slow.then_some(SLOW_SOCKET_BYTES))
    }

    fn receive_for(&mut self, seconds: f64) -> Result<(), Failure> {
        let end = Instant::now() + Duration::from_secs_f64(seconds);
        self.slow = (Instant::now(), 0.0);
        while Instant::now() < end {
            if self.has_slow() {
                self.receive_until(end.min(Instant::now() + SLOW_TURN), self.video.viewers)?;
                self.receive_slowly()?;
            } else {
                self.receive_until(end, usize::MAX)?;
            }
        }
        Ok(())
    }

    fn receive_until(&mut self, deadline: Instant, readers: usize) -> Result<(), Failure> {
        for number in self.engine.wait_for(deadline, readers)? {
            self.look(number)?;
        }
        Ok(())
    }

    /// Lets the slow viewer read as much as it may by now.
    fn receive_slowly(&mut self) -> Result<(), Failure> {
        let number = self.video.viewers;
        let (since, read) = self.slow;
        let may = since.elapsed().as_secs_f64() * self.video.slow_bytes_per_second - read;
        if may < 1.0 {
            return Ok(());
        }
        #[expect(
            clippy::cast_possible_truncation,
            clippy::cast_sign_loss,
            reason = "at least 1, and no more than a run"
        )]
        let count = self.engine.clients[number].fill_at_most(may as usize)?;
        // A line that was idle does not go faster afterwards, but for what one turn of the system's queues takes.
        let least = may - SLOW_BURST_SECONDS * self.video.slow_bytes_per_second;
        self.slow = (since, read + exact(count as u64).max(least));
        self.look(number)
    }

    fn look(&mut self, number: usize) -> Result<(), Failure> {
        let (client, viewer) = (&mut self.engine.clients[number], &mut self.viewers[number]);
        if !client.is_open() {
            if !client.open()? {
                return Ok(());
            }
            self.opened += 1;
        }
        let form = self.video.form;
        client.messages(|opcode, message, _| viewer.take(number, form, opcode, message))?;
        client.flush()
    }

    /// What came until now does not count.
    fn forget(&mut self) {
        for viewer in &mut self.viewers {
            (viewer.pictures, viewer.bytes, viewer.repeats, viewer.skipped) = (0, 0, 0, 0);
            viewer.kept.clear();
        }
    }

    fn outcome(&self, seconds: f64, load_cpu: f64) -> Result<Outcome, Failure> {
        let (viewers, slow) = self.viewers.split_at(self.video.viewers);
        let sum = |value: fn(&Viewer) -> u64| viewers.iter().map(value).sum::<u64>();
        let mut rates: Vec<f64> = viewers.iter().map(|viewer| exact(viewer.pictures) / seconds).collect();
        rates.sort_by(f64::total_cmp);
        let firsts = viewers.iter().filter_map(|viewer| viewer.first).map(|first| 1e3 * first.as_secs_f64());
        let firsts: Vec<f64> = firsts.collect();
        let mut later = firsts[1..].to_vec();
        later.sort_by(f64::total_cmp);
        Ok(Outcome {
            seconds,
            pictures: sum(|viewer| viewer.pictures),
            fps_least: rates[0],
            fps_median: rates[rates.len() / 2],
            repeats: sum(|viewer| viewer.repeats),
            skipped: sum(|viewer| viewer.skipped),
            megabits: exact(sum(|viewer| viewer.bytes)) * 8e-6 / seconds,
            first_ms: firsts[0],
            later_first_ms: later.get(later.len() / 2).copied(),
            load_cpu,
            samples: self.read(0, viewers)?,
            slow_samples: self.read(viewers.len(), slow)?,
        })
    }

    /// Reads the pictures that were kept by clients, of which the first has the number `first`.
    fn read(&self, first: usize, viewers: &[Viewer]) -> Result<Vec<Sample>, Failure> {
        let mut samples = Vec::new();
        for (client, viewer) in (first..).zip(viewers) {
            for (at, message) in &viewer.kept {
                let wrong = |what| Failure::Wrong { client, number: samples.len() as u64, what };
                let jpeg = self.video.form.jpeg(message).map_err(wrong)?;
                let number = mark(&jpeg).map_err(wrong)?;
                samples.push(Sample { client, number, at: *at });
            }
        }
        Ok(samples)
    }
}

impl Viewer {
    fn new(keeps_every: u64) -> Self {
        Self {
            began: Instant::now(),
            first: None,
            pictures: 0,
            bytes: 0,
            repeats: 0,
            skipped: 0,
            told: None,
            probe: (0, [0; PROBE_BYTES]),
            kept: Vec::new(),
            keeps_every,
        }
    }

    fn take(&mut self, client: usize, form: Form, opcode: u8, message: &[u8]) -> Result<(), Failure> {
        let wrong = |what| Failure::Wrong { client, number: self.pictures, what };
        let (count, told) = match form.look(opcode, message).map_err(wrong)? {
            Look::Pictures { count, number } => (count, number),
            Look::Notice => return Ok(()),
            Look::Complaint(what) => return Err(Failure::Told { client, what }),
        };
        if let (Some(last), Some(told)) = (self.told, told) {
            if told <= last {
                return Err(wrong("it is doubled or out of order"));
            }
            self.skipped += told - last - 1;
        }
        self.told = told;
        if count > 0 {
            self.first.get_or_insert_with(|| self.began.elapsed());
        }
        let probe = (message.len(), probe(message));
        self.repeats += u64::from(self.probe == probe);
        self.probe = probe;
        self.pictures += count;
        self.bytes += message.len() as u64;
        if self.keeps_every > 0 && form != Form::Mp4 && self.pictures.is_multiple_of(self.keeps_every) {
            self.kept.push((monotonic(), message.to_vec()));
        }
        Ok(())
    }
}

/// Bytes from the middle of a message.
fn probe(message: &[u8]) -> [u8; PROBE_BYTES] {
    message[message.len() / 2..].first_chunk().copied().unwrap_or_default()
}

/// The clock that other processes of this machine have as well.
fn monotonic() -> f64 {
    let now = clock_gettime(ClockId::Monotonic);
    Duration::try_from(now).expect("bug: the clock is not negative").as_secs_f64()
}
