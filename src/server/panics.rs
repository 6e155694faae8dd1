//! Panics, told to the log of the process in place of standard error.

use std::{
    panic::{self, PanicHookInfo},
    process,
    sync::{Arc, Once, Weak},
    time::Duration,
};

use parking_lot::Mutex;

use super::notices::Notices;

/// How long a panic waits for a lock. It may hold that itself, and it may happen in a forked child where a thread holds it
/// that is not there any more.
const PATIENCE: Duration = Duration::from_secs(1);

/// Who tells the log, and in which process.
static TELLERS: Mutex<Vec<(u32, Weak<Notices>)>> = Mutex::new(Vec::new());

/// From now on a panic in this library is noted where somebody tells the log, and written to standard error where nobody
/// does. Whatever it was linked with it has a hook of its own: a Python extension changes nothing for others.
pub fn note_panics() {
    static ONCE: Once = Once::new();
    ONCE.call_once(|| {
        let default = panic::take_hook();
        panic::set_hook(Box::new(move |panic| {
            if !is_told(panic) {
                default(panic);
            }
        }));
    });
}

/// Has the panics of the process told by whoever takes these notices, until they are closed.
pub(super) fn tell(notices: &Arc<Notices>) {
    let mut tellers = TELLERS.lock();
    tellers.retain(|(_, teller)| teller.strong_count() > 0);
    tellers.push((process::id(), Arc::downgrade(notices)));
}

fn is_told(panic: &PanicHookInfo<'_>) -> bool {
    let process = process::id();
    let Some(tellers) = TELLERS.try_lock_for(PATIENCE) else { return false };
    let here = tellers.iter().filter(|(of, _)| *of == process);
    let tellers: Vec<_> = here.filter_map(|(_, teller)| teller.upgrade()).collect();
    tellers.iter().any(|teller| teller.note_panic(&detail(panic), PATIENCE))
}

fn detail(panic: &PanicHookInfo<'_>) -> String {
    let place = panic.location().map(|place| format!("{}:{}: ", place.file(), place.line()));
    let payload = panic.payload();
    let literal = payload.downcast_ref::<&str>().copied();
    let message = literal.or_else(|| payload.downcast_ref::<String>().map(String::as_str));
    format!("{}{}", place.unwrap_or_default(), message.unwrap_or("no message"))
}
