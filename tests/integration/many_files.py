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


def copies(d, first, n):
    """A copy of its own for each process: another inode, the same contents as each eighth one's."""
    paths = [os.path.join(d, "copies", f"kind{i % KINDS}-{i}") for i in range(first, first + n)]
    for i, path in enumerate(paths, first):
        shutil.copy(os.path.join(d, f"kind{i % KINDS}"), path)
    return paths


def record(e, d, first, n):
    """(samples of the copies, those that are named, those under another's name, distinct copies). Each is new and lives 3 ms,
    so its first sample has no rows yet: completeness is not asked here. A process that is being taken down has no memory any more,
    so nobody can tell its executable: such samples do not count."""
    path = os.path.join(d, f"{first}.pb.gz")
    paths = copies(d, first, n)
    recording = subprocess.Popen([check.EMBERCTL, "record", "--source", e.socket, "-F", "997", "-d", "600", "-o", path],
                                 stderr=subprocess.DEVNULL)
    time.sleep(1)
    subprocess.run(["sh", "-ec", 'while read -r path; do "$path"; done'], input="\n".join(paths) + "\n", text=True, check=True)
    recording.send_signal(2)
    recording.wait(60)
    total = named = wrong = 0
    seen = set()
    for s in Profile(path).samples:
        functions = {f.name for f in s.stack if f.name.startswith("kind_")}
        name = os.path.basename(str(s.labels.get("exe", "")))
        if not str(s.labels.get("comm", "")).startswith("kind") or any(f.name == "do_exit" for f in s.stack):
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
    # Where this takes more than two minutes, idle ones are on their way out again.
    check.that(code["files"] + code["files_recycled"] >= 0.98 * code["files_room"],
               f"the table was full: {code['files']} of {code['files_room']}, {code['files_recycled']} recycled")
    check.that(named < total, f"{named} of {total} samples named: the rest did not fit")
    room = lambda: e.status()["code"]["files_room"] - e.status()["code"]["files"]
    check.that(e.wait(lambda: room() >= 400, 400), f"{e.status()['code']['files_recycled']} idle ones made room for {room()}")
    total, named, wrong, seen = record(e, d, 5300, 300)
    check.that(total >= 300 and named >= 0.95 * total, f"{named} of {total} samples of 300 new executables named")
    check.that(wrong == 0, f"{wrong} under another's name")
    status = e.status()
    check.that(status["memory"]["emberd_rss_bytes"] < 24 << 20, f"{status['memory']['emberd_rss_bytes'] >> 20} MB of RSS")
    print({k: v for k, v in counters(e).items() if "file" in k})
    check.that(e.stop() == 0, "and ends well")
check.finish()
