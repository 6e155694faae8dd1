//! Headers of the PROXY protocol, as literal bytes.

use dwebsocket::server::proxy::{Addresses, Header, Network, ProxyError, Versions, parse};

const SIGNATURE: &[u8] = b"\r\n\r\n\0\r\nQUIT\n";

fn binary(rest: &[u8]) -> Vec<u8> {
    [SIGNATURE, rest].concat()
}

fn told(length: usize, source: &str, destination: &str) -> Header {
    let addresses = Addresses { source: source.parse().unwrap(), destination: destination.parse().unwrap() };
    Header { length, addresses: Some(addresses) }
}

fn nobody(length: usize) -> Header {
    Header { length, addresses: None }
}

#[test]
fn line_tells_both_addresses() {
    let v4 = b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\nGET / HTTP/1.1\r\n";
    assert_eq!(parse(v4, Versions::One), Ok(Some(told(45, "192.0.2.1:56324", "198.51.100.2:443"))));
    assert_eq!(parse(v4, Versions::Both), Ok(Some(told(45, "192.0.2.1:56324", "198.51.100.2:443"))));
    let v6 = b"PROXY TCP6 2001:db8::1 ::1 0 65535\r\n";
    assert_eq!(parse(v6, Versions::One), Ok(Some(told(36, "[2001:db8::1]:0", "[::1]:65535"))));
    // 107 bytes, as many as there may be.
    let longest = b"PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n";
    assert_eq!(longest.len(), 107);
    assert_eq!(parse(longest, Versions::One), Ok(Some(nobody(107))));
    assert_eq!(parse(b"PROXY UNKNOWN\r\n", Versions::One), Ok(Some(nobody(15))));
}

#[test]
fn line_that_is_malformed_is_an_error() {
    let lines: [&[u8]; 14] = [
        b"PROXY \r\n",
        b"PROXY TCP4\r\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.2 56324\r\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443 5\r\n",
        b"PROXY TCP4  192.0.2.1 198.51.100.2 56324 443\r\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.2 +1 443\r\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.2 65536 443\r\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 \r\n",
        b"PROXY TCP4 192.0.2.256 198.51.100.2 56324 443\r\n",
        b"PROXY TCP4 ::1 ::1 56324 443\r\n",
        b"PROXY TCP6 192.0.2.1 198.51.100.2 56324 443\r\n",
        b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\n\r\n",
        b"PROXY UDP4 192.0.2.1 198.51.100.2 56324 443\r\n",
        b"PROXY TCP4 192.0.2.\xff 198.51.100.2 56324 443\r\n",
    ];
    for line in lines {
        assert_eq!(parse(line, Versions::Both), Err(ProxyError::Line), "{}", line.escape_ascii());
    }
    let without_end = [b"PROXY UNKNOWN ".as_slice(), &[b'x'; 93]].concat();
    assert_eq!(parse(&without_end[..106], Versions::One), Ok(None));
    assert_eq!(parse(&without_end, Versions::One), Err(ProxyError::LineTooLong));
}

#[test]
fn binary_header_tells_both_addresses() {
    let v4 = binary(b"\x21\x11\x00\x0c\xc0\x00\x02\x01\xc6\x33\x64\x02\xdc\x04\x01\xbb");
    assert_eq!(parse(&v4, Versions::Two), Ok(Some(told(28, "192.0.2.1:56324", "198.51.100.2:443"))));
    assert_eq!(parse(&v4, Versions::Both), Ok(Some(told(28, "192.0.2.1:56324", "198.51.100.2:443"))));
    let v6 = binary(
        b"\x21\x21\x00\x24\x20\x01\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\x01\x00\x01\xff\xff",
    );
    assert_eq!(parse(&v6, Versions::Two), Ok(Some(told(52, "[2001:db8::1]:1", "[::1]:65535"))));
    // A type, a length and a value behind the addresses, and then HTTP.
    let more = binary(b"\x21\x11\x00\x10\xc0\x00\x02\x01\xc6\x33\x64\x02\xdc\x04\x01\xbb\x04\x00\x01\x00GET");
    assert_eq!(parse(&more, Versions::Two), Ok(Some(told(32, "192.0.2.1:56324", "198.51.100.2:443"))));
}

