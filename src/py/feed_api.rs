//! The rooms of the core for the video extension: the table of `feed_api`, in a capsule.

#![allow(unsafe_code, reason = "a table of C functions, for an extension that shares no Rust types")]

use std::{
    ffi::c_void,
    panic::{AssertUnwindSafe, catch_unwind},
    ptr::{NonNull, null_mut},
    slice,
    sync::Arc,
};

use bytes::Bytes;
use feed_api::{CAPSULE_NAME, Counts, FeedApi, GROUPS, HEADER_ROOM, Message, NOTICE, VERSION};
use pyo3::{ffi, prelude::*, types::PyCapsule};

use super::websocket::PyConnection;
use crate::{
    connection::slots::{Part, Policy},
    rooms::{Room, Subscription},
    wire::{frame, message::Kind},
};

const _: () = assert!(HEADER_ROOM == frame::HEADER_ROOM, "both sides leave the same room for the header");

static TABLE: FeedApi = FeedApi {
    version: VERSION,
    new_room,
    drop_room,
    publish,
    start,
    forget,
    members,
    watching,
    subscribe,
    subscribe_too,
    drop_subscription,
    tell,
    pause,
    counts,
    is_open,
};

/// The capsule that `dwebsocket._core._feed_api` is.
///
/// # Errors
/// No memory.
pub(super) fn capsule(py: Python<'_>) -> PyResult<Bound<'_, PyCapsule>> {
    // SAFETY: the pointer is to a static, which is valid and unchanged for as long as the process lives.
    unsafe { PyCapsule::new_with_pointer(py, NonNull::from(&TABLE).cast(), CAPSULE_NAME) }
}

/// Runs what must not unwind into the other extension. A panic has been reported by the hook, and gives `otherwise`.
fn guarded<T>(otherwise: T, function: impl FnOnce() -> T) -> T {
    // What a panic leaves behind is a room, whose lock does not poison and whose state is lists and messages.
    catch_unwind(AssertUnwindSafe(function)).unwrap_or(otherwise)
}

/// Memory of the other extension.
struct Foreign {
    data: NonNull<u8>,
    length: usize,
    owner: *mut c_void,
    release: unsafe extern "C" fn(*mut c_void),
}

// SAFETY: the memory is nobody else's until it is released, and that may be done from any thread, as `Message` demands.
unsafe impl Send for Foreign {}

impl AsRef<[u8]> for Foreign {
    fn as_ref(&self) -> &[u8] {
        // SAFETY: `length` bytes at `data` are valid until they are released, and nobody writes to them any more.
        unsafe { slice::from_raw_parts(self.data.as_ptr(), self.length) }
    }
}

impl Drop for Foreign {
    fn drop(&mut self) {
        // SAFETY: called once, with the owner it belongs to.
        unsafe { (self.release)(self.owner) }
    }
}

/// The message as a frame, without copying its payload. `None`: it is malformed; it has been released.
///
/// # Safety
/// The message is as [`Message`] demands, and not used again.
unsafe fn framed(message: &Message) -> Option<Bytes> {
    let &Message { data, length, owner, release, is_binary } = message;
    let Some(data) = NonNull::new(data) else {
        // SAFETY: once, with the owner it belongs to.
        unsafe { release(owner) };
        return None;
    };
    let foreign = Foreign { data, length, owner, release };
    if length < HEADER_ROOM {
        return None;
    }
    let kind = if is_binary == 0 { Kind::Text } else { Kind::Binary };
    // SAFETY: the bytes are writable and nobody else's; the slice ends before `foreign` is read.
    let start = frame::write_header(kind, unsafe { slice::from_raw_parts_mut(data.as_ptr(), length) });
    Some(Bytes::from_owner(foreign).slice(start..))
}

fn part(part: u8) -> Part {
    if part == NOTICE { Part::Notice } else { Part::Content }
}

/// # Safety
/// The pointer came from [`new_room`] and was not dropped.
unsafe fn room<'a>(room: *const feed_api::Room) -> &'a Arc<Room> {
    // SAFETY: that is what `new_room` gives out.
    unsafe { &*room.cast() }
}

/// # Safety
/// The pointer came from [`subscribe`] and was not dropped.
unsafe fn subscription<'a>(subscription: *const feed_api::Subscription) -> &'a Subscription {
    // SAFETY: that is what `subscribe` gives out.
    unsafe { &*subscription.cast() }
}

// Each of the following is called as `FeedApi` demands.

unsafe extern "C" fn new_room(policy: u8) -> *mut feed_api::Room {
    let policy = if policy == GROUPS { Policy::Groups } else { Policy::Newest };
    guarded(null_mut(), || Box::into_raw(Box::new(Arc::new(Room::new(policy)))).cast())
}

unsafe extern "C" fn drop_room(room: *mut feed_api::Room) {
    // SAFETY: it came from `new_room`, and is not used again.
    guarded((), || drop(unsafe { Box::from_raw(room.cast::<Arc<Room>>()) }));
}

unsafe extern "C" fn publish(target: *const feed_api::Room, kind: u8, message: Message) {
    guarded((), || {
        // SAFETY: as the table demands.
        let (room, frame) = unsafe { (room(target), framed(&message)) };
        if let Some(frame) = frame {
            room.publish(part(kind), &frame);
        }
    });
}

unsafe extern "C" fn start(
    target: *const feed_api::Room,
    header: *const Message,
    headers: usize,
    first: Message,
) {
    guarded((), || {
        // SAFETY: as the table demands; an empty slice may be behind any pointer, null included, which a slice may not.
        let header = if headers == 0 { &[] } else { unsafe { slice::from_raw_parts(header, headers) } };
        // SAFETY: as the table demands; each is looked at once.
        let (room, header, first) = unsafe {
            let header: Vec<_> = header.iter().filter_map(|message| framed(message)).collect();
            (room(target), header, framed(&first))
        };
        if let Some(first) = first {
            room.start(&header, &first);
        }
    });
}

unsafe extern "C" fn forget(target: *const feed_api::Room) {
    // SAFETY: as the table demands.
    guarded((), || unsafe { room(target) }.forget());
}

unsafe extern "C" fn members(target: *const feed_api::Room) -> usize {
    // SAFETY: as the table demands.
    guarded(0, || unsafe { room(target) }.members())
}

unsafe extern "C" fn watching(target: *const feed_api::Room) -> usize {
    // SAFETY: as the table demands.
    guarded(0, || unsafe { room(target) }.watching())
}

unsafe extern "C" fn subscribe(
    target: *const feed_api::Room,
    connection: *mut c_void,
) -> *mut feed_api::Subscription {
    guarded(null_mut(), || {
        // SAFETY: as the table demands: attached, and the object is alive for the call.
        let (room, object) = unsafe {
            let py = Python::assume_attached();
            (room(target), Bound::from_borrowed_ptr(py, connection.cast::<ffi::PyObject>()))
        };
        match object.cast::<PyConnection>() {
            Ok(connection) => room
                .join(connection.get().connection())
                .map_or(null_mut(), |subscription| Box::into_raw(Box::new(subscription)).cast()),
            Err(error) => {
                PyErr::from(error).restore(object.py());
                null_mut()
            }
        }
    })
}

unsafe extern "C" fn subscribe_too(
    target: *const feed_api::Room,
    other: *const feed_api::Subscription,
) -> *mut feed_api::Subscription {
    guarded(null_mut(), || {
        // SAFETY: as the table demands.
        let (room, other) = unsafe { (room(target), subscription(other)) };
        room.join_too(other).map_or(null_mut(), |subscription| Box::into_raw(Box::new(subscription)).cast())
    })
}

unsafe extern "C" fn drop_subscription(subscription: *mut feed_api::Subscription) {
    // SAFETY: it came from `subscribe`, and is not used again.
    guarded((), || drop(unsafe { Box::from_raw(subscription.cast::<Subscription>()) }));
}

unsafe extern "C" fn tell(target: *const feed_api::Subscription, kind: u8, message: Message) {
    guarded((), || {
        // SAFETY: as the table demands.
        let (subscription, frame) = unsafe { (subscription(target), framed(&message)) };
        if let Some(frame) = frame {
            subscription.tell(part(kind), frame);
        }
    });
}

unsafe extern "C" fn pause(target: *const feed_api::Subscription, paused: u8) {
    // SAFETY: as the table demands.
    guarded((), || unsafe { subscription(target) }.pause(paused != 0));
}

unsafe extern "C" fn counts(target: *const feed_api::Subscription) -> Counts {
    guarded(Counts::default(), || {
        // SAFETY: as the table demands.
        let (sent, skipped) = unsafe { subscription(target) }.counts();
        Counts { sent, skipped }
    })
}

unsafe extern "C" fn is_open(target: *const feed_api::Subscription) -> u8 {
    // SAFETY: as the table demands.
    guarded(0, || unsafe { subscription(target) }.is_open().into())
}
