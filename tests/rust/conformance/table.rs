//! Tables as they are read.

use std::path::Path;

use dwebsocket::wire::offer::Agreement;

/// The lines of one case: names and values.
pub(super) struct Case(Vec<(String, String)>);

impl Case {
    /// The cases of a file.
    pub(super) fn read(file: &str) -> Vec<Self> {
        let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/conformance/cases").join(file);
        let text =
            std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        let mut cases = vec![Self(Vec::new())];
        for line in text.lines().map(str::trim_end).filter(|line| !line.starts_with('#')) {
            if line.is_empty() {
                cases.push(Self(Vec::new()));
            } else {
                let (name, value) = line.split_once([':', '>', '<']).unwrap_or_else(|| panic!("{line:?}"));
                let name = if name.is_empty() { line[..1].to_owned() } else { name.to_owned() };
                cases.last_mut().unwrap().0.push((name, value.trim_start().to_owned()));
            }
        }
        cases.retain(|case| !case.0.is_empty());
        for case in &cases {
            assert!(!case.get("case").is_empty() && case.get("section").starts_with("RFC "), "{:?}", case.0);
        }
        cases
    }

    /// The values of all lines of that name.
    pub(super) fn all<'a>(&'a self, name: &'a str) -> impl Iterator<Item = &'a str> {
        self.0.iter().filter(move |(other, _)| other == name).map(|(_, value)| value.as_str())
    }

    /// The value of the line of that name, if it is there.
    pub(super) fn find<'a>(&'a self, name: &'a str) -> Option<&'a str> {
        self.all(name).next()
    }

    /// The value of a line that every case has.
    pub(super) fn get<'a>(&'a self, name: &'a str) -> &'a str {
        self.find(name).unwrap_or_else(|| panic!("no line {name:?} in {:?}", self.0))
    }

    /// What to call the case where it fails.
    pub(super) fn title(&self) -> String {
        format!("{} ({})", self.get("case"), self.get("section"))
    }
}

/// Bytes as the tables write them.
pub(super) fn bytes(text: &str) -> Vec<u8> {
    let mut bytes = Vec::new();
    let mut last = 0;
    let mut rest = text.trim_start();
    while let Some(first) = rest.chars().next() {
        let begin = bytes.len();
        let end;
        match first {
            '"' => {
                end = rest[1..].find('"').expect("a closing quote") + 2;
                bytes.extend_from_slice(&rest.as_bytes()[1..end - 1]);
            }
            '*' => {
                end = rest.find(' ').unwrap_or(rest.len());
                let times: usize = rest[1..end].parse().expect("a number behind *");
                let repeated = bytes.split_off(last).repeat(times);
                bytes.extend(repeated);
            }
            _ => {
                end = rest.find([' ', '*', '"']).unwrap_or(rest.len());
                let digits = &rest[..end];
                assert!(digits.len().is_multiple_of(2), "{digits:?} is no whole number of bytes");
                for index in (0..digits.len()).step_by(2) {
                    bytes.push(u8::from_str_radix(&digits[index..index + 2], 16).expect(digits));
                }
            }
        }
        if first != '*' {
            last = begin;
        }
        rest = rest[end..].trim_start();
    }
    bytes
}

/// Parameters of permessage-deflate, as the header has them.
pub(super) fn agreement(text: &str) -> Agreement {
    let mut agreement = Agreement {
        server_no_context_takeover: false,
        client_no_context_takeover: false,
        server_max_window_bits: None,
        client_max_window_bits: None,
    };
    for parameter in text.split(';').map(str::trim).filter(|parameter| *parameter != "-") {
        match parameter.split_once('=') {
            None if parameter == "server_no_context_takeover" => agreement.server_no_context_takeover = true,
            None if parameter == "client_no_context_takeover" => agreement.client_no_context_takeover = true,
            Some(("server_max_window_bits", bits)) => agreement.server_max_window_bits = bits.parse().ok(),
            Some(("client_max_window_bits", bits)) => agreement.client_max_window_bits = bits.parse().ok(),
            _ => panic!("{parameter:?} is no parameter"),
        }
    }
    agreement
}

#[test]
fn tables_write_bytes_as_digits_text_and_repetitions() {
    assert_eq!(bytes("81 02 \"h i\" 00ff*2 \"é\"*3"), b"\x81\x02h i\x00\xFF\x00\xFF\xC3\xA9\xC3\xA9\xC3\xA9");
    assert_eq!(bytes(""), b"");
}
