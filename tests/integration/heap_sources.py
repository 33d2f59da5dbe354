#!/usr/bin/env python3
"""How each process is asked: an allocator that tells its samples by USDT is asked nothing else; one that is opened late is found;
places that must be single-stepped are probed only where it was asked for; status tells all of it."""
import json
import os
import shutil
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import check
from pprof import Profile

check.need_root()
check.need_tool("gcc")
SOURCE = check.SOURCE / "tests/workloads"
FLAGS = ["-O2", "-g", "-fomit-frame-pointer", "-fno-optimize-sibling-calls"]
# An allocator of its own whose malloc begins with what the kernel must single-step, with no emulated place to slide to.
STEPPED = """
#include <stdlib.h>
void *malloc(size_t);
__asm__(".globl _rjem_malloc\\n.type _rjem_malloc, @function\\n_rjem_malloc:\\n.cfi_startproc\\nsub $8, %rsp\\n"
        ".cfi_adjust_cfa_offset 8\\ncall malloc@PLT\\nadd $8, %rsp\\n.cfi_adjust_cfa_offset -8\\nret\\n.cfi_endproc\\n"
        ".size _rjem_malloc, .-_rjem_malloc\\n");
void *_rjem_malloc(size_t);
void *late_alloc(size_t size) { return _rjem_malloc(size); }
void late_free(void *p) { free(p); }
"""


def build_text(scratch, name, text, *options):
    with open(f"{scratch}/source.c", "w") as f:
        f.write(text)
    check.run("gcc", *FLAGS, f"{scratch}/source.c", "-o", f"{scratch}/{name}", *options)


def build(scratch):
    check.run("gcc", *FLAGS, SOURCE / "heap_late.c", "-o", f"{scratch}/late", "-ldl")
    check.run("gcc", *FLAGS, SOURCE / "heap_fault.c", "-o", f"{scratch}/fault", "-pthread")
    check.run("gcc", *FLAGS, "-shared", "-fPIC", SOURCE / "heap_usdt.c", "-o", f"{scratch}/usdt.so")
    build_text(scratch, "stepped.so", STEPPED, "-shared", "-fPIC")
    check.run("gcc", *FLAGS, "-shared", "-fPIC", SOURCE / "heap_own.c", "-o", f"{scratch}/own.so")


def record(scratch, *command, options=()):
    path = f"{scratch}/out.pb.gz"
    done = check.run(check.EMBERCTL, "record", "-e", "heap", "--heap-interval", "4096", *options, "-o", path, "--", *command)
    truth = {w[0]: list(map(int, w[1:])) for w in map(str.split, done.stdout.splitlines()) if len(w) == 4}
    return Profile(path), truth


def late_allocator(scratch):
    p, truth = record(scratch, f"{scratch}/late", 8, f"{scratch}/own.so")
    objects, size, kept = truth["late_caller"]
    check.near(p.cum(1)["late_caller"] / size, 1, 0.08, "an allocator opened after 8 s: bytes allocated, of the truth")
    check.near(p.cum(3)["late_caller"] / kept, 1, 0.15, "an allocator opened after 8 s: bytes in use, of the truth")


# Is over in milliseconds.
FIRST = """
#include <stdlib.h>
enum { N = 5000 };
static void *kept[N];
__attribute__((noinline)) static void *first_blocks(void) { void *p = malloc(1000); *(volatile char *)p = 1; return p; }
int main(void)
{
        for (int i = 0; i < N; i++)
                kept[i] = first_blocks();
        for (int i = 0; i < N; i += 2)
                free(kept[i]);
        return 0;
}
"""


def from_the_first(scratch):
    """A command is let go when its probes are in."""
    build_text(scratch, "first", FIRST)
    for _ in range(5):
        p, _ = record(scratch, f"{scratch}/first")
        check.near(p.cum(1)["first_blocks"] / 5e6, 1, 0.15, "a command of some ms: bytes allocated, of the truth")
        check.near(p.cum(3)["first_blocks"] / 2.5e6, 1, 0.2, "a command of some ms: bytes in use, of the truth")
        check.that(not any("survivors" in s.labels for s in p.samples), "a command of some ms: seen whole")


def usdt(scratch):
    p, truth = record(scratch, f"{scratch}/late", 1, f"{scratch}/usdt.so")
    objects, size, kept = truth["late_caller"]
    late = [s for s in p.samples if any(f.name == "late_caller" for f in s.stack)]
    told = [s for s in late if s.stack[0].name == "late_alloc"]
    check.near(sum(s.values[1] for s in told) / size, 1, 0.02, "USDT: weighted bytes as the allocator told them")
    check.near(sum(s.values[3] for s in told) / kept, 1, 0.15, "USDT: bytes in use")
    # Beneath it malloc of the C library is an allocator of its own, whose blocks are 16 bytes larger.
    beneath = [s for s in late if s.stack[0].name != "late_alloc"]
    check.near(sum(s.values[1] for s in beneath) / (size * 1040 / 1024), 1, 0.1, "USDT: the C library's blocks beneath it")


