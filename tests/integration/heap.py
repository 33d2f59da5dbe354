#!/usr/bin/env python3
"""The heap of a running program whose allocations are known: totals and shares by stack, within the error that the profile
states; the program comes to no harm, and no breakpoint is left in it."""
import os
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(__file__))
import check
from pprof import Profile

check.need_root()
PLACES = ["small_strings", "medium_buffers", "big_blocks", "leaky_records"]


def truth_of(text):
    return {w[0]: list(map(int, w[1:])) for w in map(str.split, text.splitlines()) if len(w) == 4}


def record(directory, *arguments):
    path = os.path.join(directory, "heap.pb.gz")
    done = check.run(check.EMBERCTL, "record", "-e", "heap", "-o", path, "--", check.workload("heap_known"), *arguments)
    print(done.stderr.strip())
    return Profile(path), truth_of(done.stdout)


def compare(what, p, truth, share_points):
    total, estimate = sum(t[1] for t in truth.values()), p.total(1)
    stated = p.ledger()["heap.error_permille_max"] / 1000
    # Two standard errors hold in 95 of 100 runs; three are a safe bet.
    check.near(estimate / total, 1, max(3 * stated, 0.10), f"{what}: allocated bytes by truth, error stated {stated:.3f}")
    cum = p.cum(1)
    known = sum(cum[name] for name in PLACES)
    for name in PLACES:
        check.near(100 * cum[name] / known, 100 * truth[name][1] / total, share_points, f"{what}: percent of bytes in {name}")
    check.that(p.sample_types == [("alloc_objects", "count"), ("alloc_space", "bytes"), ("inuse_objects", "count"),
                                  ("inuse_space", "bytes")], f"{what}: sample types")


def breakpoints(pid):
    """Bytes 0xcc at the beginning of malloc and free as the process has them in memory."""
    found = 0
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            fields = line.split()
            if fields[1].startswith("r-x") and fields[-1].endswith("libc.so.6"):
                start, end = (int(x, 16) for x in fields[0].split("-"))
                with open(fields[-1], "rb") as libc:
                    libc.seek(int(fields[2], 16))
                    original = libc.read(end - start)
                memory.seek(start)
                found += sum(a != b for a, b in zip(memory.read(end - start), original))
    return found


with check.scratch() as d:
    p, truth = record(d, 6, 1000, 2)
    compare("1,000 a second", p, truth, 6)
    p, truth = record(d, 16, 0, 2)
    compare("as fast as it can", p, truth, 12)  # a few dozen of the big ones are seen
    check.that(p.ledger()["heap.duty_stretches"] > 0, "a fast allocator was probed in stretches")

    # Killed while probes are in: the program runs on, nothing is left in its code.
    target = subprocess.Popen([check.workload("heap_known"), "20", "1000", "2"], stdout=subprocess.PIPE, text=True)
    time.sleep(0.5)
    path = os.path.join(d, "killed.pb.gz")
    recorder = subprocess.Popen([check.EMBERCTL, "record", "-e", "heap", "-p", str(target.pid), "-d", "15", "-o", path],
                                stderr=subprocess.DEVNULL)
    most = 0
    for _ in range(60):
        most = max(most, breakpoints(target.pid))
        if most:
            break
        time.sleep(0.1)
    check.that(most > 0, f"{most} breakpoints while recording")
    daemons = subprocess.run(["pgrep", "-P", str(recorder.pid)], stdout=subprocess.PIPE, text=True).stdout.split()
    check.that(len(daemons) >= 1, "the private emberd is a child of emberctl")
    for pid in daemons:
        os.kill(int(pid), signal.SIGKILL)
    recorder.wait(timeout=30)
    left = 1
    for _ in range(50):
        left = breakpoints(target.pid)
        if not left:
            break
        time.sleep(0.1)
    check.that(left == 0, f"{left} breakpoints after kill -9 of emberd")
    check.that(target.poll() is None, "the target runs on")
    target.terminate()
    target.wait()
check.finish()
