//! The side of a mailbox that tasks use.

use std::{
    collections::VecDeque,
    task::{Context, Poll},
};

use super::{Mailbox, Weigh};

impl<T: Weigh> Mailbox<T> {
    /// Takes the oldest item; `Ready(None)`: closed and empty. For a task, which is woken when it is worth another look.
    pub fn poll_take(&self, context: &Context<'_>) -> Poll<Option<T>> {
        self.change(|state, wakes| {
            let item = self.pop(state, wakes);
            if item.is_some() || state.closed {
                return Poll::Ready(item);
            }
            state.watchers.add_task(context.waker());
            Poll::Pending
        })
    }

    /// Moves the oldest items behind `items` until these weigh `max_weight` or there are `max_items` of them, one at
    /// least. `Ready(false)`: closed and empty. For a task, as [`Mailbox::poll_take`].
    pub fn poll_take_many(
        &self,
        context: &Context<'_>,
        items: &mut VecDeque<T>,
        max_items: usize,
        max_weight: usize,
    ) -> Poll<bool> {
        self.change(|state, wakes| {
            let (mut taken, mut weight) = (0, 0);
            while taken == 0 || (taken < max_items && weight < max_weight) {
                let Some(item) = state.pop() else { break };
                taken += 1;
                weight += item.weight();
                items.push_back(item);
            }
            if taken > 0 {
                self.wake_putters(state, wakes);
                return Poll::Ready(true);
            }
            if state.closed {
                return Poll::Ready(false);
            }
            state.watchers.add_task(context.waker());
            Poll::Pending
        })
    }

    /// Whether an item of `weight` could be put; `Ready(false)`: never again, the mailbox is closed. A task that finds no
    /// room is woken when half of the mailbox is free, so that it works in batches and not item by item.
    pub fn poll_room(&self, context: &Context<'_>, weight: usize) -> Poll<bool> {
        self.change(|state, _| {
            if state.closed {
                return Poll::Ready(false);
            }
            if self.fits(state, weight) {
                return Poll::Ready(true);
            }
            state.room_watchers.add_task(context.waker());
            Poll::Pending
        })
    }

    /// Ready once the mailbox is closed, though it may still hold items. For a task.
    pub fn poll_closed(&self, context: &Context<'_>) -> Poll<()> {
        self.change(|state, _| {
            if state.closed {
                return Poll::Ready(());
            }
            state.close_watchers.add_task(context.waker());
            Poll::Pending
        })
    }

    /// Lets those look again who want to know that something can be taken, though nothing may have come.
    pub fn nudge(&self) {
        self.change(|state, wakes| wakes.all_of(&mut state.watchers));
    }
}