def stepped(scratch):
    p, _ = record(scratch, f"{scratch}/late", 1, f"{scratch}/stepped.so")
    check.that(p.ledger()["heap.refused_sites_max"] >= 1, "a place that must be single-stepped is refused, and counted")
    by = lambda p: sum(s.values[1] for s in p.samples if s.stack[0].name == "_rjem_malloc")
    check.that(by(p) == 0, "nothing is sampled there")
    p, truth = record(scratch, f"{scratch}/late", 1, f"{scratch}/stepped.so", options=["--single-step"])
    check.that(p.ledger()["heap.refused_sites_max"] == 0, "--single-step: nothing is refused")
    share, stated = by(p) / truth["late_caller"][1], p.ledger()["heap.error_permille_max"] / 1000
    check.near(share, 1, max(0.15, 3 * stated), f"--single-step: bytes allocated there, of the truth (error stated {stated})")


# Allocates from the C library for 2 s, then opens all that it is told to and goes on for 4 s.
MANY_FILES = """
#include <dlfcn.h>
#include <stdlib.h>
#include <unistd.h>
static void go_on(int ms) { for (; ms > 0; ms--) { void *volatile p = malloc(1000); free(p); usleep(1000); } }
int main(int argc, char **argv)
{
        go_on(2000);
        for (int i = 1; i < argc; i++)
                if (!dlopen(argv[i], RTLD_NOW | RTLD_LOCAL))
                        return 1;
        go_on(4000);
        return 0;
}
"""


def too_many_files(scratch):
    build_text(scratch, "many_files", MANY_FILES, "-ldl")
    copies = [shutil.copy(f"{scratch}/own.so", f"{scratch}/own-{i}.so") for i in range(9)]
    p, _ = record(scratch, f"{scratch}/many_files", *copies)
    over = int(p.ledger()["heap.files_over_limit_max"])
    check.that(over == 2, f"ten files with an allocator, eight are probed: {over} are said not to be")
    check.that(p.cum(1)["go_on"] > 0, "the first of them are")


def turns(scratch):
    """More processes of one program than are probed at a time."""
    target = subprocess.Popen([f"{scratch}/fault", "many", "150"], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    target.stdout.readline()
    children = check.children(target.pid)
    begin = time.monotonic()
    path = f"{scratch}/turns.pb.gz"
    check.run(check.EMBERCTL, "record", "-e", "heap", "--heap-interval", "1024", "--comm", "fault", "-d", "3", "-o", path)
    took = time.monotonic() - begin
    p = Profile(path)
    seen = {s.labels["pid"] for s in p.samples}
    waiting = int(p.ledger()["heap.processes_waiting_max"])
    # in 3 s two turns begin, of 64 each; a place that is given back early is the next one's
    check.that(len(seen) >= 32 and waiting > 0 and len(seen) + waiting <= 151, f"150 programs: {len(seen)} seen, {waiting} had no turn")
    check.that(took < 20, f"150 programs: recording 3 s took {took:.1f}")
    shown = check.run(check.EMBERCTL, "top", path).stdout
    check.that(f"{waiting} processes that had no turn to be probed" in shown, "and who reads the profile is told")
    left = sum(check.breakpoints(pid) for pid in children)
    check.that(left == 0, f"150 programs: {left} breakpoints are left in them")
    out = target.communicate("\n", timeout=30)[0]
    check.that(target.returncode == 0, f"150 programs: {out.split()[-2]} died")


def status(scratch):
    config, socket = f"{scratch}/emberd.conf", f"{scratch}/run/control.sock"
    with open(config, "w") as f:
        f.write(f"[Profile]\nSources=heap\nInterval=5s\nHeapSingleStep=no\n[Target]\nComm=late\nComm=workload-heap_k\n"
                f"[Budget]\nHeap=2%\n[Store]\nPath={scratch}/store\n")
    emberd = subprocess.Popen([check.EMBERD, "--config", config, "--runtime-dir", f"{scratch}/run"])
    targets = [subprocess.Popen([f"{scratch}/late", "2", f"{scratch}/usdt.so"], stdout=subprocess.DEVNULL),
               subprocess.Popen([check.workload("heap_known"), "8", "100", "1"], stdout=subprocess.DEVNULL)]
    time.sleep(5)
    told = json.loads(check.run(check.EMBERCTL, "status", "--json", "--source", socket).stdout)
    text = check.run(check.EMBERCTL, "status", "--source", socket).stdout
    by_pid = {p["pid"]: p for s in told["sources"] for p in s["processes"]}
    check.that(by_pid.get(targets[0].pid, {}).get("method") == "usdt, malloc", f"status: {by_pid.get(targets[0].pid)}")
    known = by_pid.get(targets[1].pid, {})
    check.that(known.get("method") == "malloc" and known["sites"] >= 6 and known["refused_sites"] == 0 and known["is_in"]
               and known["comm"] == "workload-heap_k" and 0 <= known["slow_down"] < 0.05 and known["budget"] == 0.02,
               f"status: {known}")
    check.that("usdt, malloc" in text and str(targets[1].pid) in text, "status for a person has the processes")
    for t in targets:
        t.kill()
        t.wait()
    emberd.terminate()
    emberd.wait(timeout=30)


with check.scratch() as directory:
    build(directory)
    for test in (late_allocator, from_the_first, usdt, stepped, too_many_files, turns, status):
        if not sys.argv[1:] or test.__name__ in sys.argv[1:]:
            test(directory)
check.finish()
