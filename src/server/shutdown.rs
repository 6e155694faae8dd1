//! How the connections of a server come to their end.

use std::time::Duration;

use tokio::{
    sync::watch,
    time::{self, MissedTickBehavior},
};

use super::link::Link;
use crate::connection::WeakConnection;

/// WebSockets that are closed at the same time are closed together, so that ten thousand need no ten thousand timers.
const SLICE: Duration = Duration::from_millis(20);

/// How far the end of the HTTP connections has come. Each stage follows the one before it, or is left out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Stage {
    /// They are kept alive.
    Open,
    /// Each ends with its next response; one that stays idle for so long ends then.
    Last(Duration),
    /// Those that are idle end at once, the others after the response they are at.
    Now,
}

/// Waits until the connection is to end: at once if it is idle, else after the response it is at. Meanwhile `link` learns
/// whether the next response is the last one.
pub(super) async fn asked_to_end(mut stage: watch::Receiver<Stage>, link: &Link) {
    let reached = stage.wait_for(|stage| *stage != Stage::Open).await.map_or(Stage::Now, |stage| *stage);
    let Stage::Last(linger) = reached else { return };
    link.end_after_response();
    // Both an answer and the lack of one mean that the time is over.
    let _over = time::timeout(linger, stage.wait_for(|stage| *stage == Stage::Now)).await;
}

/// Closes WebSockets one after the other, spread evenly over a time, so that their clients do not come back all at once;
/// the first at once. Those that have closed by themselves meanwhile are passed over, but keep their turn.
///
/// Needs a tokio runtime with a clock.
pub async fn close_in_turn(connections: Vec<WeakConnection>, code: u16, reason: &str, spread: Duration) {
    let slices = usize::try_from(spread.as_millis() / SLICE.as_millis()).unwrap_or(usize::MAX).max(1);
    let size = connections.len().div_ceil(slices).max(1);
    let count = connections.len().div_ceil(size).max(1);
    let pause = spread / u32::try_from(count).unwrap_or(u32::MAX);
    // An interval of zero is none.
    let mut turns = time::interval(pause.max(Duration::from_nanos(1)));
    turns.set_missed_tick_behavior(MissedTickBehavior::Burst);
    for slice in connections.chunks(size) {
        turns.tick().await;
        for connection in slice.iter().filter_map(WeakConnection::upgrade) {
            connection.close(code, reason);
        }
    }
}
