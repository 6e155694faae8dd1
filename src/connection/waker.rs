//! How a caller sleeps on a mailbox.

/// Wakes whoever waits. Called with no lock held, from any thread; never blocks and never panics.
pub trait Wake: Send + Sync {
    /// Something the waiter registered for may have happened; it looks again.
    fn wake(&self);
}
