//! The table by which the video extension uses the rooms of the core.
//!
//! The two are extension modules of their own, each with its own Rust standard library and allocator, maybe of different
//! releases. So nothing but this table, in the layout of C, passes between them: the core hands out a capsule that points
//! to a static [`FeedApi`], and the other side reads [`FeedApi::version`], the first field in every version, before
//! anything else. Both sides compile the same definitions.
//!
//! Whoever allocated frees: the objects behind the pointers are the core's, given back by the `drop_` functions, and a
//! [`Message`] is given back by its own `release`. No function unwinds; one that met a bug does nothing, or gives a null
//! pointer or 0. All but `subscribe` may be called from any thread, attached to Python or not, and none waits for a client.

use std::ffi::{CStr, c_void};

/// The version of the layout and the meaning of the table. Anything that changes either makes it another.
pub const VERSION: u32 = 2;

/// The name of the capsule, which is also where it is found.
pub const CAPSULE_NAME: &CStr = c"dwebsocket._core._feed_api";

/// Bytes in front of a message's payload into which the core writes the header of its frame.
pub const HEADER_ROOM: usize = 10;

/// [`FeedApi::new_room`]: only the newest message of the series counts; it replaces those that wait for a client.
pub const NEWEST: u8 = 0;

/// [`FeedApi::new_room`]: the series comes in groups, each to be understood as a whole. A client is left out of what it is too
/// slow for, and goes on with the start of the next group.
pub const GROUPS: u8 = 1;

/// [`FeedApi::publish`] and [`FeedApi::tell`]: one of the series.
pub const CONTENT: u8 = 0;

/// [`FeedApi::publish`] and [`FeedApi::tell`]: says something about the series; replaced by the next notice only.
pub const NOTICE: u8 = 1;

/// A room of the core whose members are never waited for.
#[repr(C)]
pub struct Room {
    opaque: [u8; 0],
}

/// A connection's place in a room.
#[repr(C)]
pub struct Subscription {
    opaque: [u8; 0],
}

/// A whole message in memory of the caller.
#[repr(C)]
pub struct Message {
    /// [`HEADER_ROOM`] bytes of any value and then the payload; writable, and nobody else's until `release` is called.
    pub data: *mut u8,
    /// Bytes at `data`, at least [`HEADER_ROOM`].
    pub length: usize,
    /// Passed to `release`.
    pub owner: *mut c_void,
    /// Called exactly once, from any thread, when nobody needs the memory any more. Must not unwind.
    pub release: unsafe extern "C" fn(owner: *mut c_void),
    /// 1: a binary message. 0: text, whose payload must be UTF-8.
    pub is_binary: u8,
}

/// What became of the content meant for one subscription.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Counts {
    /// Messages sent.
    pub sent: u64,
    /// Messages that were replaced or dropped before they could be sent.
    pub skipped: u64,
}

/// The functions of the core. Each pointer passed must have come from the same table and not been dropped.
#[repr(C)]
pub struct FeedApi {
    /// [`VERSION`] of the core.
    pub version: u32,
    /// A new room without members, [`NEWEST`] or [`GROUPS`].
    pub new_room: unsafe extern "C" fn(policy: u8) -> *mut Room,
    /// Gives a room back; its subscriptions keep what they need of it.
    pub drop_room: unsafe extern "C" fn(room: *mut Room),
    /// Gives a message to every member, and to whoever joins before the next one. `part`: [`CONTENT`] or [`NOTICE`].
    pub publish: unsafe extern "C" fn(room: *const Room, part: u8, message: Message),
    /// Starts a group with its first message. Who takes the series up with it gets the messages of the header before it:
    /// `headers` of them at `header`, which are taken over as `first` is. To a [`NEWEST`] room `first` is content, and the
    /// header nothing.
    pub start:
        unsafe extern "C" fn(room: *const Room, header: *const Message, headers: usize, first: Message),
    /// Keeps no content for whoever joins, until the next message or group; the notice stays. The next group does not go on
    /// with the one before, so every member gets its header.
    pub forget: unsafe extern "C" fn(room: *const Room),
    /// Connections in a room.
    pub members: unsafe extern "C" fn(room: *const Room) -> usize,
    /// Those of them that are not paused.
    pub watching: unsafe extern "C" fn(room: *const Room) -> usize,
    /// Adds a connection to a room. `connection`: a Python object, borrowed; the calling thread must be attached. Null:
    /// with a Python exception set, it is no `dwebsocket._core.Connection`; without one, it is closing or closed.
    pub subscribe: unsafe extern "C" fn(room: *const Room, connection: *mut c_void) -> *mut Subscription,
    /// Adds the connection of a subscription to another room. Null: it is closing or closed.
    pub subscribe_too:
        unsafe extern "C" fn(room: *const Room, subscription: *const Subscription) -> *mut Subscription,
    /// Leaves the room and gives the subscription back.
    pub drop_subscription: unsafe extern "C" fn(subscription: *mut Subscription),
    /// Gives a message to one member alone, as `publish`.
    pub tell: unsafe extern "C" fn(subscription: *const Subscription, part: u8, message: Message),
    /// 1: content passes it by from now on, notices do not. 0: it gets content again, the newest or the group so far
    /// at once.
    pub pause: unsafe extern "C" fn(subscription: *const Subscription, paused: u8),
    /// What became of the content so far.
    pub counts: unsafe extern "C" fn(subscription: *const Subscription) -> Counts,
    /// 1 while messages can reach the client, then 0.
    pub is_open: unsafe extern "C" fn(subscription: *const Subscription) -> u8,
}
