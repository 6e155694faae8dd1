//! A live WebSocket: two mailboxes, and the one task that moves bytes between them and the socket.

#[cfg(not(loom))]
mod driver;
#[cfg(not(loom))]
mod handle;
pub mod mailbox;
mod sync;
pub mod waker;

#[cfg(not(loom))]
pub use driver::Driver;
#[cfg(not(loom))]
pub use handle::{Connection, Counts, Patience, Taken, open};
