//! What a case measured.

use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use rustix::time::{ClockId, clock_gettime};
use serde::Serialize;

/// What a case measured, as it is printed.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Report {
    /// What was counted: messages echoed, handshakes, deliveries.
    pub count: u64,
    /// For how long.
    pub seconds: f64,
    /// Both as a quotient.
    pub rate: f64,
    /// Half of them took no longer, in microseconds.
    pub p50_us: f64,
    /// 99 of 100 took no longer, in microseconds.
    pub p99_us: f64,
    /// CPU time of this process in that time: 1 is a whole core, and the load is then what limits.
    pub load_cpu: f64,
}

/// Counts and times while a case is being measured.
pub struct Meter {
    began: Instant,
    cpu_began: Duration,
    latencies: Histogram<u64>,
    count: u64,
}

impl Meter {
    /// Begins now.
    pub fn begin() -> Self {
        // Up to an hour, to three digits.
        let latencies =
            Histogram::new_with_bounds(1, 3_600_000_000_000, 3).expect("bug: bounds that are in order");
        Self { began: Instant::now(), cpu_began: cpu_time(), latencies, count: 0 }
    }

    /// One more, which took so long.
    pub fn record(&mut self, latency: Duration) {
        self.count += 1;
        self.latencies.saturating_record(u64::try_from(latency.as_nanos()).unwrap_or(u64::MAX));
    }

    /// How many there are.
    pub fn count(&self) -> u64 {
        self.count
    }

    /// Ends now.
    pub fn finish(&self) -> Report {
        let seconds = self.began.elapsed().as_secs_f64();
        Report {
            count: self.count,
            seconds,
            rate: exact(self.count) / seconds,
            p50_us: exact(self.latencies.value_at_quantile(0.5)) / 1e3,
            p99_us: exact(self.latencies.value_at_quantile(0.99)) / 1e3,
            load_cpu: cpu_time().saturating_sub(self.cpu_began).as_secs_f64() / seconds,
        }
    }
}

/// A count below 2^53, where a float still knows every number.
#[expect(clippy::cast_precision_loss, reason = "nothing here comes near 2^53")]
pub fn exact(count: u64) -> f64 {
    count as f64
}

/// CPU time this process has used.
fn cpu_time() -> Duration {
    Duration::try_from(clock_gettime(ClockId::ProcessCPUTime)).expect("bug: CPU time is not negative")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_what_was_recorded() {
        let mut meter = Meter::begin();
        for milliseconds in 1..=1000 {
            meter.record(Duration::from_millis(milliseconds));
        }
        let report = meter.finish();
        assert_eq!(report.count, 1000);
        assert!((report.p50_us / 500e3 - 1.0).abs() < 0.002, "{}", report.p50_us);
        assert!((report.p99_us / 990e3 - 1.0).abs() < 0.002, "{}", report.p99_us);
    }

    #[test]
    fn the_share_of_cpu_is_that_of_this_process() {
        let meter = Meter::begin();
        let mut turns = 0_u64;
        while meter.began.elapsed() < Duration::from_millis(50) || cpu_time() == meter.cpu_began {
            turns = std::hint::black_box(turns + 1);
        }
        let busy = meter.finish();
        assert!(busy.load_cpu > 0.0);
        assert!((busy.rate - 0.0).abs() < f64::EPSILON);
    }
}
