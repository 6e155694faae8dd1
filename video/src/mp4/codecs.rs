//! The codecs parameter of a media type (RFC 6381), from an init segment.

use std::fmt::Write;

/// Bytes of a `VisualSampleEntry` (ISO/IEC 14496-12 section 12.1.3) before the boxes in it.
const SAMPLE_ENTRY_FIELDS: usize = 78;

/// Version, flags and number of entries of a `stsd` box.
const SAMPLE_DESCRIPTION_FIELDS: usize = 8;

/// `avc1.64001f` and the like, for the first track. `None`: it is of another codec, or does not say enough.
pub fn codecs(init: &[u8]) -> Option<String> {
    let path = [*b"moov", *b"trak", *b"mdia", *b"minf", *b"stbl", *b"stsd"];
    let description = path.iter().try_fold(init, |boxes, kind| find(boxes, *kind))?;
    let (kind, entry) = boxes(description.get(SAMPLE_DESCRIPTION_FIELDS..)?).next()?;
    let configuration = |kind| find(entry.get(SAMPLE_ENTRY_FIELDS..)?, kind);
    match &kind {
        b"avc1" => avc(configuration(*b"avcC")?),
        b"hvc1" => hevc(configuration(*b"hvcC")?),
        b"av01" => av1(configuration(*b"av1C")?),
        _ => None,
    }
}

/// ISO/IEC 14496-15 section 5.3.3.1: profile, compatibility and level in hexadecimal.
fn avc(configuration: &[u8]) -> Option<String> {
    let &[_version, profile, compatibility, level, ..] = configuration else { return None };
    Some(format!("avc1.{profile:02x}{compatibility:02x}{level:02x}"))
}

/// ISO/IEC 14496-15 annex E.3: profile, compatibility flags in reverse order, tier and level, constraints without zeros at
/// the end.
fn hevc(configuration: &[u8]) -> Option<String> {
    let &[_version, profile, a, b, c, d, ref rest @ ..] = configuration else { return None };
    let &[ref constraints @ .., level] = rest.get(..7)? else { return None };
    let space = ["", "A", "B", "C"][usize::from(profile >> 6)];
    let tier = if profile & 0x20 == 0 { 'L' } else { 'H' };
    let compatibility = u32::from_be_bytes([a, b, c, d]).reverse_bits();
    let mut text = format!("hvc1.{space}{}.{compatibility:X}.{tier}{level}", profile & 0x1F);
    let used = constraints.iter().rposition(|byte| *byte != 0).map_or(0, |last| last + 1);
    for byte in &constraints[..used] {
        write!(text, ".{byte:X}").expect("bug: a string takes what is written to it");
    }
    Some(text)
}

/// AV1 Codec ISO Media File Format Binding section 5: profile, level and tier, bits a sample.
fn av1(configuration: &[u8]) -> Option<String> {
    let &[_version, profile_and_level, flags, ..] = configuration else { return None };
    let (profile, level) = (profile_and_level >> 5, profile_and_level & 0x1F);
    let tier = if flags & 0x80 == 0 { 'M' } else { 'H' };
    let bits = match (flags & 0x40 != 0, flags & 0x20 != 0) {
        (false, _) => 8,
        (true, true) if profile == 2 => 12,
        (true, _) => 10,
    };
    Some(format!("av01.{profile}.{level:02}{tier}.{bits:02}"))
}

/// The contents of the first box of a kind.
fn find(data: &[u8], kind: [u8; 4]) -> Option<&[u8]> {
    boxes(data).find(|(found, _)| *found == kind).map(|(_, contents)| contents)
}

/// The boxes one behind the other in `data`: their kinds and contents. Ends before one that is cut off.
pub fn boxes(mut data: &[u8]) -> impl Iterator<Item = ([u8; 4], &[u8])> {
    std::iter::from_fn(move || {
        let (size, rest) = data.split_first_chunk::<4>()?;
        let (kind, _) = rest.split_first_chunk::<4>()?;
        let size = usize::try_from(u32::from_be_bytes(*size)).ok()?;
        let contents = data.get(8..size)?;
        data = &data[size..];
        Some((*kind, contents))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn boxed(kind: [u8; 4], contents: &[u8]) -> Vec<u8> {
        let size = u32::try_from(contents.len() + 8).unwrap();
        [&size.to_be_bytes()[..], &kind, contents].concat()
    }

    fn init(entry: [u8; 4], configuration: [u8; 4], contents: &[u8]) -> Vec<u8> {
        let entry =
            boxed(entry, &[&[0; 78], &*boxed(*b"pasp", &[0; 8]), &boxed(configuration, contents)].concat());
        let mut inner = boxed(*b"stsd", &[&[0, 0, 0, 0, 0, 0, 0, 1], &*entry].concat());
        for kind in [*b"stbl", *b"minf", *b"mdia", *b"trak", *b"moov"] {
            inner = boxed(kind, &[boxed(*b"free", b"x"), inner].concat());
        }
        [boxed(*b"ftyp", b"iso5"), inner].concat()
    }

    #[test]
    fn h264_is_named_by_profile_constraints_and_level() {
        let name = |configuration: &[u8]| codecs(&init(*b"avc1", *b"avcC", configuration));
        assert_eq!(name(&[1, 0x64, 0x00, 0x1F, 0xFF]).as_deref(), Some("avc1.64001f"));
        assert_eq!(name(&[1, 0x42, 0xC0, 0x0A, 0xFF]).as_deref(), Some("avc1.42c00a"));
        assert_eq!(name(&[1, 0x42]), None);
    }

    #[test]
    fn h265_is_named_as_annex_e_does() {
        let name = |configuration: &[u8]| codecs(&init(*b"hvc1", *b"hvcC", configuration));
        // The examples of the standard: Main and Main 10 at level 3.1, progressive and not packed.
        let main = [1, 0x01, 0x60, 0, 0, 0, 0xB0, 0, 0, 0, 0, 0, 93, 0xF0];
        assert_eq!(name(&main).as_deref(), Some("hvc1.1.6.L93.B0"));
        let high_tier = [1, 0x62, 0x20, 0, 0, 0, 0, 0, 0, 0, 0, 0, 120, 0xF0];
        assert_eq!(name(&high_tier).as_deref(), Some("hvc1.A2.4.H120"));
        assert_eq!(name(&main[..12]), None);
    }

    #[test]
    fn av1_is_named_by_profile_level_tier_and_depth() {
        let name = |configuration: &[u8]| codecs(&init(*b"av01", *b"av1C", configuration)).unwrap();
        assert_eq!(name(&[0x81, 0x04, 0x0C, 0]), "av01.0.04M.08");
        assert_eq!(name(&[0x81, 0x2D, 0xC0, 0]), "av01.1.13H.10");
        assert_eq!(name(&[0x81, 0x4D, 0x60, 0]), "av01.2.13M.12");
    }

    #[test]
    fn anything_else_has_no_name() {
        let whole = init(*b"avc1", *b"avcC", &[1, 0x64, 0, 0x1F]);
        assert!(codecs(&whole).is_some());
        for end in 0..whole.len() {
            assert_eq!(codecs(&whole[..end]), None);
        }
        assert_eq!(codecs(&init(*b"mp4v", *b"esds", &[0; 30])), None);
        assert_eq!(codecs(&[0, 0, 0, 1, b'm', b'o', b'o', b'v', 0, 0, 0, 0, 0, 0, 0, 8]), None);
    }
}
