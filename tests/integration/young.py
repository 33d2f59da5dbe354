#!/usr/bin/env python3
"""Processes that live 2 ms, 200 a second: at least 90 % of their samples named by executable and complete to their root once
the executable has been seen; a process started just after the profiler: at least 95 %."""
import math
import os
import sys

sys.path.insert(0, os.path.dirname(__file__))
import check
from pprof import Profile, truncated

check.need_root()

with check.scratch() as d:
    path = os.path.join(d, "young.pb.gz")
    done = check.run(check.EMBERCTL, "record", "-F", 199, "-o", path, "--", check.workload("shortlived"), 8, 200, 2)
    print(done.stderr.strip())
    p = Profile(path)
    # comm is "workload-shortl" for the children too: posix_spawn runs the same file
    brief = [s for s in p.samples if str(s.labels.get("exe", "")).endswith("workload-shortlived")
             and any(f.name == "brief_life" for f in s.stack)]
    unnamed = [s for s in p.samples if not s.labels.get("exe")]
    total = sum(s.values[0] for s in brief)
    good = sum(s.values[0] for s in brief if not truncated(s) and any(f.name == "main" for f in s.stack))
    nameless = sum(s.values[0] for s in unnamed)
    expected = int(done.stdout) * 0.002 * 199  # fewer processes on a machine that is busy
    check.that(total >= 0.6 * expected, f"{total} samples in brief_life, {expected:.0f} expected")
    check.that(good >= 0.95 * total, f"{good} of {total} are complete to main")
    check.that(nameless <= 0.10 * total, f"{nameless} samples without an executable beside {total}")

    # 200 processes a second and 100 samples a second keep step; the samples must not: each process runs for 2 ms.
    done = check.run(check.EMBERCTL, "record", "-F", 100, "-o", path, "--", check.workload("shortlived"), 12, 200, 2)
    seen = sum(s.values[1] for s in Profile(path).samples if any(f.name == "brief_life" for f in s.stack)) / 1e9
    spent = int(done.stdout) * 0.002
    # Six standard errors, and a twentieth for what a life takes beyond its 2 ms. In step, all or nothing would be seen.
    check.near(seen, spent, spent / 20 + 6 * math.sqrt(spent / 100), "seconds of CPU time in step with the sampling")
check.finish()
