//! A live WebSocket: two mailboxes, and the one task that moves bytes between them and the socket.

#[cfg(not(loom))]
pub mod adopt;
mod calls;
#[cfg(not(loom))]
mod clock;
#[cfg(not(loom))]
mod compression;
pub mod direct;
#[cfg(not(loom))]
mod driver;
#[cfg(not(loom))]
mod flight;
pub mod groups;
#[cfg(not(loom))]
mod handle;
#[cfg(not(loom))]
mod lending;
pub mod mailbox;
#[cfg(not(loom))]
mod reader;
#[cfg(not(loom))]
mod readiness;
#[cfg(not(loom))]
pub(crate) mod registry;
#[cfg(not(loom))]
mod shared;
#[cfg(not(loom))]
mod signals;
pub mod slots;
#[cfg(not(loom))]
mod socket;
#[cfg(not(loom))]
mod stack;
#[cfg(not(loom))]
pub mod stats;
#[cfg(not(loom))]
mod subscriber;
mod sync;
pub mod turnstile;
pub mod waker;
#[cfg(not(loom))]
mod writer;

#[cfg(not(loom))]
pub use compression::agree;
#[cfg(not(loom))]
pub use driver::Driver;
#[cfg(not(loom))]
pub use handle::{Connection, Counts, Patience, Taken, WeakConnection, open, open_agreed};
#[cfg(not(loom))]
pub use readiness::Bell;
#[cfg(not(loom))]
pub use socket::Socket;
#[cfg(not(loom))]
pub use subscriber::Subscriber;
