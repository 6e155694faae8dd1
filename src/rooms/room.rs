//! A room whose members are never waited for: what a client is too slow for passes it by.

use std::sync::Arc;

use bytes::Bytes;
use parking_lot::Mutex;

use crate::connection::{
    Connection, Subscriber,
    groups::Group,
    slots::{Audience, Newest, Part, Policy, Put},
};

/// Connections that watch one series of messages. Each has a slot beside its outbox, of the room's [`Policy`]: where only
/// the newest counts, a message it did not take in time is replaced by the next, so it is never behind; of a series that
/// comes in groups, it is moved on to the start of the next when it is too late. So it holds nobody up.
///
/// The room keeps for whoever joins the newest notice, and the newest message or the group so far.
///
/// Its lock is taken before those of the slots; no waker is called under it.
#[derive(Debug)]
pub struct Room {
    audience: Arc<Audience>,
    policy: Policy,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    members: Vec<Subscriber>,
    newest: Newest,
    group: Group,
}

impl Room {
    /// A room without members.
    pub fn new(policy: Policy) -> Self {
        Self { audience: Arc::default(), policy, state: Mutex::default() }
    }

    /// Gives an encoded frame to every member. Never waits for a client. Messages of several publishers reach every
    /// member in the same order.
    pub fn publish(&self, part: Part, frame: &Bytes) {
        let mut state = self.state.lock();
        if self.policy == Policy::Groups && part == Part::Content {
            state.group.put(frame.clone());
        } else {
            state.newest.put(part, frame.clone());
        }
        let woken = state.give(|member| member.put(part, frame.clone()));
        drop(state);
        woken.iter().for_each(Subscriber::wake);
    }

    /// Starts a group with an encoded frame; before it, whoever takes the series up with it gets the frames of the header.
    /// As [`Room::publish`]; where only the newest counts, `first` is content.
    pub fn start(&self, header: &[Bytes], first: &Bytes) {
        let mut state = self.state.lock();
        match self.policy {
            Policy::Groups => state.group.start(header, first.clone()),
            Policy::Newest => {
                state.newest.put(Part::Content, first.clone());
            }
        }
        let woken = state.give(|member| member.start(header, first.clone()));
        drop(state);
        woken.iter().for_each(Subscriber::wake);
    }

    /// Adds a connection, which gets what the room keeps at once. `None`: it is closing or closed.
    pub fn join(self: &Arc<Self>, connection: &Connection) -> Option<Subscription> {
        self.add(|policy, audience| connection.subscriber(policy, audience))
    }

    fn add(
        self: &Arc<Self>,
        subscribe: impl FnOnce(Policy, &Arc<Audience>) -> Option<Subscriber>,
    ) -> Option<Subscription> {
        let mut state = self.state.lock();
        let subscriber = subscribe(self.policy, &self.audience)?;
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
        self.add(|policy, audience| other.subscriber.another(policy, audience))
    }

    /// Keeps no message for whoever joins, until the next one or the next group; the notice stays. The next group does not go
    /// on with the one before, for anybody.
    pub fn forget(&self) {
        let mut state = self.state.lock();
        state.newest.forget_content();
        state.group.forget();
        state.members.iter().for_each(Subscriber::cut);
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
    /// Gives every member something, and lets go of those that are gone. Gives whom to wake.
    fn give(&mut self, put: impl Fn(&Subscriber) -> Put) -> Vec<Subscriber> {
        let mut woken = Vec::new();
        self.members.retain(|member| match put(member) {
            Put::New => {
                woken.push(member.clone());
                true
            }
            Put::Behind | Put::Ignored => true,
            Put::Gone => false,
        });
        woken
    }

    /// True: the member has to be woken.
    fn give_kept(&self, member: &Subscriber) -> bool {
        let mut woken = false;
        for (part, frame) in self.newest.clone().into_messages() {
            woken |= member.put(part, frame) == Put::New;
        }
        woken | self.give_group(member)
    }

    /// As [`State::give_kept`].
    fn give_group(&self, member: &Subscriber) -> bool {
        let Some((header, first, rest)) = self.group.parts() else { return false };
        let mut woken = member.start(header, first.clone()) == Put::New;
        for frame in rest {
            // The writer may have taken what came before it already.
            woken |= member.put(Part::Content, frame.clone()) == Put::New;
        }
        woken
    }
}

/// A connection's place in a room; dropping it leaves the room. It does not keep the connection open.
#[derive(Debug)]
pub struct Subscription {
    room: Arc<Room>,
    subscriber: Subscriber,
}

impl Subscription {
    /// Gives an encoded frame to this member alone. Never waits.
    pub fn tell(&self, part: Part, frame: Bytes) {
        if self.subscriber.put(part, frame) == Put::New {
            self.subscriber.wake();
        }
    }

    /// Stops the messages, but not the notices; or goes on, with the newest message or the group so far.
    pub fn pause(&self, paused: bool) {
        let state = self.room.state.lock();
        let goes_on = self.subscriber.pause(paused) && !paused;
        let mut woken = false;
        if goes_on {
            if let Some(frame) = state.newest.content() {
                woken = self.subscriber.put(Part::Content, frame) == Put::New;
            }
            woken |= state.give_group(&self.subscriber);
        }
        drop(state);
        if woken {
            self.subscriber.wake();
        }
    }

    /// Messages sent, and messages replaced or dropped before they could be.
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
