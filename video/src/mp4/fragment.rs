//! One sample as a movie fragment: `moof` and `mdat` (ISO/IEC 14496-12 section 8.8).

/// The bytes before the sample's own.
pub const HEAD_BYTES: usize = MOOF_BYTES + BOX;

const BOX: usize = 8;
const MFHD_BYTES: usize = 16;
const TFHD_BYTES: usize = 16;
const TFDT_BYTES: usize = 20;
const TRUN_BYTES: usize = 36;
const TRAF_BYTES: usize = BOX + TFHD_BYTES + TFDT_BYTES + TRUN_BYTES;
const MOOF_BYTES: usize = BOX + MFHD_BYTES + TRAF_BYTES;

/// The only track of an init segment that libavformat writes for one stream.
const TRACK: u32 = 1;

/// Offsets count from the `moof` box.
const DEFAULT_BASE_IS_MOOF: u32 = 0x02_0000;
/// With 64 bits for the time.
const VERSION_1: u32 = 1 << 24;
/// With the data's offset, and of the sample duration, size, flags and composition offset.
const TRUN_FIELDS: u32 = 0x0F01;
/// Depends on no other sample.
const KEY: u32 = 0x0200_0000;
/// Depends on others, and is none to begin with.
const NO_KEY: u32 = 0x0101_0000;

/// A sample, and its place in the track. Times are in units of the track's timescale.
#[derive(Clone, Copy, Debug)]
pub struct Sample<'data> {
    /// The coded picture, as the sample entry demands.
    pub data: &'data [u8],
    /// When it is decoded.
    pub decode: u64,
    /// When it is shown, after it is decoded.
    pub offset: i32,
    /// How long it is shown.
    pub duration: u32,
    /// Whether decoding can begin with it.
    pub is_key: bool,
}

/// Appends a fragment of one sample. `sequence`: the number of the fragment. `None`: the sample is too large for MP4, and
/// nothing was appended.
pub fn append(to: &mut Vec<u8>, sequence: u32, sample: &Sample<'_>) -> Option<()> {
    let size = u32::try_from(sample.data.len()).ok()?;
    let mdat_size = size.checked_add(const_u32(BOX))?;
    let name = |kind: &[u8; 4]| u32::from_be_bytes(*kind);
    let high = u32::try_from(sample.decode >> 32).ok()?;
    let low = u32::try_from(sample.decode & 0xFFFF_FFFF).ok()?;
    let words: [u32; HEAD_BYTES / 4] = [
        const_u32(MOOF_BYTES),
        name(b"moof"),
        const_u32(MFHD_BYTES),
        name(b"mfhd"),
        0,
        sequence,
        const_u32(TRAF_BYTES),
        name(b"traf"),
        const_u32(TFHD_BYTES),
        name(b"tfhd"),
        DEFAULT_BASE_IS_MOOF,
        TRACK,
        const_u32(TFDT_BYTES),
        name(b"tfdt"),
        VERSION_1,
        high,
        low,
        const_u32(TRUN_BYTES),
        name(b"trun"),
        // Version 1: the composition offset has a sign.
        VERSION_1 | TRUN_FIELDS,
        1,
        const_u32(HEAD_BYTES),
        sample.duration,
        size,
        if sample.is_key { KEY } else { NO_KEY },
        sample.offset.cast_unsigned(),
        mdat_size,
        name(b"mdat"),
    ];
    for word in words {
        to.extend_from_slice(&word.to_be_bytes());
    }
    to.extend_from_slice(sample.data);
    Some(())
}

#[allow(clippy::cast_possible_truncation, reason = "sizes of the boxes above")]
const fn const_u32(bytes: usize) -> u32 {
    bytes as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_fragment_is_as_the_standard_lays_it_out() {
        let mut written = vec![9];
        let sample = Sample { data: b"abc", decode: 0x1_0000_0203, offset: -2, duration: 512, is_key: true };
        append(&mut written, 7, &sample).unwrap();
        let expected = [
            &b"\x09\0\0\0\x68moof\0\0\0\x10mfhd\0\0\0\0\0\0\0\x07\0\0\0\x50traf"[..],
            b"\0\0\0\x10tfhd\0\x02\0\0\0\0\0\x01\0\0\0\x14tfdt\x01\0\0\0\0\0\0\x01\0\0\x02\x03",
            b"\0\0\0\x24trun\x01\0\x0F\x01\0\0\0\x01\0\0\0\x70\0\0\x02\0\0\0\0\x03\x02\0\0\0\xFF\xFF\xFF\xFE",
            b"\0\0\0\x0Bmdatabc",
        ];
        assert_eq!(written, expected.concat());
        assert_eq!(written.len(), 1 + HEAD_BYTES + 3);
    }

    #[test]
    fn a_sample_that_is_no_key_says_so() {
        let mut written = Vec::new();
        let sample = Sample { data: b"", decode: 0, offset: 0, duration: 1, is_key: false };
        append(&mut written, 1, &sample).unwrap();
        assert_eq!(written[96..100], [1, 1, 0, 0]);
    }
}
