"""When did the machine stand still? A virtual machine whose host has no time for it stops in the middle of whatever runs, and
Linux counts that as CPU time of the thread that ran (where the host reports it: as steal, of all of them together). A program of
the highest priority on each CPU, which only sleeps half a millisecond again and again, misses a wake-up then and says so.
stolen.py CPU: prints "FROM UNTIL" for each, in seconds since the epoch."""
import os
import sys
import time

EVERY, LATE = 0.0005, 0.0007


def watch(cpu):
    os.sched_setaffinity(0, {cpu})
    os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(50))
    last = time.time()
    while True:
        time.sleep(EVERY)
        now = time.time()
        if now - last > EVERY + LATE:
            print(f"{last + EVERY:.6f} {now:.6f}", flush=True)
        last = now


if __name__ == "__main__":
    watch(int(sys.argv[1]))
