//! Where Linux keeps the threads that wait.
//!
//! Since 6.17 a process has a hash table of its own for them, of sixteen slots and a few more for each processor. With a
//! thread for each of ten thousand views that wait, every wake looks through hundreds of threads for the one that is meant:
//! a third of what opening the sockets costs.

#![allow(unsafe_code, reason = "prctl belongs to C")]

use libc::{c_int, c_ulong, prctl};

const PR_FUTEX_HASH: c_int = 78;
const SET_SLOTS: c_ulong = 1;
const GET_SLOTS: c_ulong = 2;

/// Threads that wait in one slot, with as many as there may be. A slot takes 64 bytes.
const THREADS_IN_A_SLOT: usize = 4;
const MOST_SLOTS: usize = 1 << 16;

/// Makes the process's table large enough for so many waiting threads; never smaller. Does nothing where the system has one
/// table for all processes, or the process has chosen that one.
pub fn make_room(threads: usize) {
    let wanted = (threads / THREADS_IN_A_SLOT).min(MOST_SLOTS).next_power_of_two();
    // SAFETY: both calls take and give numbers alone (PR_FUTEX_HASH(2const)). The first is refused by older systems, the
    // second where there is no memory or the table is not to be changed: threads wait as they did before, only slower.
    let _refused = unsafe {
        match usize::try_from(prctl(PR_FUTEX_HASH, GET_SLOTS)) {
            Ok(slots) if slots < wanted => prctl(PR_FUTEX_HASH, SET_SLOTS, wanted, 0_usize),
            _ => 0,
        }
    };
}
