//! A live WebSocket: two mailboxes, and the one task that moves bytes between them and the socket.

mod driver;
mod handle;
pub mod mailbox;
pub mod waker;

pub use driver::Driver;
pub use handle::{Connection, Patience, Taken, open};
