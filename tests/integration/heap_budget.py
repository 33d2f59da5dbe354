#!/usr/bin/env python3
"""Who pays for probing: a program that does not get the CPU that it wants keeps its budget, and what one owes that is gone does not
keep others unprobed."""
import glob
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import check
from emberd import Daemon
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


def is_in(daemon, pid):
    return any(p["pid"] == pid and p["is_in"] for s in daemon.status()["sources"] for p in s["processes"])


def seconds_until_in(daemon, *command):
    target = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    begin = time.monotonic()
    try:
        return time.monotonic() - begin if daemon.wait(lambda: is_in(daemon, target.pid), 60) else 60
    finally:
        target.kill()
        target.wait()


def gone(scratch):
    """Opens and closes a library with an allocator 20,000 times, which costs more than it pays, and ends."""
    source = check.SOURCE / "tests/workloads"
    check.need_tool("gcc")
    check.run("gcc", "-O2", "-pthread", source / "heap_fault.c", "-o", f"{scratch}/heap_fault")
    check.run("gcc", "-O2", source / "heap_late.c", "-o", f"{scratch}/heap_fault_late", "-ldl")
    check.run("gcc", "-O2", "-shared", "-fPIC", source / "heap_own.c", "-o", f"{scratch}/own.so")
    daemon = Daemon(scratch, "[Profile]\nSources=heap\nInterval=60s\n[Target]\nComm=heap_fault*\n")
    steady = (f"{scratch}/heap_fault", "steady", "100")
    try:
        first = seconds_until_in(daemon, *steady)
        check.that(first < 5, f"gone: a program is probed after {first:.1f} s")
        for _ in range(2):
            check.run(f"{scratch}/heap_fault_late", 0, f"{scratch}/own.so", 20000, timeout=60)
        took = seconds_until_in(daemon, *steady)
        check.that(took < 15, f"gone: after one that owes, and has ended, {took:.1f} s")
    finally:
        daemon.stop()


with check.scratch() as directory:
    for case in (starved, gone):
        if not sys.argv[1:] or case.__name__ in sys.argv[1:]:
            case(directory)
check.finish()
