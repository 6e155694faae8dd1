//! A whole message.

use bytes::Bytes;

/// What a message is made of (RFC 6455 section 5.6).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// UTF-8 text, already checked.
    Text,
    /// Any bytes.
    Binary,
}

/// A whole text or binary message.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Message {
    /// Text or binary.
    pub kind: Kind,
    /// The payload, unmasked and whole.
    pub payload: Bytes,
}

/// A message that is put together: its last fragment is still to come, or it is being inflated.
#[derive(Debug)]
pub(super) struct Assembly {
    pub(super) kind: Kind,
    /// What arrives has to be inflated before it is appended.
    pub(super) is_compressed: bool,
    payload: Vec<u8>,
}

impl Assembly {
    pub(super) fn new(kind: Kind, is_compressed: bool) -> Self {
        Self { kind, is_compressed, payload: Vec::new() }
    }

    /// Bytes that have been appended.
    pub(super) fn len(&self) -> usize {
        self.payload.len()
    }

    /// Appends bytes that have arrived. The memory taken grows with them, not with what a header announces, and never
    /// beyond `bound`, the most that the message can come to.
    pub(super) fn append(&mut self, part: &[u8], bound: usize) {
        let needed = self.payload.len() + part.len();
        if needed > self.payload.capacity() {
            let target = (2 * self.payload.capacity()).min(bound).max(needed);
            self.payload.reserve_exact(target - self.payload.len());
        }
        self.payload.extend_from_slice(part);
    }

    /// The message, in memory of its own size.
    pub(super) fn finish(mut self) -> Message {
        self.payload.shrink_to_fit();
        Message { kind: self.kind, payload: Bytes::from(self.payload) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_assembly_takes_memory_for_what_has_arrived_and_never_beyond_its_bound() {
        let mut assembly = Assembly::new(Kind::Binary, false);
        assembly.append(&[7; 100], 1 << 20);
        assert_eq!(assembly.payload.capacity(), 100);
        assembly.append(&[7; 1], 1 << 20);
        assert_eq!(assembly.payload.capacity(), 200);
        assembly.append(&[7; 100], 250);
        assert_eq!(assembly.payload.capacity(), 250);
        assembly.append(&[7; 49], 250);
        assert_eq!(assembly.finish().payload, [7; 250][..]);
    }
}
