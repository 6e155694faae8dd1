//! A room whose members always get the newest message, and skip what they were too slow for.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use crate::connection::{
    Connection, Subscriber,
    slots::{Audience, Newest, Part, Put},
};

/// Connections that watch one series of messages. Each has a slot for one message beside its outbox: a message it did not
/// take in time is replaced by the next, so it is never behind and holds nobody up.
///
/// It keeps the newest message and the newest notice for whoever joins.
///
/// Its lock is taken before those of the slots; no waker is called under it.
#[derive(Debug, Default)]
pub struct NewestRoom {
    audience: Arc<Audience>,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    members: Vec<Subscriber>,
    kept: Newest,
}

impl NewestRoom {
    /// Gives an encoded frame to every member. Never waits for a client. Messages of several publishers reach every
    /// member in the same order.
    pub fn publish(&self, part: Part, frame: &Bytes) {
        let mut woken = Vec::new();
        let mut state = self.state.lock();
        state.kept.put(part, frame.clone());
        state.members.retain(|member| match member.put(part, frame.clone()) {
            Put::New => {
                woken.push(member.clone());
                true
            }
            Put::Behind | Put::Ignored => true,
            Put::Gone => false,
        });
        drop(state);
        woken.iter().for_each(Subscriber::wake);
    }

    /// Adds a connection, which gets what the room keeps at once. `None`: it is closing or closed.
    pub fn join(self: &Arc<Self>, connection: &Connection) -> Option<Subscription> {
        self.add(|audience| connection.subscriber(audience))
    }

    fn add(
        self: &Arc<Self>,
        subscribe: impl FnOnce(&Arc<Audience>) -> Option<Subscriber>,
    ) -> Option<Subscription> {
        let mut state = self.state.lock();
        let subscriber = subscribe(&self.audience)?;
        // Under the lock, or what is published meanwhile could be replaced by what was kept before it.
        let woken = state.give_kept(&subscriber);
        state.members.push(subscriber.clone());
        drop(state);
        if woken {
            subscriber.wake();
        }
        Some(Subscription { room: Arc::clone(self), subscriber })
    }

    /// Adds the connection that has a place in another room. `None`: it is closing or closed.
    pub fn join_too(self: &Arc<Self>, other: &Subscription) -> Option<Subscription> {
        self.add(|audience| other.subscriber.another(audience))
    }

    /// Keeps no message for whoever joins, until the next one; the notice stays.
    pub fn forget(&self) {
        self.state.lock().kept.forget_content();
    }

    /// How many connections are in it. Cheap.
    pub fn members(&self) -> usize {
        self.audience.members()
    }

    /// How many of them are not paused. Cheap.
    pub fn watching(&self) -> usize {
        self.audience.watching()
    }
}

impl State {
    /// True: the member has to be woken.
    fn give_kept(&self, member: &Subscriber) -> bool {
        let mut woken = false;
        for (part, frame) in self.kept.clone().into_messages() {
            woken |= member.put(part, frame) == Put::New;
        }
        woken
    }
}

/// A connection's place in a room; dropping it leaves the room. It does not keep the connection open.
#[derive(Debug)]
pub struct Subscription {
    room: Arc<NewestRoom>,
    subscriber: Subscriber,
}

impl Subscription {
    /// Gives an encoded frame to this member alone. Never waits.
    pub fn tell(&self, part: Part, frame: Bytes) {
        if self.subscriber.put(part, frame) == Put::New {
            self.subscriber.wake();
        }
    }

    /// Stops the messages, but not the notices, or goes on with the newest message.
    pub fn pause(&self, paused: bool) {
        let state = self.room.state.lock();
        let goes_on = self.subscriber.pause(paused) && !paused;
        let content = if goes_on { state.kept.content() } else { None };
        let put = content.map(|frame| self.subscriber.put(Part::Content, frame));
        drop(state);
        if put == Some(Put::New) {
            self.subscriber.wake();
        }
    }

    /// Messages sent, and messages replaced before they could be.
    pub fn counts(&self) -> (u64, u64) {
        (self.subscriber.tally().sent(), self.subscriber.tally().skipped())
    }

    /// Whether messages can still reach the client.
    pub fn is_open(&self) -> bool {
        self.subscriber.is_open()
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.subscriber.close();
        self.room.state.lock().members.retain(|member| !member.is(&self.subscriber));
    }
}
