//! The rooms of the core, through its table: connections that get the same messages and are never waited for.
#![allow(unsafe_code, reason = "the core is an extension of its own, and shares no Rust types")]

use std::ffi::c_void;
use std::fmt;
use std::ptr::NonNull;

use feed_api::{CONTENT, FeedApi, GROUPS, HEADER_ROOM, NEWEST, NOTICE, VERSION};

pub use feed_api::Counts;

/// The table of the core that this process has loaded.
#[derive(Clone, Copy)]
pub struct Core(&'static FeedApi);

/// The core speaks another version of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct OtherVersion {
    /// What the core speaks.
    pub theirs: u32,
    /// What this crate speaks.
    pub ours: u32,
}

impl Core {
    /// The table behind the pointer of the core's capsule.
    ///
    /// # Errors
    /// It is of another version.
    ///
    /// # Safety
    /// The pointer is to a table whose first field is its version, and which stays where it is for as long as the process
    /// lives. A table of the version [`VERSION`] is a [`FeedApi`].
    pub unsafe fn from_pointer(pointer: NonNull<c_void>) -> Result<Self, OtherVersion> {
        // SAFETY: the version comes first in every version of the table; nothing behind it is read before it is known.
        let theirs = unsafe { pointer.cast::<u32>().read() };
        if theirs != VERSION {
            return Err(OtherVersion { theirs, ours: VERSION });
        }
        // SAFETY: of this version, so it is one; and static.
        Ok(Self(unsafe { pointer.cast::<FeedApi>().as_ref() }))
    }
}

impl fmt::Debug for Core {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_tuple("Core").field(&self.0.version).finish()
    }
}

/// A message being written; its memory goes to the sockets as it is.
#[derive(Debug)]
pub struct Message {
    buffer: Vec<u8>,
    is_binary: bool,
}

impl Message {
    /// An empty text with room for `bytes`. Only UTF-8 may be written to it.
    pub fn text(bytes: usize) -> Self {
        Self::new(bytes, false)
    }

    /// An empty binary message with room for `bytes`.
    pub fn binary(bytes: usize) -> Self {
        Self::new(bytes, true)
    }

    fn new(bytes: usize, is_binary: bool) -> Self {
        let mut buffer = Vec::with_capacity(HEADER_ROOM + bytes);
        buffer.resize(HEADER_ROOM, 0);
        Self { buffer, is_binary }
    }

    /// Where the payload is appended.
    pub fn payload(&mut self) -> &mut Vec<u8> {
        &mut self.buffer
    }

    fn into_foreign(self) -> feed_api::Message {
        let mut owner = Box::new(self.buffer);
        let (data, length) = (owner.as_mut_ptr(), owner.len());
        let owner = Box::into_raw(owner).cast();
        feed_api::Message { data, length, owner, release, is_binary: self.is_binary.into() }
    }
}

/// # Safety
/// The owner is one of [`Message::into_foreign`], not released before.
unsafe extern "C" fn release(owner: *mut c_void) {
    // SAFETY: it is the box that was leaked there. Freeing a vector of bytes does not unwind.
    drop(unsafe { Box::from_raw(owner.cast::<Vec<u8>>()) });
}

/// What a message is to those before and after it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Part {
    /// A picture, or a piece of the series.
    Picture,
    /// Says something about the pictures; replaced by the next notice only, and keeps its place among the pictures.
    Notice,
}

impl Part {
    fn number(self) -> u8 {
        match self {
            Self::Picture => CONTENT,
            Self::Notice => NOTICE,
        }
    }
}

/// Connections that are shown the same pictures in the same form.
pub struct Room {
    core: Core,
    pointer: NonNull<feed_api::Room>,
}

// SAFETY: the functions of the table may be called from any thread; see `feed_api`.
unsafe impl Send for Room {}
// SAFETY: as above; the core's room has a lock.
unsafe impl Sync for Room {}

impl Room {
    /// A room without members, whose members always get the newest picture.
    ///
    /// # Panics
    /// The core met a bug.
    pub fn new(core: Core) -> Self {
        Self::of(core, NEWEST)
    }

    /// A room without members, for pictures that are understood by the group: [`Room::start`] begins one.
    ///
    /// # Panics
    /// The core met a bug.
    pub fn of_groups(core: Core) -> Self {
        Self::of(core, GROUPS)
    }

    fn of(core: Core, policy: u8) -> Self {
        // SAFETY: any number will do.
        let pointer = unsafe { (core.0.new_room)(policy) };
        Self { core, pointer: NonNull::new(pointer).expect("bug: the core gives no room") }
    }

