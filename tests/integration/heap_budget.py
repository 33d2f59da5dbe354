#!/usr/bin/env python3
"""What probing costs a program that does not get the CPU that it wants: no more than its budget."""
import glob
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import check
from pprof import Profile

check.need_root()
BUDGET = 0.05  # of a recording


def used(pid):
    """Seconds of CPU time, and of waiting for it."""
    threads = [list(map(int, open(path).read().split())) for path in glob.glob(f"/proc/{pid}/task/*/schedstat")]
    return [sum(t[i] for t in threads) / 1e9 for i in (0, 1)]


def starved(scratch):
    """Allocates as fast as it can, beside programs that leave it a small part of a CPU. It does not sleep: what sleepers may
    borrow would be several times its budget."""
    hogs = [subprocess.Popen(["sh", "-c", "while :; do :; done"]) for _ in range(8 * os.cpu_count())]
    target = subprocess.Popen([check.workload("heap_known"), "100", "0", "1"], stdout=subprocess.DEVNULL)
    try:
        time.sleep(2)
        before = used(target.pid)
        check.run(check.EMBERCTL, "record", "-e", "heap", "-o", f"{scratch}/starved.pb.gz", "-p", target.pid, "-d", 12, timeout=120)
        cpu, waited = [b - a for a, b in zip(before, used(target.pid))]
    finally:
        for process in hogs + [target]:
            process.kill()
            process.wait()
    profile = Profile(f"{scratch}/starved.pb.gz")
    cost = profile.ledger()["heap.probe_cost_ns"] / 1e9
    slow = cost / (cpu - cost)
    check.that(waited > 3 * cpu, f"starved: it ran for {cpu:.2f} s and waited for {waited:.2f}")
    check.that(slow < 1.5 * BUDGET, f"starved: probing took {100 * slow:.1f} % of its time, {100 * BUDGET:.0f} are its budget")
    check.that(profile.samples and profile.ledger()["heap.duty_stretches"] > 1, "starved: it is seen nevertheless")


with check.scratch() as directory:
    for case in (starved,):
        if not sys.argv[1:] or case.__name__ in sys.argv[1:]:
            case(directory)
check.finish()
