//! The stacks of threads that wait.

use std::{fs, hint::black_box, thread, time::Duration};

use bytes::Bytes;
use dwebsocket::connection::mailbox::{Mailbox, TakeError};

const STACK_BYTES: usize = 4 << 20;
const DEEP: usize = 1000;

/// Uses about a KiB of stack for each level, and depends on all of it.
#[inline(never)]
fn dive(levels: usize) -> usize {
    let kept = black_box([levels; 128]);
    let below = if levels == 0 { 0 } else { dive(levels - 1) };
    below + kept.iter().sum::<usize>() / 128
}

/// KiB of memory that the calling thread's stack takes.
fn stack_kib() -> usize {
    let local = 0_u8;
    let here = (&raw const local).addr();
    let maps = fs::read_to_string("/proc/self/smaps").unwrap();
    let is_here = |line: &str| {
        let range = line.split(' ').next().and_then(|range| range.split_once('-'));
        let number = |text| usize::from_str_radix(text, 16).ok();
        range.and_then(|(low, high)| Some(number(low)? <= here && here < number(high)?)).unwrap_or(false)
    };
    let own = maps.lines().skip_while(|line| !is_here(line));
    let rss = own.into_iter().find_map(|line| line.strip_prefix("Rss:")).unwrap();
    rss.trim().trim_end_matches(" kB").parse().unwrap()
}

#[test]
fn thread_that_waits_gives_back_the_stack_below_it() {
    let work = || {
        assert_eq!(dive(DEEP), DEEP * (DEEP + 1) / 2);
        assert!(stack_kib() > DEEP);
        let mailbox = Mailbox::<Bytes>::new(1, 1);
        assert_eq!(mailbox.take(Some(Duration::from_millis(1))), Err(TakeError::TimedOut));
        assert!(stack_kib() < DEEP / 4, "{} KiB", stack_kib());
        // It can be used again.
        assert_eq!(dive(DEEP), DEEP * (DEEP + 1) / 2);
    };
    thread::Builder::new().stack_size(STACK_BYTES).spawn(work).unwrap().join().unwrap();
}

#[test]
fn frames_above_a_wait_stay_as_they_are() {
    fn wait_at(levels: usize) -> usize {
        let kept = black_box([levels; 128]);
        let below = if levels == 0 {
            let mailbox = Mailbox::<Bytes>::new(1, 1);
            assert_eq!(mailbox.take(Some(Duration::from_millis(1))), Err(TakeError::TimedOut));
            0
        } else {
            wait_at(levels - 1)
        };
        below + kept.iter().sum::<usize>() / 128
    }
    let threads: Vec<_> = (0..32)
        .map(|depth| {
            let work = move || {
                dive(DEEP);
                assert_eq!(wait_at(depth), depth * (depth + 1) / 2);
            };
            thread::Builder::new().stack_size(STACK_BYTES).spawn(work).unwrap()
        })
        .collect();
    for thread in threads {
        thread.join().unwrap();
    }
}
