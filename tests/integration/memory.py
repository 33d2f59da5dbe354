#!/usr/bin/env python3
"""Resident bytes by stack against a program whose memory is known, and the sum against smaps; a leak of 1 MB/s beside a cache
that turns over is named, the cache is not."""
import json
import os
import re
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(__file__))
import check
from pprof import Profile

check.need_root()
check.need_tool("zstd")
MIB = 1 << 20


def rss(pid):
    with open(f"/proc/{pid}/smaps_rollup") as f:
        return int(re.search(r"^Rss:\s+(\d+) kB", f.read(), re.M).group(1)) * 1024


with check.scratch() as d:
    config = os.path.join(d, "emberd.conf")
    with open(config, "w") as f:
        f.write(f"[Profile]\nSources=memory\nInterval=3s\n[Target]\nComm=workload-memory\n[Store]\nPath={d}/store\n")
    emberd = subprocess.Popen([check.EMBERD, "--config", config, "--runtime-dir", d + "/run"])
    time.sleep(2)
    target = subprocess.Popen([check.workload("memory_known"), "70"])
    time.sleep(50)
    resident = rss(target.pid)
    time.sleep(14)
    emberd.terminate()
    emberd.wait(timeout=60)
    target.terminate()
    target.wait()

    windows = sorted(os.path.join(root, name) for root, _, names in os.walk(d + "/store/memory") for name in names)
    check.that(len(windows) >= 15, f"{len(windows)} windows")
    p = Profile(windows[15])
    cum = p.cum(1)
    tenth = lambda expected: 0.10 * expected
    check.near(cum["hold_mapped"] / MIB, 96, tenth(96), "MiB held by hold_mapped")
    check.near(cum["hold_malloced"] / MIB, 32, tenth(32), "MiB held by hold_malloced")
    check.near(cum["churn_cache"] / MIB, 64, tenth(64), "MiB held by churn_cache")
    check.near(cum["drop_later"] / MIB, 0, 1, "MiB held by drop_later, given back")
    mine = lambda s: s.labels.get("pid") == target.pid
    check.near(p.total(1, mine) / MIB, resident / MIB, tenth(resident / MIB), "MiB resident by smaps")

    found = json.loads(check.run(check.EMBERCTL, "leaks", "--json", "--all", "--threshold", "8M", "--source", d + "/store",
                                 "--from", "-5m").stdout)["suspects"]
    grown = [s for s in found if "grow_table" in s["stack"]]
    leak = grown[0] if grown else {}
    check.that(leak.get("verdict") == "growing", f"grow_table: {leak.get('verdict')}")
    if leak:
        check.near(leak["slope_bytes_per_second"] / MIB, 1, 0.15, "MiB/s of the leak")
    others = [s["stack"] for s in found if s["verdict"] == "growing" and "grow_table" not in s["stack"]]
    check.that(not others, f"nothing else is called a leak: {others}")
check.finish()
