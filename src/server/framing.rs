//! Where requests begin and end, as strictly as the ways around it (request smuggling) demand.
//!
//! hyper parses what it can make sense of: a line that ends in a bare LF, a second `Content-Length` of the same value,
//! a `Content-Length` beside `Transfer-Encoding` (which it drops before anybody sees it). A proxy in front may have made
//! another sense of it, and then disagrees on where the next request begins. So the bytes are looked at on their way to
//! hyper, with one meaning for each and none for the rest (RFC 9112 sections 2.2, 6.1, 6.3, 7.1 and 11.2).

use http::StatusCode;
use memchr::memchr;

/// Kept of a line that has not ended. hyper has refused a longer one before.
const LONGEST_LINE: usize = 1 << 20;

const LINE_END: &str = "A line of a request ends with CR and LF.";

/// Why the head of a request is not taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Violation {
    /// The status to refuse with.
    pub status: StatusCode,
    /// For the client.
    pub reason: &'static str,
}

const fn bad(reason: &'static str) -> Violation {
    Violation { status: StatusCode::BAD_REQUEST, reason }
}

/// The first head that will not do: its number on this connection, from 0.
pub type Verdict = (u64, Violation);

/// Follows the requests of one connection.
#[derive(Debug, Default)]
pub struct Framing {
    state: State,
    /// The beginning of a line that has not ended.
    line: Vec<u8>,
    heads: u64,
    verdict: Option<Verdict>,
}

#[derive(Debug, Default)]
enum State {
    /// Before the request line.
    #[default]
    Start,
    /// Among the fields.
    Fields(Fields),
    /// So many bytes of the body are missing.
    Body(u64),
    /// Before the line with the size of a chunk.
    ChunkSize,
    /// Within a chunk: so many bytes are missing, the CRLF behind it included.
    Chunk(u64),
    /// Among the lines behind the last chunk.
    Trailers,
    /// The body is malformed: hyper gets to see what it finds malformed as well.
    Malformed,
    /// Nothing is looked at any more: the connection ends with the exchange under way.
    Over,
}

/// The body of a request that may already be with the application.
struct Malformed;

/// What the fields of a head say of the body.
#[derive(Debug, Default)]
struct Fields {
    length: Option<u64>,
    is_chunked: bool,
    violation: Option<Violation>,
}

impl Framing {
    /// Looks at bytes that are on their way, and spoils those of a malformed body: an error in their place would take the
    /// response away with the request.
    pub fn pass(&mut self, bytes: &mut [u8]) {
        let mut at = 0;
        while at < bytes.len() {
            let Ok(passed) = self.step(&bytes[at..]) else {
                self.give_up(State::Malformed);
                // Wherever its parser is in the chunked coding, it does not take this.
                for (byte, spoilt) in bytes[at..].iter_mut().zip([b'\r', 0].into_iter().cycle()) {
                    *byte = spoilt;
                }
                return;
            };
            at += passed;
        }
    }

    /// Gives the number of bytes used, at least one.
    fn step(&mut self, bytes: &[u8]) -> Result<usize, Malformed> {
        match &mut self.state {
            State::Over => Ok(bytes.len()),
            State::Malformed => Err(Malformed),
            State::Body(left) => {
                let passed = shorter(*left, bytes.len());
                *left -= passed as u64;
                if *left == 0 {
                    self.state = State::Start;
                }
                Ok(passed)
            }
            State::Chunk(left) => {
                let passed = shorter(*left, bytes.len());
                // The last two bytes end the chunk.
                for (at, &byte) in bytes[..passed].iter().enumerate().skip(passed.saturating_sub(2)) {
                    let expected = match *left - at as u64 {
                        2 => b'\r',
                        1 => b'\n',
                        _ => continue,
                    };
                    if byte != expected {
                        return Err(Malformed);
                    }
                }
                *left -= passed as u64;
                if *left == 0 {
                    self.state = State::ChunkSize;
                }
                Ok(passed)
            }
            State::Start | State::Fields(_) | State::ChunkSize | State::Trailers => self.take_line(bytes),
        }
    }

    /// Whether a body was malformed, whose rest is spoilt then.
    pub fn has_spoilt(&self) -> bool {
        matches!(self.state, State::Malformed)
    }

    /// The first head that will not do, once its bytes have passed.
    pub fn verdict(&self) -> Option<Verdict> {
        self.verdict
    }

    fn take_line(&mut self, bytes: &[u8]) -> Result<usize, Malformed> {
        let Some(end) = memchr(b'\n', bytes) else {
            if self.line.len() + bytes.len() > LONGEST_LINE {
                self.give_up(State::Over);
            } else {
                self.line.extend_from_slice(bytes);
            }
            return Ok(bytes.len());
        };
        let piece = &bytes[..=end];
        if self.line.is_empty() {
            self.end_line(piece)?;
        } else {
            let mut line = std::mem::take(&mut self.line);
            line.extend_from_slice(piece);
            self.end_line(&line)?;
        }
        Ok(piece.len())
    }