#[test]
fn binary_header_may_tell_nothing() {
    // LOCAL, whatever its family; unknown; Unix sockets.
    let local = binary(b"\x20\x00\x00\x00");
    assert_eq!(parse(&local, Versions::Two), Ok(Some(nobody(16))));
    let local = binary(b"\x20\x11\x00\x0c\xc0\x00\x02\x01\xc6\x33\x64\x02\xdc\x04\x01\xbb");
    assert_eq!(parse(&local, Versions::Two), Ok(Some(nobody(28))));
    let unknown = binary(b"\x21\x00\x00\x02ab");
    assert_eq!(parse(&unknown, Versions::Two), Ok(Some(nobody(18))));
    let unix = [binary(b"\x21\x31\x00\xd8"), vec![b'/'; 216]].concat();
    assert_eq!(parse(&unix, Versions::Two), Ok(Some(nobody(232))));
}

#[test]
fn binary_header_that_is_malformed_is_an_error() {
    let headers: [(&[u8], ProxyError); 6] = [
        (b"\x11\x11\x00\x00", ProxyError::Command),
        (b"\x22\x11\x00\x00", ProxyError::Command),
        (b"\x21\x12\x00\x00", ProxyError::Family),
        (b"\x21\x41\x00\x00", ProxyError::Family),
        (b"\x21\x11\x00\x0b01234567890", ProxyError::Addresses),
        (b"\x21\x21\x00\x0c012345678901", ProxyError::Addresses),
    ];
    for (rest, error) in headers {
        assert_eq!(parse(&binary(rest), Versions::Both), Err(error), "{}", rest.escape_ascii());
    }
}

#[test]
fn every_beginning_of_a_header_needs_more() {
    let line = b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n".to_vec();
    let header = binary(b"\x21\x11\x00\x0c\xc0\x00\x02\x01\xc6\x33\x64\x02\xdc\x04\x01\xbb");
    for whole in [line, header] {
        for end in 0..whole.len() {
            assert_eq!(parse(&whole[..end], Versions::Both), Ok(None), "{end} bytes");
        }
    }
}

#[test]
fn what_is_no_header_of_the_version_is_left_alone() {
    let line = b"PROXY TCP4 192.0.2.1 198.51.100.2 56324 443\r\n".to_vec();
    let header = binary(b"\x20\x00\x00\x00");
    assert_eq!(parse(&line, Versions::Two), Ok(Some(nobody(0))));
    assert_eq!(parse(&header, Versions::One), Ok(Some(nobody(0))));
    let others: [&[u8]; 6] =
        [b"GET / HTTP/1.1\r\n", b"P\x4fST", b"PROXY\t", b"proxy ", b"\r\n\r\nGET", b"\x16\x03\x01"];
    for other in others {
        assert_eq!(parse(other, Versions::Both), Ok(Some(nobody(0))), "{}", other.escape_ascii());
    }
}

#[test]
fn network_contains_the_addresses_that_begin_like_it() {
    let rows = [
        ("127.0.0.1", 32, "127.0.0.1", true),
        ("127.0.0.1", 32, "127.0.0.2", false),
        ("127.0.0.1", 32, "::ffff:127.0.0.1", true),
        ("10.0.0.0", 8, "10.255.1.2", true),
        ("10.0.0.0", 8, "11.0.0.0", false),
        ("0.0.0.0", 0, "203.0.113.9", true),
        ("0.0.0.0", 0, "2001:db8::1", false),
        ("2001:db8::", 32, "2001:db8:ffff::1", true),
        ("2001:db8::", 32, "2001:db9::1", false),
        ("::1", 128, "::1", true),
    ];
    for (address, prefix, other, contained) in rows {
        let network = Network { address: address.parse().unwrap(), prefix };
        assert_eq!(network.contains(other.parse().unwrap()), contained, "{address}/{prefix} {other}");
    }
}
