//! The video of a source as one track of MP4.

use std::mem;
use std::time::Duration;

use super::codecs::codecs;
use super::fragment::{self, Sample};
use super::header::{Header, header};
use super::input::{Input, Packet};
use super::parameters::Parameters;
use super::sample::Packing;
use super::timeline::{TimeBase, Timeline};
use crate::error::Reason;
use crate::room::Message;

/// The rate of a source that does not say it.
const USUAL_FRAMES_PER_SECOND: f64 = 25.0;

/// The init segment of a source's video, and what makes fragments of its packets.
#[derive(Debug)]
pub struct Track {
    /// `video/mp4; codecs="…"` (RFC 6381).
    pub mime_type: String,
    /// The init segment: `ftyp` and `moov`.
    pub init: Vec<u8>,
    packing: Packing,
    timeline: Timeline,
    /// As the init segment has them.
    parameters: Parameters,
    /// Of the source's timestamps.
    base: TimeBase,
    /// Whether no fragment was made since the init segment became another.
    is_described_anew: bool,
}

/// A fragment, ready to be sent.
#[derive(Debug)]
pub struct Fragment {
    /// `moof` and `mdat`.
    pub message: Message,
    /// Whether decoding can begin with it.
    pub is_key: bool,
    /// Whether the init segment is another than for the fragment before; then decoding begins with it.
    pub is_described_anew: bool,
    /// When its picture is shown, on the clock of the track.
    pub shown_seconds: f64,
    /// How long.
    pub duration_seconds: f64,
    /// When its turn is.
    pub due_seconds: f64,
}

impl Track {
    /// The track of an input. A live one goes on `resumes_at` on its clock.
    ///
    /// # Errors
    /// The codec has no place in MP4 that browsers know, or the source does not say enough about it.
    pub fn new(input: &Input, resumes_at: Duration) -> Result<Self, Reason> {
        let (parameters, base) = (input.parameters().copy()?, input.time_base());
        let packing = parameters.packing().ok_or_else(|| Reason::NotForMp4(parameters.codec_name()))?;
        let Described { mime_type, header: Header { init, timescale } } = described(&parameters, base)?;
        let facts = input.facts();
        let usual = Duration::from_secs_f64(1.0 / facts.frames_per_second.unwrap_or(USUAL_FRAMES_PER_SECOND));
        let timeline = if facts.recorded {
            Timeline::of_recording(base, timescale, usual, input.start())
        } else {
            Timeline::of_live(base, timescale, usual, resumes_at)
        };
        Ok(Self { mime_type, init, packing, timeline, parameters, base, is_described_anew: false })
    }

    /// The packet as a fragment with a number of its own. `None`: there is nothing in it to be shown. A key frame that brings
    /// other parameter sets makes the init segment another.
    ///
    /// # Errors
    /// The source changed what it says of its video beside the packets, or says too little of it.
    pub fn fragment(&mut self, packet: &Packet<'_>, number: u32) -> Result<Option<Fragment>, Reason> {
        if packet.parameters.is_some_and(|parameters| parameters != self.parameters.extradata()) {
            return Err(Reason::Changed);
        }
        if packet.is_key && self.parameters.learn(packet.data)? {
            let Described { mime_type, header } = described(&self.parameters, self.base)?;
            (self.mime_type, self.init, self.is_described_anew) = (mime_type, header.init, true);
        }
        let place = self.timeline.place(packet.stamps);
        let Some(data) = self.packing.sample(packet.data) else { return Ok(None) };
        let mut message = Message::binary(fragment::HEAD_BYTES + data.len());
        let sample = Sample {
            data: &data,
            decode: place.decode,
            offset: place.offset,
            duration: place.duration,
            is_key: packet.is_key,
        };
        let appended = fragment::append(message.payload(), number, &sample);
        Ok(appended.map(|()| Fragment {
            message,
            is_key: packet.is_key,
            is_described_anew: mem::take(&mut self.is_described_anew),
            shown_seconds: place.shown_seconds,
            duration_seconds: self.timeline.duration_seconds(&place),
            due_seconds: place.due_seconds,
        }))
    }

    /// The next packet does not follow the one before.
    pub fn restart(&mut self) {
        self.timeline.restart();
    }
}

/// A video in the words of MP4.
struct Described {
    mime_type: String,
    header: Header,
}

fn described(parameters: &Parameters, base: TimeBase) -> Result<Described, Reason> {
    let header = header(parameters, base)?;
    let codecs =
        codecs(&header.init).ok_or_else(|| Reason::Undescribed("parameters are missing".to_owned()))?;
    Ok(Described { mime_type: format!("video/mp4; codecs=\"{codecs}\""), header })
}
