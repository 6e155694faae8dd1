//! The properties that the fuzz targets have, on their seeds and on what proptest invents.

use std::{fs, path::Path};

use proptest::prelude::*;

#[allow(unreachable_pub, reason = "the fuzz targets have the module as their own")]
#[path = "../fuzz/properties.rs"]
mod fuzzed;

#[test]
fn they_hold_for_every_seed() {
    let seeds = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/seeds");
    for (name, property) in fuzzed::ALL {
        let folder = seeds.join(name);
        let mut count = 0;
        for entry in fs::read_dir(&folder).unwrap_or_else(|error| panic!("{}: {error}", folder.display())) {
            property(&fs::read(entry.unwrap().path()).unwrap());
            count += 1;
        }
        assert!(count >= 3, "{} has {count} seeds", folder.display());
    }
}

/// Bytes that look like something: mostly those that mean something to one of the parsers.
fn bytes() -> impl Strategy<Value = Vec<u8>> {
    let telling =
        [0, 1, 2, 4, 8, 9, 10, 0x80, 0x81, 0x82, 0x83, 0x85, 0x88, 0x89, 0x8A, 0xC1, 0xC2, 0xFE, 0xFF];
    let letters = *b":; ,=\r\n\t%/0aX-_";
    let byte = prop_oneof![
        3 => prop::sample::select(telling.to_vec()),
        2 => prop::sample::select(letters.to_vec()),
        1 => any::<u8>(),
    ];
    prop::collection::vec(byte, 0..200)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, ..ProptestConfig::default() })]

    #[test]
    fn they_hold_for_any_bytes(data in bytes()) {
        for (_, property) in fuzzed::ALL {
            property(&data);
        }
    }

    #[test]
    fn they_hold_for_seeds_that_were_changed(
        index in any::<prop::sample::Index>(),
        at in any::<prop::sample::Index>(),
        with in bytes(),
        removed in 0_usize..8,
    ) {
        for (name, property) in fuzzed::ALL {
            let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fuzz/seeds").join(name);
            let mut paths: Vec<_> = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect();
            paths.sort();
            let mut data = fs::read(&paths[index.index(paths.len())]).unwrap();
            let start = at.index(data.len() + 1);
            let end = data.len().min(start + removed);
            data.splice(start..end, with.iter().copied().take(12));
            property(&data);
        }
    }
}
