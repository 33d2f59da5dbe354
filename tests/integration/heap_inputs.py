#!/usr/bin/env python3
"""Dumps that jemalloc and gperftools write of a real program are INPUT of every command that takes one: the numbers of each
command are those of the dump, and a series of dumps shows the leak."""
import test_venv  # noqa: F401  (enters BUILD/venv)

import glob
import json
import os
import pathlib
import re
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import check
import pprof
from receivers import Http, unpack

check.need_tool("gcc")
MIB = 1 << 20
STEPS = 64  # MiB that leak_step() takes, one at a time
PROGRAM = r"""
#include <stdlib.h>
#include <string.h>
#include <time.h>
static void *cache[256];
static void *volatile leaked;
__attribute__((noinline)) void leak_step(void)
{
    for (int i = 0; i < 32; i++)
        leaked = memset(malloc(32768), 1, 32768);
}
__attribute__((noinline)) void turn_over(int step)
{
    for (int i = step % 4; i < 256; i += 4) {
        free(cache[i]);
        cache[i] = memset(malloc(16384), 1, 16384);
    }
}
int main(void)
{
    for (int step = 0; step < 4; step++)
        turn_over(step);
    for (int step = 0; step < 64; step++) {
        turn_over(step);
        leak_step();
        nanosleep(&(struct timespec){ .tv_nsec = 20000000 }, NULL); /* files get times of their own */
    }
    return 0;
}
"""


# A dump for each 4 MiB that were allocated.
ALLOCATORS = {
    "jemalloc": ("libjemalloc.so.2", "je.*.i*.heap",
                 {"MALLOC_CONF": "prof:true,lg_prof_sample:14,lg_prof_interval:22,prof_prefix:DIR/je"}),
    "gperftools": ("libtcmalloc.so.4", "gp.*.heap",
                   {"HEAPPROFILE": "DIR/gp", "HEAP_PROFILE_ALLOCATION_INTERVAL": str(4 * MIB)}),
}


class Dumps:
    """The dumps of one allocator, and the two that are compared: one of the first and the last."""

    def __init__(self, scratch, name):
        so, pattern, env = ALLOCATORS[name]
        self.name, self.dir = name, f"{scratch}/{name}"
        os.mkdir(self.dir)
        env = {key: value.replace("DIR", self.dir) for key, value in env.items()}
        # Not moved about, so that dumps can be merged by address.
        check.run(f"{scratch}/allocate", env={**os.environ, "LD_PRELOAD": check.library(so), **env})
        number = lambda path: int(re.findall(r"\d+", os.path.basename(path))[-1])
        self.files = sorted(glob.glob(f"{self.dir}/{pattern}"), key=number)
        self.old, self.new = self.files[2], self.files[-1]
        self.bytes = {path: self.read(path).total(-1) for path in (self.old, self.new)}

    def out(self, name):
        return f"{self.dir}/{name}"

    def read(self, path):
        check.run(check.EMBERCTL, "convert", "-o", self.out("read.pb.gz"), path)
        return pprof.Profile(self.out("read.pb.gz"))

    def ctl(self, *args):
        return check.run(check.EMBERCTL, *args).stdout


def top(d):
    told = json.loads(d.ctl("top", "--json", d.new))
    return told["unit"] == "bytes" and told["total"] == d.bytes[d.new] == sum(row["flat"] for row in told["rows"])


def hotspots(d):
    return len(json.loads(d.ctl("hotspots", "--json", d.new))["hotspots"]) > 0


def flamegraph(d):
    d.ctl("flamegraph", "-o", d.out("f.svg"), d.new)
    d.ctl("flamegraph", "-o", d.out("f.html"), d.new)
    return "<svg" in pathlib.Path(d.out("f.svg")).read_text() and "inuse_space" in pathlib.Path(d.out("f.html")).read_text()


def diff(d):
    rows = json.loads(d.ctl("diff", "--json", d.old, d.new))["rows"]
    d.ctl("diff", "-o", d.out("d.svg"), d.old, d.new)
    grown = sum(row["flat"]["after"] - row["flat"]["before"] for row in rows)
    return grown == d.bytes[d.new] - d.bytes[d.old] and "<svg" in pathlib.Path(d.out("d.svg")).read_text()


def merge(d):
    d.ctl("merge", "-o", d.out("m.pb.gz"), d.old, d.new)
    return pprof.Profile(d.out("m.pb.gz")).total(-1) == d.bytes[d.old] + d.bytes[d.new]


def convert(d):
    totals = []
    for name in ("c.pb.zst", "c.pb", "c.otlp", "c.folded"):
        d.ctl("convert", "-o", d.out(name), d.new)
        totals.append(d.read(d.out(name)).total(-1))
    return totals == [d.bytes[d.new]] * 4


def leaks(d):
    suspects = json.loads(d.ctl("leaks", "--json", "--all", *d.files))["suspects"]
    growing = [s for s in suspects if s["verdict"] == "growing"]
    return len(growing) == 1 and growing[0]["growth_bytes"] > 0.7 * STEPS * MIB


def memory(d):
    allocated = json.loads(d.ctl("memory", "-p", os.getpid(), "--json", d.new))["allocated"]
    text = d.ctl("memory", "-p", os.getpid(), d.new)
    return allocated["is_dump"] and allocated["inuse_bytes"] == d.bytes[d.new] and "by the allocator's own profiler" in text


def upload(d):
    receiver = Http()
    d.ctl("upload", "--to", receiver.url, d.new)
    receiver.close()
    return len(receiver.requests) > 0 and all(path == "/v1development/profiles" for path, _, _ in receiver.requests) and \
        any(b"inuse_space" in unpack(headers, body) for _, headers, body in receiver.requests)


def stdin(d):
    with open(d.new) as f:
        done = subprocess.run([check.EMBERCTL, "top", "--json", "-"], stdin=f, stdout=subprocess.PIPE, text=True, check=True)
    return json.loads(done.stdout)["total"] == d.bytes[d.new]


COMMANDS = {
    "top": top,
    "top, from standard input": stdin,
    "hotspots": hotspots,
    "flamegraph": flamegraph,
    "diff": diff,
    "merge": merge,
    "convert": convert,
    "leaks": leaks,
    "memory": memory,
    "upload": upload,
}

with check.scratch() as scratch:
    pathlib.Path(f"{scratch}/allocate.c").write_text(PROGRAM)
    check.run("gcc", "-O1", "-g", "-fno-omit-frame-pointer", "-no-pie", "-o", f"{scratch}/allocate", f"{scratch}/allocate.c")
    for name in ALLOCATORS:
        d = Dumps(scratch, name)
        check.near(d.bytes[d.new] / MIB, STEPS + 4, 0.15 * STEPS, f"{name}: {len(d.files)} dumps, the last one's MiB in use")
        for command, test in COMMANDS.items():
            try:
                check.that(test(d), f"{name}: {command}")
            except (KeyError, IndexError) as e:
                check.that(False, f"{name}: {command} answers without {e}")
check.finish()