    /// Gives a message to every member, and to whoever joins before the next. Never waits for a client.
    pub fn publish(&self, part: Part, message: Message) {
        // SAFETY: the room is alive.
        unsafe { (self.core.0.publish)(self.pointer.as_ptr(), part.number(), message.into_foreign()) }
    }

    /// Starts a group. Members who do not follow the group before it get the messages of the header first. Never waits.
    pub fn start<const N: usize>(&self, header: [Message; N], first: Message) {
        let header = header.map(Message::into_foreign);
        // SAFETY: the room is alive; the core takes what the messages point to, and reads the array during the call only.
        unsafe {
            (self.core.0.start)(self.pointer.as_ptr(), header.as_ptr(), header.len(), first.into_foreign());
        }
    }

    /// Keeps no picture for whoever joins. The next group comes behind its header for everybody.
    pub fn forget(&self) {
        // SAFETY: the room is alive.
        unsafe { (self.core.0.forget)(self.pointer.as_ptr()) }
    }

    /// How many connections are in it.
    pub fn members(&self) -> usize {
        // SAFETY: the room is alive.
        unsafe { (self.core.0.members)(self.pointer.as_ptr()) }
    }

    /// How many of them are not paused.
    pub fn watching(&self) -> usize {
        // SAFETY: the room is alive.
        unsafe { (self.core.0.watching)(self.pointer.as_ptr()) }
    }

    /// Adds a connection. `None`: it is closing or closed, or a Python exception is set, because it is none.
    ///
    /// # Safety
    /// The thread is attached to Python; the pointer is to a Python object that stays alive for the call.
    pub unsafe fn subscribe(&self, connection: *mut c_void) -> Option<Subscription> {
        // SAFETY: the room is alive; the rest is the caller's.
        let pointer = unsafe { (self.core.0.subscribe)(self.pointer.as_ptr(), connection) };
        NonNull::new(pointer).map(|pointer| Subscription { core: self.core, pointer })
    }

    /// Adds the connection of a subscription to another room. `None`: it is closing or closed.
    pub fn subscribe_too(&self, other: &Subscription) -> Option<Subscription> {
        // SAFETY: both are alive.
        let pointer = unsafe { (self.core.0.subscribe_too)(self.pointer.as_ptr(), other.pointer.as_ptr()) };
        NonNull::new(pointer).map(|pointer| Subscription { core: self.core, pointer })
    }
}

impl Drop for Room {
    fn drop(&mut self) {
        // SAFETY: alive until now, and not used again.
        unsafe { (self.core.0.drop_room)(self.pointer.as_ptr()) }
    }
}

impl fmt::Debug for Room {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Room").field("members", &self.members()).finish_non_exhaustive()
    }
}

/// A connection's place in a room; dropping it leaves the room.
pub struct Subscription {
    core: Core,
    pointer: NonNull<feed_api::Subscription>,
}

// SAFETY: the functions of the table may be called from any thread; see `feed_api`.
unsafe impl Send for Subscription {}
// SAFETY: as above; the slot of the connection has a lock.
unsafe impl Sync for Subscription {}

impl Subscription {
    /// Gives a message to this member alone.
    pub fn tell(&self, part: Part, message: Message) {
        // SAFETY: the subscription is alive.
        unsafe { (self.core.0.tell)(self.pointer.as_ptr(), part.number(), message.into_foreign()) }
    }

    /// Lets pictures, but not notices, pass by; or goes on with the newest picture or group.
    pub fn pause(&self, paused: bool) {
        // SAFETY: the subscription is alive.
        unsafe { (self.core.0.pause)(self.pointer.as_ptr(), paused.into()) }
    }

    /// What became of the pictures so far.
    pub fn counts(&self) -> Counts {
        // SAFETY: the subscription is alive.
        unsafe { (self.core.0.counts)(self.pointer.as_ptr()) }
    }

    /// Whether messages can still reach the client.
    pub fn is_open(&self) -> bool {
        // SAFETY: the subscription is alive.
        unsafe { (self.core.0.is_open)(self.pointer.as_ptr()) != 0 }
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        // SAFETY: alive until now, and not used again.
        unsafe { (self.core.0.drop_subscription)(self.pointer.as_ptr()) }
    }
}

impl fmt::Debug for Subscription {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("Subscription").field("counts", &self.counts()).finish_non_exhaustive()
    }
}
