#!/usr/bin/env python3
"""emberd's log names a leak while it happens: of a program that leaks 1 MB/s beside a cache of 200 MB that turns over, within
60 s, once, and never the cache."""
import json
import os
import re
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import check
from emberd import Daemon

check.need_root()
check.need_tool("zstd")
SECONDS = 60  # that naming it may take
TRIES = 3  # of the time; what is said must be right in each
CONFIG = "[Profile]\nSources=memory\nInterval=3s\n[Target]\nComm=workload-leak*\n"
LINE = re.compile(r"leak: (\S+) \(PID (\d+)\) holds ([\d.]+) (\w+) more than .* ago, (\S+ \S+) a minute, confidence ([\d.]+)%,"
                  r" allocated in (.*) \((\w+)\)")


def told(daemon):
    return [m.groups() for m in map(LINE.search, daemon.said().splitlines()) if m]


def run(directory):
    """Seconds until it was named."""
    daemon = Daemon(directory, CONFIG)
    time.sleep(5)  # the keeper looks each 20 s: for the second and the third time before the minute is over
    target = subprocess.Popen([check.workload("leak_known"), "600"])
    begin = time.monotonic()
    named = daemon.wait(lambda: any("leak_records" in line[6] for line in told(daemon)), 240)
    seconds = time.monotonic() - begin
    check.that(named, f"leak_records is named in the log after {seconds:.0f} s:\n{daemon.said()}")
    if named:
        lines = told(daemon)
        comm, pid, _, _, _, confidence, _, kind = next(line for line in lines if "leak_records" in line[6])
        check.that(comm.startswith("workload-leak") and int(pid) == target.pid and kind == "memory", f"whose it is: {comm}, {pid}")
        check.that(float(confidence) >= 95, f"confidence {confidence} %")
        stacks = [line[6] for line in lines]
        check.that(len(stacks) == len(set(stacks)), f"each is told once: {stacks}")
        check.that(all("leak_records" in stack for stack in stacks), "nothing else is called a leak")
    target.kill()
    target.wait()
    check.that(daemon.stop() == 0, "emberd ends well")
    return seconds


with check.scratch() as scratch:
    times = []
    while len(times) < TRIES and (not times or times[-1] > SECONDS):
        directory = f"{scratch}/{len(times)}"
        os.mkdir(directory)
        times.append(run(directory))
        print(f"try {len(times)}: named after {times[-1]:.1f} s")
    check.that(min(times) <= SECONDS, f"named within {SECONDS} s")
check.finish()
