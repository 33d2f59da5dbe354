#!/usr/bin/env python3
"""Every allocator that is known, shared, preloaded and linked in: each way to allocate is counted once, at its bytes, and what is
still in use is; what cannot be probed is said."""
import os
import signal
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import check
from pprof import Profile

check.need_root()
for tool in ("gcc", "g++", "musl-gcc", "objcopy", "strip"):
    check.need_tool(tool)
SOURCE = check.SOURCE / "tests/workloads/heap_allocators.c"
FLAGS = ["-O2", "-g", "-fomit-frame-pointer", "-fno-optimize-sibling-calls", "-fno-builtin", "-Wno-deprecated-declarations"]
SECONDS = 4


def build(scratch, name, compiler, *more):
    path = f"{scratch}/{name}"
    language = ["-x", "c++"] if compiler == "g++" else []
    check.run(compiler, *FLAGS, *language, SOURCE, "-x", "none", *more, "-o", path)
    return path


def prefixed_jemalloc(scratch):
    """jemalloc as Rust's crates link it: _rjem_ before each name."""
    archive = f"{scratch}/libprefixed.a"
    names = ("malloc calloc realloc free aligned_alloc posix_memalign memalign valloc mallocx rallocx xallocx sallocx dallocx "
             "sdallocx nallocx mallctl mallctlnametomib mallctlbymib malloc_stats_print malloc_usable_size malloc_conf "
             "malloc_message").split()
    operators = [w for w in check.run("nm", "-g", check.library("libjemalloc_pic.a"), fail_ok=True).stdout.split() if w.startswith(("_Zn", "_Zd"))]
    renamed = [f"--redefine-sym={n}=_rjem_{n}" for n in names] + [f"--redefine-sym={n}=unused{n}" for n in set(operators)]
    check.run("objcopy", *renamed, check.library("libjemalloc_pic.a"), archive)
    return archive


def record(scratch, what, binary, preload=None, options=()):
    path = f"{scratch}/{what.replace(' ', '-').replace('/', '-')}.pb.gz"
    command = ["env", f"LD_PRELOAD={preload}", binary] if preload else [binary]
    done = check.run(check.EMBERCTL, "record", "-e", "heap", "--heap-interval", "4096", *options, "-o", path, "--", *command,
                     SECONDS)
    truth = {w[0]: list(map(int, w[1:])) for w in map(str.split, done.stdout.splitlines()) if len(w) == 4}
    return Profile(path), truth


def record_beside(scratch, what, binary, name, preload=None):
    """With another program's probes at the same places: it returns through the kernel's trampoline from each call then."""
    env = {**os.environ, **({"LD_PRELOAD": preload} if preload else {})}
    other = subprocess.Popen([binary, str(100 * SECONDS)], env=env, stdout=subprocess.DEVNULL)
    watcher = subprocess.Popen([check.EMBERCTL, "record", "-e", "heap", "-p", str(other.pid), "-d", "60", "-o", f"{scratch}/other.pb.gz"],
                               stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        time.sleep(2)
        check.that(check.breakpoints(other.pid, name) > 0, f"{what}: the other one is probed")
        return record(scratch, what, binary, preload)
    finally:
        watcher.send_signal(signal.SIGINT)
        other.kill()
        other.wait()
        watcher.wait()


def by_place(p, truth, index):
    """C++ functions are shown with their arguments."""
    cum = p.cum(index)
    return {name: sum(v for function, v in cum.items() if function.split("(")[0] == name) for name in truth}


def compare(what, p, truth, missing=()):
    ledger, wrong = p.ledger(), []
    check.that(ledger["heap.duty_stretches"] == 0, f"{what}: probes were in all the time")
    allocated, in_use = by_place(p, truth, 1), by_place(p, truth, 3)
    for name, (objects, size, kept) in truth.items():
        if name in missing:
            continue
        # A thousand objects of which six in ten are sampled: three standard errors are a tenth.
        if abs(allocated[name] / size - 1) > 0.13:
            wrong.append(f"{name}: allocated {allocated[name] / size:.3f} of the truth")
        if abs(in_use[name] / kept - 1) > 0.22:
            wrong.append(f"{name}: in use {in_use[name] / kept:.3f} of the truth")
    counted = [n for n in truth if n not in missing]
    total = sum(allocated[n] for n in counted) / sum(truth[n][1] for n in counted)
    kept = sum(in_use[n] for n in counted) / sum(truth[n][2] for n in counted)
    check.that(not wrong, f"{what}: {len(counted)} ways to allocate, each near the truth {'; '.join(wrong)}")
    check.near(total, 1, 0.05, f"{what}: bytes allocated, of the truth")
    check.near(kept, 1, 0.08, f"{what}: bytes in use, of the truth")
    check.that(ledger["heap.refused_sites_max"] == 0 or missing, f"{what}: {ledger['heap.refused_sites_max']} sites refused")


def main(scratch, only):
    dynamic, cxx = build(scratch, "dynamic", "gcc"), build(scratch, "cxx", "g++")
    static = build(scratch, "static", "gcc", "-static")
    cases = {
        "glibc": lambda what: record(scratch, what, dynamic),
        "glibc linked in": lambda what: record(scratch, what, static),
        "glibc C++": lambda what: record(scratch, what, cxx),
        "musl": lambda what: record(scratch, what, build(scratch, "musl", "musl-gcc")),
        "musl linked in": lambda what: record(scratch, what, build(scratch, "musl-static", "musl-gcc", "-static")),
        "jemalloc preloaded": lambda what: record(scratch, what, cxx, check.library("libjemalloc.so.2")),
        "jemalloc beside": lambda what: record_beside(scratch, what, cxx, "libjemalloc", check.library("libjemalloc.so.2")),
        "glibc beside": lambda what: record_beside(scratch, what, cxx, "libc.so.6"),
        "jemalloc linked": lambda what: record(scratch, what, build(scratch, "je", "g++", "-ljemalloc")),
        "jemalloc prefixed": lambda what: record(
            scratch, what, build(scratch, "rjem", "gcc", "-DPREFIX=_rjem_", prefixed_jemalloc(scratch), "-lm", "-lpthread", "-lstdc++", "-ldl")),
        "tcmalloc preloaded": lambda what: record(scratch, what, cxx, check.library("libtcmalloc.so.4")),
        "tcmalloc minimal": lambda what: record(scratch, what, cxx, check.library("libtcmalloc_minimal.so.4")),
        "mimalloc preloaded": lambda what: record(scratch, what, cxx, check.library("libmimalloc.so.2")),
    }
    for what, run in cases.items():
        if not only or what in only:
            compare(what, *run(what))
    if not only or "stripped" in only:
        check.run("strip", static)
        done = check.run(check.EMBERCTL, "record", "-e", "heap", "-o", f"{scratch}/none.pb.gz", "--", static, 1, fail_ok=True)
        check.that(done.returncode == 1 and "could be probed" in done.stderr,
                   f"an executable without symbols that brings its own malloc is said to be closed: {done.stderr.strip()}")


with check.scratch() as directory:
    main(directory, sys.argv[1:])
check.finish()
