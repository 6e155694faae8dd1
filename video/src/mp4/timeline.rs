//! When the packets of a source are decoded and shown.

use std::time::Duration;

/// A live source whose clock jumps by more has begun anew.
const LONGEST_BACK: Duration = Duration::from_secs(1);
const LONGEST_GAP: Duration = Duration::from_secs(10);

/// The unit of a source's timestamps: so many seconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TimeBase {
    /// Over 0.
    pub numerator: u32,
    /// Over 0.
    pub denominator: u32,
}

/// What a source says of a packet's time, in its own unit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Stamps {
    /// When it is shown.
    pub shown: Option<i64>,
    /// When it is decoded.
    pub decoded: Option<i64>,
    /// How long it is shown; 0: it does not say.
    pub duration: i64,
}

/// Where a packet stands in the track.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Place {
    /// When it is decoded, in units of the track; later than that of the packet before.
    pub decode: u64,
    /// When it is shown, after that.
    pub offset: i32,
    /// How long.
    pub duration: u32,
    /// When it is shown, on the clock of the track.
    pub shown_seconds: f64,
    /// When its turn is in the source; before 0 for pictures that are there to be referred to.
    pub due_seconds: f64,
}

/// Turns the timestamps of a source into those of a track, which begin at 0 and never go back.
///
/// Pictures of a recording are shown at their positions in it. Those of a live source go on where the track before ended,
/// also when the source's clock jumps.
///
/// Decoding begins at 0 too, though a recording may say that it begins before. The first pictures are decoded in a hurry
/// then; to show them later, or before they are decoded, would confuse some players.
#[derive(Clone, Debug)]
pub struct Timeline {
    base: TimeBase,
    timescale: u32,
    /// Units of the track a picture is shown where the source does not say.
    usual_duration: u32,
    /// Added to the source's timestamps. None: the first packet tells.
    shift: Option<i64>,
    resumes_at: i64,
    is_live: bool,
    last_decode: Option<u64>,
    /// Of the source, where the next packet would be.
    next_decoded: i64,
}

impl Timeline {
    /// For a recording that begins at `start`, in its own unit.
    pub fn of_recording(base: TimeBase, timescale: u32, usual: Duration, start: i64) -> Self {
        let mut timeline = Self::new(base, timescale, usual);
        timeline.shift = Some(timeline.units(start).saturating_neg());
        timeline
    }

    /// For a live source, behind `resumes_at` seconds of another track.
    pub fn of_live(base: TimeBase, timescale: u32, usual: Duration, resumes_at: Duration) -> Self {
        let mut timeline = Self::new(base, timescale, usual);
        timeline.is_live = true;
        timeline.resumes_at = timeline.units_of(resumes_at);
        timeline
    }

    fn new(base: TimeBase, timescale: u32, usual: Duration) -> Self {
        let mut timeline = Self {
            base,
            timescale,
            usual_duration: 1,
            shift: None,
            resumes_at: 0,
            is_live: false,
            last_decode: None,
            next_decoded: 0,
        };
        timeline.usual_duration = u32::try_from(timeline.units_of(usual)).unwrap_or(1).max(1);
        timeline
    }

    /// The next packet does not follow the one before.
    pub fn restart(&mut self) {
        self.last_decode = None;
    }

    /// Where the next packet stands.
    pub fn place(&mut self, stamps: Stamps) -> Place {
        let decoded = match stamps.decoded.or(stamps.shown) {
            Some(decoded) => self.units(decoded),
            None => self.next_decoded,
        };
        let shown = stamps.shown.map_or(decoded, |shown| self.units(shown));
        let told = u32::try_from(self.units(stamps.duration)).ok().filter(|units| *units > 0);
        let duration = told.unwrap_or(self.usual_duration);
        self.next_decoded = decoded.saturating_add(duration.into());

        let shift = self.shift_for(decoded, duration);
        let due = decoded.saturating_add(shift);
        let earliest = self.last_decode.map_or(0, |last| last + 1);
        let decode = u64::try_from(due).unwrap_or(0).max(earliest);
        self.last_decode = Some(decode);
        let shown = shown.saturating_add(shift);
        let offset = shown.saturating_sub_unsigned(decode);
        Place {
            decode,
            offset: i32::try_from(offset).unwrap_or(if offset < 0 { i32::MIN } else { i32::MAX }),
            duration,
            shown_seconds: self.seconds(shown.max(0)),
            due_seconds: self.seconds(due),
        }
    }

    /// How long a picture is shown.
    pub fn duration_seconds(&self, place: &Place) -> f64 {
        self.seconds(place.duration.into())
    }

    fn shift_for(&mut self, decoded: i64, duration: u32) -> i64 {
        let anchor = match (self.shift, self.last_decode) {
            (Some(shift), Some(last)) if self.is_live => {
                let step = decoded.saturating_add(shift).saturating_sub_unsigned(last);
                let is_sane = -self.units_of(LONGEST_BACK) < step && step < self.units_of(LONGEST_GAP);
                if is_sane {
                    return shift;
                }
                i64::try_from(last).unwrap_or(0).saturating_add(duration.into())
            }
            (Some(shift), _) => return shift,
            (None, _) => self.resumes_at,
        };
        let shift = anchor.saturating_sub(decoded);
        self.shift = Some(shift);
        shift
    }

