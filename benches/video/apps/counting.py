"""A view whose thread counts in pure Python, and notes how long the interpreter lock was not its own."""

import resource
import time

from django.http import JsonResponse

STEP = range(200)
"""Counted from one look at the clock to the next: some microseconds."""
GAP_NANOSECONDS = 30_000
"""A step that takes longer was interrupted."""


def count(request):
    """Counts for so many seconds.

    A thread that only counts gives the processor back for one reason alone: to wait for the lock. So an
    interruption in which it did (a voluntary context switch) is a wait for the lock, and one in which it
    did not is the system's, which ran another thread there.
    """
    seconds = float(request.GET["seconds"])
    switches = resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw
    turns = waits = waited = longest = preempted = 0
    began = last = time.perf_counter_ns()
    end = began + int(seconds * 1e9)
    while last < end:
        for _ in STEP:
            pass
        turns += 1
        now = time.perf_counter_ns()
        gap = now - last
        if gap > GAP_NANOSECONDS:
            before, switches = switches, resource.getrusage(resource.RUSAGE_THREAD).ru_nvcsw
            if switches != before:
                waits += 1
                waited += gap
                longest = max(longest, gap)
            else:
                preempted += gap
            now = time.perf_counter_ns()
        last = now
    elapsed = last - began
    return JsonResponse(
        {
            "rate": turns * len(STEP) * 1e9 / elapsed,
            "waited_percent": 100 * waited / elapsed,
            "preempted_percent": 100 * preempted / elapsed,
            "waits": waits,
            "longest_wait_ms": longest / 1e6,
            "mean_wait_ms": waited / 1e6 / waits if waits else 0.0,
        }
    )
