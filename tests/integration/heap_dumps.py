#!/usr/bin/env python3
"""Dumps that jemalloc and gperftools write of a real program are input: scaled to what the program is known to hold, equal to
what jeprof and go tool pprof make of them, and named where symbols stand in front."""
import glob
import os
import pathlib
import re
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import check
import pprof

for tool in ("go", "gcc", "jeprof"):
    check.need_tool(tool)
TOOL = check.BUILD / "bench/profile-merge"

PROGRAM = r"""
#include <stdlib.h>
#include <string.h>
static void *kept[500000];
static int n;
#define KEEP(name, count, size) __attribute__((noinline)) void name(void) \
    { for (int i = 0; i < count; i++) { kept[n++] = memset(malloc(size), 1, size); } }
KEEP(keep_small, 400000, 112)
KEEP(keep_middle, 4000, 8192)
KEEP(keep_large, 150, 327680)
__attribute__((noinline)) void give_back(void)
{
    for (int i = 0; i < 20000; i++) {
        void *p = memset(malloc(5120), 1, 5120);
        __asm__ volatile("" ::"r"(p) : "memory");
        free(p);
    }
}
int main(void) { keep_small(); keep_middle(); keep_large(); give_back(); return 0; }
"""
KEPT = {"keep_small": (400000, 112), "keep_middle": (4000, 8192), "keep_large": (150, 327680)}


def read(dump, out):
    check.run(TOOL, "merge", "-o", out, dump)
    return pprof.Profile(out)


def by_function(path, index):
    """flat values in bytes as go tool pprof names them from the binary."""
    top = check.run("go", "tool", "pprof", "-top", "-nodecount=1000", "-unit=B", f"-sample_index={index}", path).stdout
    return {m[2]: float(m[1]) for m in re.finditer(r"^\s*([\d.]+)B?\s.*%\s+\S+\s+[\d.]+%\s+(.*)$", top, re.M)}


def jemalloc(scratch, binary, accumulate):
    env = {**os.environ, "LD_PRELOAD": check.library("libjemalloc.so.2"),
           "MALLOC_CONF": f"prof:true,lg_prof_sample:15,prof_final:true,prof_accum:{accumulate},prof_prefix:{scratch}/je"}
    check.run(binary, env=env)
    (dump,) = glob.glob(f"{scratch}/je.*.heap")
    what = f"jemalloc, prof_accum:{accumulate}"
    profile = read(dump, f"{scratch}/je.pb.gz")
    types = [t for t, _ in profile.sample_types]
    check.that(types[-2:] == ["inuse_objects", "inuse_space"] and (len(types) == 4) == (accumulate == "true"),
               f"{what}: sample types {types}")
    flat = by_function(f"{scratch}/je.pb.gz", "inuse_space")
    for name, (count, size) in KEPT.items():
        check.near(flat.get(name, 0) / (count * size), 1, 0.12, f"{what}: bytes of {name}, share of the truth")
    if accumulate == "true":
        allocated = by_function(f"{scratch}/je.pb.gz", "alloc_space")
        check.near(allocated.get("give_back", 0) / (20000 * 5120), 1, 0.12, f"{what}: bytes given back")
        check.that("give_back" not in flat or flat["give_back"] == 0, f"{what}: nothing of them is in use")
    text = check.run("jeprof", "--text", "--inuse_space", binary, dump).stdout
    total = float(re.search(r"Total: ([\d.]+) MB", text)[1])
    check.near(profile.total(len(types) - 1) / 1048576, total, 0.06, f"{what}: MB in all, as jeprof has them")
    raw = check.run("jeprof", "--raw", binary, dump, fail_ok=True).stdout  # prints them, then misses a server
    pathlib.Path(f"{scratch}/je.symbols").write_text(raw + pathlib.Path(dump).read_text())
    named = read(f"{scratch}/je.symbols", f"{scratch}/named.pb.gz").flat(len(types) - 1)
    check.that(all(abs(named[n] - flat[n]) < 1 for n in KEPT), f"{what}: symbols in front name the frames")
    os.unlink(dump)


def gperftools(scratch, binary):
    check.run(binary, env={**os.environ, "LD_PRELOAD": check.library("libtcmalloc.so.4"), "HEAPPROFILE": f"{scratch}/gp"})
    dump = sorted(glob.glob(f"{scratch}/gp.*.heap"))[-1]
    profile = read(dump, f"{scratch}/gp.pb.gz")
    flat = by_function(f"{scratch}/gp.pb.gz", "inuse_space")
    for name, (count, size) in KEPT.items():
        check.that(flat.get(name) == count * size, f"gperftools: bytes of {name} are exact")
    for index in ("inuse_space", "inuse_objects", "alloc_space", "alloc_objects"):
        theirs = check.run("go", "tool", "pprof", "-top", "-unit=B", f"-sample_index={index}", dump).stdout
        ours = check.run("go", "tool", "pprof", "-top", "-unit=B", f"-sample_index={index}", f"{scratch}/gp.pb.gz").stdout
        total = [re.search(r"of ([\d.]+\w*) total", x)[1] for x in (theirs, ours)]
        check.that(total[0] == total[1], f"gperftools: {index} is what go tool pprof reads from the dump: {total}")
    check.that(not any("tcmalloc" in f.mapping for s in profile.samples for f in s.stack[:1]),
               "gperftools: the allocator's own frames are left out")


with check.scratch() as scratch:
    pathlib.Path(f"{scratch}/allocate.c").write_text(PROGRAM)
    check.run("gcc", "-O1", "-g", "-fno-omit-frame-pointer", "-o", f"{scratch}/allocate", f"{scratch}/allocate.c")
    jemalloc(scratch, f"{scratch}/allocate", "false")
    jemalloc(scratch, f"{scratch}/allocate", "true")
    gperftools(scratch, f"{scratch}/allocate")
check.finish()
