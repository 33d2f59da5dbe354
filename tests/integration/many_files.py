#!/usr/bin/env python3
"""More executables than the table of files has room for: what did not fit is counted, indices that become free after two idle
minutes are used again, and no sample ever carries another file's name."""
import os
import shutil
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(__file__))
import check
from emberd import Daemon
from pprof import Profile

check.need_root()
check.need_tool("gcc")
KINDS = 8
SOURCE = """#include <stdint.h>
#include <time.h>
static uint64_t now(void) { struct timespec t; clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &t); return t.tv_sec * 1000000000ull + t.tv_nsec; }
__attribute__((noinline, noclone)) uint64_t NAME(uint64_t x)
{ for (int i = 0; i < 20000; i++) x = x * 6364136223846793005u + 1; __asm__ volatile("" : "+r"(x)); return x; }
int main(int argc, char **argv) { uint64_t x = argc; while (now() < 3000000) x = NAME(x); return (int)(x & 0) + (argv == 0); }
"""


def build(d):
    for k in range(KINDS):
        subprocess.run(["gcc", "-x", "c", f"-DNAME=kind_{k}", "-O2", "-g", "-fomit-frame-pointer", "-o", os.path.join(d, f"kind{k}"),
                        "-"], input=SOURCE, text=True, check=True)


def run_copies(d, first, n):
    """A copy of its own for each process: another inode, the same contents as each eighth one's."""
    for i in range(first, first + n):
        path = os.path.join(d, "copies", f"kind{i % KINDS}-{i}")
        shutil.copy(os.path.join(d, f"kind{i % KINDS}"), path)
        subprocess.run([path], check=True)


def record(e, d, first, n):
    """(samples of the copies, those that are named, those under another's name, distinct copies). Each is new and lives 3 ms,
    so its first sample has no rows yet: completeness is not asked here."""
    path = os.path.join(d, f"{first}.pb.gz")
    recording = subprocess.Popen([check.EMBERCTL, "record", "--source", e.socket, "-F", "997", "-d", "600", "-o", path],
                                 stderr=subprocess.DEVNULL)
    time.sleep(1)
    run_copies(d, first, n)
    recording.send_signal(2)
    recording.wait(60)
    total = named = wrong = 0
    seen = set()
    for s in Profile(path).samples:
        functions = {f.name for f in s.stack if f.name.startswith("kind_")}
        name = os.path.basename(str(s.labels.get("exe", "")))
        if not str(s.labels.get("comm", "")).startswith("kind"):
            continue
        total += s.values[0]
        if name.startswith("kind"):
            wrong += s.values[0] if functions - {f"kind_{name[4]}"} else 0
            wrong += s.values[0] if not name.startswith(str(s.labels["comm"])) else 0
            seen.add(name)
        named += s.values[0] if name.startswith("kind") else 0
    return total, named, wrong, seen


def counters(e):
    source = next(x for x in e.status()["sources"] if x["name"] == "cpu")
    return source["counters"]


with check.scratch() as d:
    build(d)
    os.mkdir(os.path.join(d, "copies"))
    e = Daemon(d, "[Profile]\nSources=cpu\nInterval=10s\n")
    total, named, wrong, seen = record(e, d, 0, 300)
    check.that(total >= 300 and named >= 0.95 * total, f"{named} of {total} samples of 300 executables named")
    check.that(wrong == 0, f"{wrong} under another's name")
    total, named, wrong, seen = record(e, d, 300, 5000)
    code = e.status()["code"]
    check.that(wrong == 0, f"{len(seen)} executables more, {wrong} of {total} samples under another's name")
    check.that(code["files"] >= 0.98 * code["files_room"], f"the table is full: {code['files']} of {code['files_room']}")
    check.that(named < total, f"{named} of {total} samples named: the rest did not fit")
    time.sleep(135)
    recycled = e.status()["code"]["files_recycled"]
    check.that(recycled > 0, f"{recycled} idle ones made room")
    total, named, wrong, seen = record(e, d, 5300, 300)
    check.that(total >= 300 and named >= 0.95 * total, f"{named} of {total} samples of 300 new executables named")
    check.that(wrong == 0, f"{wrong} under another's name")
    status = e.status()
    check.that(status["memory"]["emberd_rss_bytes"] < 24 << 20, f"{status['memory']['emberd_rss_bytes'] >> 20} MB of RSS")
    print({k: v for k, v in counters(e).items() if "file" in k})
    check.that(e.stop() == 0, "and ends well")
check.finish()
