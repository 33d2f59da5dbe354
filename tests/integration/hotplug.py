#!/usr/bin/env python3
"""A CPU that goes and comes back: emberd samples on, and samples that CPU again once it is there."""
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(__file__))
import check
from emberd import Daemon

check.need_root()
ONLINE = "/sys/devices/system/cpu/cpu1/online"
if not os.access(ONLINE, os.W_OK) or open(ONLINE).read().strip() != "1":
    print("skipped: this machine has no second CPU that can be taken offline")
    sys.exit(77)


def switch(value):
    with open(ONLINE, "w") as f:
        f.write(value)


def rate(e):
    """Timer hits a second, idle ones included: 100 for each CPU that is sampled."""
    def hits():
        asked = time.monotonic()
        counters = next(x for x in e.status()["sources"] if x["name"] == "cpu")["counters"]
        return counters["samples"] + counters["idle"], (asked + time.monotonic()) / 2
    before, start = hits()
    time.sleep(4)
    after, end = hits()
    return (after - before) / (end - start)


def rate_is(e, expected, text):
    """Up to three times: a busy machine answers late, and emberd needs a moment to see a CPU come."""
    for turn in range(3):
        time.sleep(1)
        measured = rate(e)
        if abs(measured - expected) <= 12 * cpus:
            break
        print(f"        {measured:.0f} hits a second in turn {turn + 1}, expected {expected}")
    check.near(measured, expected, 12 * cpus, text)


def keep_busy(cpus):
    """A loop on each: an idle CPU's clock may rest."""
    return [subprocess.Popen(["taskset", "-c", str(cpu), "sh", "-c", "while :; do :; done"]) for cpu in cpus]


loops = keep_busy(os.sched_getaffinity(0))
with check.scratch() as d:
    e = Daemon(d, "[Profile]\nSources=cpu\n")
    cpus = len(os.sched_getaffinity(0))
    rate_is(e, 100 * cpus, f"hits a second with {cpus} CPUs")
    try:
        switch("0")
        rate_is(e, 100 * (cpus - 1), "with one less")
    finally:
        switch("1")
    loops += keep_busy(os.sched_getaffinity(0))
    rate_is(e, 100 * cpus, "and with it back")
    check.that(e.stop() == 0, "and ends well")
for loop in loops:
    loop.kill()
    loop.wait()
check.finish()
