//! A packet of a source as a sample of MP4.

use std::borrow::Cow;
use std::ops::RangeInclusive;

/// What has to be done to the packets of a source.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Packing {
    /// Nothing: they are as MP4 has them.
    AsIs,
    /// H.264 with start codes (ITU-T H.264 annex B), where MP4 has lengths.
    AnnexB,
    /// H.265 with start codes, and maybe with parameter sets, which `hvc1` has in the init segment only.
    HevcAnnexB,
    /// AV1 whose temporal delimiters MP4 leaves out.
    Av1,
}

/// NAL units of H.264 that are parameter sets: SPS, PPS; and that are of pictures (ITU-T H.264 table 7-1).
const PARAMETER_SETS: RangeInclusive<u8> = 7..=8;
const PICTURES: RangeInclusive<u8> = 1..=5;

/// NAL units of H.265 that are parameter sets: VPS, SPS, PPS; and that are of pictures (ITU-T H.265 table 7-1).
const HEVC_PARAMETER_SETS: RangeInclusive<u8> = 32..=34;
const HEVC_PICTURES: RangeInclusive<u8> = 0..=31;

/// A temporal delimiter of AV1 (section 5.6): its header, with a size, and the size.
const TEMPORAL_DELIMITER: [u8; 2] = [0x12, 0];

impl Packing {
    /// The packet as a sample. `None`: nothing of it is left.
    pub fn sample(self, packet: &[u8]) -> Option<Cow<'_, [u8]>> {
        let sample = match self {
            Self::AsIs => Cow::Borrowed(packet),
            Self::AnnexB => Cow::Owned(with_lengths(packet, |_| true)?),
            Self::HevcAnnexB => {
                Cow::Owned(with_lengths(packet, |unit| !HEVC_PARAMETER_SETS.contains(&self.kind(unit)))?)
            }
            Self::Av1 => Cow::Borrowed(packet.strip_prefix(&TEMPORAL_DELIMITER).unwrap_or(packet)),
        };
        (!sample.is_empty()).then_some(sample)
    }

    /// The parameter sets in a packet before its picture, or in what a decoder needs beside the packets; without their start
    /// codes. None where there are no start codes.
    pub fn parameter_sets(self, data: &[u8]) -> impl Iterator<Item = &[u8]> {
        let (data, sets, pictures) = match self {
            Self::AnnexB => (data, PARAMETER_SETS, PICTURES),
            Self::HevcAnnexB => (data, HEVC_PARAMETER_SETS, HEVC_PICTURES),
            Self::AsIs | Self::Av1 => (&data[..0], PARAMETER_SETS, PICTURES),
        };
        units(data)
            .filter(|unit| !unit.is_empty())
            .take_while(move |unit| !pictures.contains(&self.kind(unit)))
            .filter(move |unit| sets.contains(&self.kind(unit)))
    }

    /// The type of a NAL unit, which must not be empty.
    pub fn kind(self, unit: &[u8]) -> u8 {
        match self {
            Self::HevcAnnexB => (unit[0] >> 1) & 0x3F,
            _ => unit[0] & 0x1F,
        }
    }
}

/// Each NAL unit behind its length in four bytes. `None`: one is too long for that.
fn with_lengths(packet: &[u8], keeps: impl Fn(&[u8]) -> bool) -> Option<Vec<u8>> {
    // A start code has three bytes, and each unit but the first mostly one more before it.
    let mut sample = Vec::with_capacity(packet.len() + 16);
    for unit in units(packet).filter(|unit| !unit.is_empty() && keeps(unit)) {
        sample.extend_from_slice(&u32::try_from(unit.len()).ok()?.to_be_bytes());
        sample.extend_from_slice(unit);
    }
    Some(sample)
}

/// The NAL units between start codes, without the zeros behind them.
fn units(packet: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = start_code(packet).map(|at| &packet[at + 3..]);
    std::iter::from_fn(move || {
        let data = rest?;
        let end = start_code(data);
        rest = end.map(|at| &data[at + 3..]);
        let unit = &data[..end.unwrap_or(data.len())];
        let used = unit.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
        Some(&unit[..used])
    })
}

/// Where the next three bytes of a start code are.
fn start_code(data: &[u8]) -> Option<usize> {
    let mut at = 2;
    // The third byte tells how far it is at least to the end of the next start code.
    while let Some(byte) = data.get(at) {
        match byte {
            0 => at += 1,
            1 if data[at - 2..at] == [0, 0] => return Some(at - 2),
            _ => at += 3,
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn start_codes_of_both_lengths_become_lengths() {
        let packet = b"\0\0\0\x01\x65ab\0\0\x01\x06\0\x03\0\0\0\0\x01\x41\0\0";
        let sample = Packing::AnnexB.sample(packet).unwrap();
        assert_eq!(&*sample, b"\0\0\0\x03\x65ab\0\0\0\x03\x06\0\x03\0\0\0\x01\x41");
    }

    #[test]
    fn start_codes_are_found_wherever_they_are() {
        for before in 0..7 {
            for filler in [0_u8, 1, 2] {
                let packet = [vec![filler; before], b"\0\0\x01\x65z".to_vec()].concat();
                let sample = Packing::AnnexB.sample(&packet).unwrap();
                assert_eq!(&*sample, b"\0\0\0\x02\x65z", "{before} times {filler}");
            }
        }
        for none in [&b""[..], b"\0\0", b"\0\0\x02\x65", b"abc", b"\0\x01\0\x01", b"\0\0\x01"] {
            assert_eq!(Packing::AnnexB.sample(none), None, "{none:?}");
        }
    }

    #[test]
    fn parameter_sets_of_h265_are_in_the_init_segment_only() {
        let packet = b"\0\0\x01\x40\x01v\0\0\x01\x42\x01s\0\0\x01\x44\x01p\0\0\x01\x26\x01k";
        assert_eq!(&*Packing::HevcAnnexB.sample(packet).unwrap(), b"\0\0\0\x03\x26\x01k");
    }

    #[test]
    fn parameter_sets_are_those_before_the_picture() {
        let sets =
            |packing: Packing, data| packing.parameter_sets(data).map(<[u8]>::to_vec).collect::<Vec<_>>();
        let packet = b"\0\0\0\x01\x09\xF0\0\0\x01\x67s\0\0\0\x01\x68p\0\0\x01\x06e\0\0\x01\x65k\0\0\x01\x68q";
        assert_eq!(sets(Packing::AnnexB, packet), [b"\x67s", b"\x68p"]);
        let packet = b"\0\0\x01\x46\x01\0\0\x01\x40\x01v\0\0\x01\x42\x01s\0\0\x01\x44\x01p\0\0\x01\x26\x01k";
        assert_eq!(sets(Packing::HevcAnnexB, packet), [b"\x40\x01v", b"\x42\x01s", b"\x44\x01p"]);
        for packing in [Packing::AsIs, Packing::Av1] {
            assert!(sets(packing, packet).is_empty());
        }
        assert!(sets(Packing::AnnexB, b"").is_empty());
    }

    #[test]
    fn a_temporal_delimiter_is_left_out() {
        assert_eq!(&*Packing::Av1.sample(b"\x12\0\x0A\x01x").unwrap(), b"\x0A\x01x");
        assert_eq!(&*Packing::Av1.sample(b"\x0A\x01x").unwrap(), b"\x0A\x01x");
        assert_eq!(Packing::Av1.sample(b"\x12\0"), None);
        assert_eq!(&*Packing::AsIs.sample(b"\x12\0").unwrap(), b"\x12\0");
    }
}