    /// The source's unit in those of the track, to the nearest.
    fn units(&self, ticks: i64) -> i64 {
        let (numerator, denominator) = (i128::from(self.base.numerator), i128::from(self.base.denominator));
        let scaled = i128::from(ticks) * numerator * i128::from(self.timescale);
        let rounded = (scaled + denominator / 2).div_euclid(denominator);
        i64::try_from(rounded).unwrap_or(if rounded < 0 { i64::MIN } else { i64::MAX })
    }

    fn units_of(&self, duration: Duration) -> i64 {
        let units = duration.as_nanos().saturating_mul(self.timescale.into()).div_ceil(1_000_000_000);
        i64::try_from(units).unwrap_or(i64::MAX)
    }

    #[allow(clippy::cast_precision_loss, reason = "a position is exact enough to the nanosecond for a month")]
    fn seconds(&self, units: i64) -> f64 {
        units as f64 / f64::from(self.timescale)
    }
}

#[cfg(test)]
#[allow(clippy::float_cmp, reason = "exact in these units")]
mod tests {
    use super::*;

    const MILLISECONDS: TimeBase = TimeBase { numerator: 1, denominator: 1000 };
    const USUAL: Duration = Duration::from_millis(40);

    fn stamps(shown: i64, decoded: i64) -> Stamps {
        Stamps { shown: Some(shown), decoded: Some(decoded), duration: 40 }
    }

    #[test]
    fn pictures_of_a_recording_are_shown_where_they_stand_and_decoded_from_zero() {
        let mut timeline = Timeline::of_recording(MILLISECONDS, 16_000, USUAL, 1000);
        let places = [(1000, 920), (1160, 960), (1080, 1000), (1040, 1040), (1120, 1080)]
            .map(|(shown, decoded)| timeline.place(stamps(shown, decoded)));
        assert_eq!(places.map(|place| place.decode), [0, 1, 2, 640, 1280]);
        assert_eq!(
            places.map(|place| i64::try_from(place.decode).unwrap() + i64::from(place.offset)),
            [0, 2560, 1280, 640, 1920]
        );
        assert!(places.iter().all(|place| place.offset >= 0 && place.duration == 640));
        assert_eq!(places[1].shown_seconds, 0.16);
        assert_eq!(places[0].due_seconds, -0.08);
        timeline.restart();
        assert_eq!(timeline.place(stamps(1000, 920)).decode, 0);
    }

    #[test]
    fn a_live_source_goes_on_where_the_track_before_ended() {
        let mut timeline = Timeline::of_live(MILLISECONDS, 1000, USUAL, Duration::from_millis(700));
        let first = timeline.place(stamps(5_000_080, 5_000_000));
        assert_eq!((first.decode, first.offset, first.shown_seconds), (700, 80, 0.78));
        assert_eq!(timeline.place(stamps(5_000_120, 5_000_040)).decode, 740);
    }

    #[test]
    fn a_live_clock_that_jumps_goes_on_behind_the_last_packet() {
        let mut timeline = Timeline::of_live(MILLISECONDS, 1000, USUAL, Duration::ZERO);
        let decodes = [90_000, 90_040, 0, 40, 9_000_000, 9_000_040, 9_005_000]
            .map(|decoded| timeline.place(stamps(decoded, decoded)).decode);
        assert_eq!(decodes, [0, 40, 80, 120, 160, 200, 5160]);
    }

    #[test]
    fn decoding_never_goes_back_or_stands_still() {
        let mut timeline = Timeline::of_live(MILLISECONDS, 1000, USUAL, Duration::ZERO);
        let decodes = [100, 100, 90, 140].map(|decoded| timeline.place(stamps(decoded, decoded)).decode);
        assert_eq!(decodes, [0, 1, 2, 40]);
    }

    #[test]
    fn what_the_source_does_not_say_is_as_usual() {
        let mut timeline = Timeline::of_recording(MILLISECONDS, 1000, USUAL, 0);
        let places = [(); 3].map(|()| timeline.place(Stamps::default()));
        assert_eq!(
            places.map(|place| (place.decode, place.offset, place.duration)),
            [(0, 0, 40), (40, 0, 40), (80, 0, 40)]
        );
        let only_shown = timeline.place(Stamps { shown: Some(500), ..Stamps::default() });
        assert_eq!((only_shown.decode, only_shown.offset), (500, 0));
    }

    #[test]
    fn timestamps_beyond_all_bounds_do_no_harm() {
        for live in [true, false] {
            let base = TimeBase { numerator: u32::MAX, denominator: 1 };
            let mut timeline = if live {
                Timeline::of_live(base, u32::MAX, Duration::MAX, Duration::MAX)
            } else {
                Timeline::of_recording(base, u32::MAX, Duration::MAX, i64::MIN)
            };
            for extreme in [i64::MIN, i64::MAX, 0, i64::MIN, i64::MAX] {
                let stamps = Stamps { shown: Some(extreme), decoded: Some(extreme), duration: extreme };
                assert!(timeline.place(stamps).shown_seconds >= 0.0);
            }
        }
    }
}