    /// `line` ends with LF.
    fn end_line(&mut self, line: &[u8]) -> Result<(), Malformed> {
        let content = line.strip_suffix(b"\r\n");
        match &mut self.state {
            State::Start => {
                let violation = match content {
                    None => Some(bad(LINE_END)),
                    Some([]) => Some(bad("A request begins with its request line.")),
                    Some(_) => None,
                };
                // hyper leaves out empty lines before a request, so the verdict on one is that on the head behind it.
                self.state = State::Fields(Fields { violation, ..Fields::default() });
            }
            State::Fields(fields) => match content {
                Some([]) => self.end_head(),
                Some(content) => fields.take(content),
                None => {
                    fields.violation.get_or_insert(bad(LINE_END));
                    if line == b"\n" {
                        self.end_head();
                    }
                }
            },
            State::ChunkSize => {
                let size = content.and_then(chunk_size).ok_or(Malformed)?;
                // The CRLF behind the data counts as well.
                self.state = if size == 0 { State::Trailers } else { State::Chunk(size + 2) };
            }
            State::Trailers => match content {
                Some([]) => self.state = State::Start,
                Some(content) if is_trailer(content) => {}
                _ => return Err(Malformed),
            },
            State::Body(_) | State::Chunk(_) | State::Malformed | State::Over => {}
        }
        Ok(())
    }

    fn end_head(&mut self) {
        let State::Fields(fields) = std::mem::replace(&mut self.state, State::Start) else { return };
        if let Some(violation) = fields.violation() {
            self.verdict = Some((self.heads, violation));
            self.give_up(State::Over);
        } else if fields.is_chunked {
            self.state = State::ChunkSize;
        } else if let Some(length @ 1..) = fields.length {
            self.state = State::Body(length);
        }
        self.heads += 1;
    }

    fn give_up(&mut self, state: State) {
        self.state = state;
        self.line = Vec::new();
    }
}

impl Fields {
    /// Takes one line. What else is wrong with it is found by hyper.
    fn take(&mut self, line: &[u8]) {
        let Some(colon) = memchr(b':', line) else { return };
        let (name, value) = (&line[..colon], line[colon + 1..].trim_ascii());
        let outcome = if name.eq_ignore_ascii_case(b"content-length") {
            self.take_length(value)
        } else if name.eq_ignore_ascii_case(b"transfer-encoding") {
            self.take_coding(value)
        } else {
            Ok(())
        };
        if let Err(violation) = outcome {
            self.violation.get_or_insert(violation);
        }
    }

    fn take_length(&mut self, value: &[u8]) -> Result<(), Violation> {
        if self.length.is_some() {
            return Err(bad("A request has one Content-Length."));
        }
        self.length = Some(number(value, 10).ok_or(bad("Content-Length is a number."))?);
        Ok(())
    }

    fn take_coding(&mut self, value: &[u8]) -> Result<(), Violation> {
        if self.is_chunked {
            return Err(bad("A request has one Transfer-Encoding."));
        }
        if !value.eq_ignore_ascii_case(b"chunked") {
            // RFC 9112 section 6.1.
            let reason = "This server understands no Transfer-Encoding but chunked.";
            return Err(Violation { status: StatusCode::NOT_IMPLEMENTED, reason });
        }
        self.is_chunked = true;
        Ok(())
    }

    fn violation(&self) -> Option<Violation> {
        let both = self.is_chunked && self.length.is_some();
        self.violation.or(both.then_some(bad("A request has Content-Length or Transfer-Encoding, not both.")))
    }
}

/// The size in front of a chunk, whose extensions mean nothing here.
fn chunk_size(line: &[u8]) -> Option<u64> {
    let digits = memchr(b';', line).map_or(line, |end| &line[..end]);
    number(digits, 16).filter(|size| *size <= u64::MAX - 2)
}

/// Digits and nothing else: no sign, no space, no prefix.
fn number(digits: &[u8], radix: u32) -> Option<u64> {
    if !digits.iter().all(|&digit| char::from(digit).is_digit(radix)) {
        return None;
    }
    u64::from_str_radix(std::str::from_utf8(digits).ok()?, radix).ok()
}

/// Trailers are not given to anybody; those that a proxy might take for part of a head are refused all the same.
fn is_trailer(line: &[u8]) -> bool {
    let Some(colon) = memchr(b':', line) else { return false };
    let name = &line[..colon];
    let is_name = !name.is_empty() && name.iter().all(u8::is_ascii_graphic);
    let forbidden = [&b"content-length"[..], b"transfer-encoding", b"host"];
    is_name && !forbidden.iter().any(|forbidden| name.eq_ignore_ascii_case(forbidden))
}

fn shorter(left: u64, available: usize) -> usize {
    usize::try_from(left).map_or(available, |left| left.min(available))
}
