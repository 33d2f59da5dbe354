#!/usr/bin/env python3
"""What may happen to a program while its allocators are probed: none is ever harmed by it, no breakpoint is left in any, and what
could not be seen is in the ledger."""
import contextlib
import os
import shutil
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import check
from emberd import Daemon
from pprof import Profile

check.need_root()
check.need_tool("gcc")
SOURCE = check.SOURCE / "tests/workloads"
FLAGS = ["-O2", "-g", "-fomit-frame-pointer", "-fno-optimize-sibling-calls", "-pthread"]


def wait_until(what, seconds=20):
    """Whatever what() returns once it is true, or its last answer."""
    end = time.monotonic() + seconds
    while True:
        answer = what()
        if answer or time.monotonic() > end:
            return answer
        time.sleep(0.05)


class Prober(Daemon):
    """Probes every process whose name begins with heap_fault."""

    def __init__(self, scratch):
        # All that a target can pay: what is asked here is harm, and what one case owes must not keep the next one's probes out.
        super().__init__(scratch, "[Profile]\nSources=heap\nInterval=5s\n[Target]\nComm=heap_fault*\n"
                                  "[Budget]\nHeap=90%\nHeapTogether=90%\n")
        check.that(self.processes() is not None, "emberd answers")

    def processes(self):
        """By PID, those that it probes; None: no answer."""
        status = self.status()
        return {p["pid"]: p for s in status["sources"] for p in s["processes"]} if status else None

    def has_in(self, pids):
        known = self.processes() or {}
        return all(known.get(pid, {}).get("is_in") for pid in pids)

    def knows_none(self, pids):
        known = self.processes()
        return known is not None and not set(pids) & set(known)


def start(scratch, *args, **kwargs):
    return subprocess.Popen([f"{scratch}/heap_fault", *map(str, args)], stdout=subprocess.PIPE, text=True, **kwargs)


def end(target):
    target.kill()
    target.wait()


def killed(scratch, daemon):
    targets = [start(scratch, "steady", 60) for _ in range(10)]
    pids = [t.pid for t in targets]
    check.that(wait_until(lambda: daemon.has_in(pids)), "10 programs are probed")
    for t in targets:
        end(t)
    check.that(wait_until(lambda: daemon.knows_none(pids)), "killed, they are forgotten")


def killed_on_the_way(scratch, daemon):
    targets = []
    for i in range(30):  # their probes are on the way in when they are killed
        targets.append(start(scratch, "steady", 60))
        time.sleep(0.002 * i)
        end(targets[-1])
    check.that(wait_until(lambda: daemon.knows_none([t.pid for t in targets])), "30 killed while probes go in are forgotten")


def exec_chains(scratch, daemon):
    for what in ("exec", "texec"):
        target = start(scratch, what, 20)
        # the command line tells when it has come to its end, where it stays for some seconds
        last = b"\0".join([what.encode(), b"0", b""])
        wait_until(lambda: open(f"/proc/{target.pid}/cmdline", "rb").read().endswith(last))
        check.that(wait_until(lambda: check.breakpoints(target.pid), 2.5), f"{what}: after 20 execs in a row the last program is probed")
        check.that(target.wait() == 0, f"{what}: it came to its end")


def forks(scratch, daemon):
    target = start(scratch, "fork", 1000)
    out = target.communicate(timeout=60)[0]
    check.that(target.returncode == 0 and "1000 children, 0 failed" in out, f"forked 1,000 times: {out.strip()}")


def opened_and_closed(scratch, daemon):
    done = check.run(f"{scratch}/heap_fault_late", 0, f"{scratch}/own.so", 20000, fail_ok=True, timeout=60)
    check.that(done.returncode == 0, f"an allocator opened and closed 20,000 times: exit {done.returncode}")


def replaced(scratch, daemon):
    library = f"{scratch}/own-replaced.so"
    shutil.copy(f"{scratch}/own.so", library)
    old = subprocess.Popen([f"{scratch}/heap_fault_late", "0", library], stdout=subprocess.DEVNULL)
    sites = lambda pid: (daemon.processes() or {}).get(pid, {}).get("sites", 0)
    check.that(wait_until(lambda: sites(old.pid) >= 10), f"the old file is probed: {sites(old.pid)} places")
    shutil.copy(f"{scratch}/own-larger.so", f"{library}.new")
    os.rename(f"{library}.new", library)
    new = subprocess.Popen([f"{scratch}/heap_fault_late", "0", library], stdout=subprocess.DEVNULL)
    check.that(wait_until(lambda: sites(new.pid) >= 10), f"the new one as well: {sites(new.pid)} places")
    new_has = lambda: new.poll() is None and check.breakpoints(new.pid, "own-replaced.so") >= 2
    check.that(wait_until(new_has), "and has breakpoints in it")
    check.that(old.wait(timeout=60) == 0 and new.wait(timeout=60) == 0, "programs of both came to their end")


def emberd_killed(scratch, daemon):
    targets = [start(scratch, "steady", 60) for _ in range(4)]
    check.that(wait_until(lambda: all(check.breakpoints(t.pid) for t in targets)), "breakpoints are in")
    daemon.process.kill()
    daemon.process.wait()
    left = lambda: sum(check.breakpoints(t.pid) for t in targets)
    check.that(wait_until(lambda: left() == 0), f"emberd killed: {left()} breakpoints are left")
    check.that(all(t.poll() is None for t in targets), "the programs run on")
    for t in targets:
        end(t)


def record(scratch, name, *options, timeout=120):
    path = f"{scratch}/{name}.pb.gz"
    done = check.run(check.EMBERCTL, "record", "-e", "heap", "-o", path, *options, timeout=timeout)
    return Profile(path), done


def many(scratch, n, seconds):
    target = start(scratch, "many", n, stdin=subprocess.PIPE)
    target.stdout.readline()
    children = check.children(target.pid)
    begin = time.monotonic()
    p, _ = record(scratch, "many", "--comm", "heap_fault*", "-d", seconds)
    took = time.monotonic() - begin
    check.that(took < seconds + 10, f"{n} programs: recording {seconds} s took {took:.1f}")
    seen, waiting = {s.labels["pid"] for s in p.samples}, int(p.ledger()["heap.processes_waiting_max"])
    check.that(p.ledger()["heap.processes_over_limit_max"] == 0, f"{n} programs: none is over the limit")
    check.that(len(seen) + waiting > n / 2, f"{n} programs: {len(seen)} seen, {waiting} had no turn")
    left = sum(check.breakpoints(pid) for pid in children)
    check.that(left == 0, f"{n} programs: {left} breakpoints are left in them")
    out = target.communicate("\n", timeout=30)[0]
    check.that(target.returncode == 0, f"{n} programs: {out.split()[-2]} died")
    # those that are still coming to their end would count for the next case
    check.that(wait_until(lambda: not any(os.path.exists(f"/proc/{pid}") for pid in children)), f"{n} programs: all have ended")


def a_hundred(scratch):
    many(scratch, 100, 5)


def five_hundred(scratch):
    many(scratch, 500, 15)


def live_full(scratch):
    p, _ = record(scratch, "keep", "--heap-interval", "64", "--", f"{scratch}/heap_fault", "keep", 11000, timeout=120)
    check.that(p.ledger()["heap.objects_dropped_max"] == 0, "22,000 blocks kept, 16,384 have room: none is dropped")
    check.near(p.cum(0)["block"] / 22000, 1, 0.03, "22,000 blocks kept: allocated, of the truth")
    check.near(p.cum(2)["block"] / 22000, 1, 0.06, "22,000 blocks kept: in use, of the truth")


def many_threads(scratch):
    p, _ = record(scratch, "threads", "--heap-interval", "1024", "--", f"{scratch}/heap_fault", "threads", 16)
    check.that(p.ledger()["heap.duty_stretches"] == 0, "16 threads on all CPUs: probes were in all the time")
    # 16,000 blocks, one in ten is sampled: a standard error is 2.5 percent
    check.near(p.cum(0)["turn"] / 16000, 1, 0.12, "16 threads on all CPUs: blocks counted, of the truth")


def busy_start(scratch):
    """16 threads that allocate from their start on while all CPUs are busy: whatever was missed of them is in the error."""
    load = [subprocess.Popen(["sh", "-c", "while :; do :; done"]) for _ in range(4)]
    try:
        for _ in range(5):
            p, _ = record(scratch, "start", "--heap-interval", "1024", "--", f"{scratch}/heap_fault", "start", 16)
            ledger, ratio = p.ledger(), p.cum(0)["turn"] / 16000
            stated = ledger["heap.error_permille_max"] / 1000
            check.that(ledger["heap.error_unknown_max"] or abs(ratio - 1) < max(0.12, 1.5 * stated),
                       f"16 threads from their start: blocks counted, of the truth {ratio:.3f}, error stated {stated:.3f}")
    finally:
        for process in load:
            end(process)


def build(scratch):
    check.run("gcc", *FLAGS, SOURCE / "heap_fault.c", "-o", f"{scratch}/heap_fault")
    check.run("gcc", *FLAGS, SOURCE / "heap_late.c", "-o", f"{scratch}/heap_fault_late", "-ldl")
    check.run("gcc", *FLAGS, "-shared", "-fPIC", SOURCE / "heap_own.c", "-o", f"{scratch}/own.so")
    check.run("gcc", *FLAGS, "-O1", "-DLARGER", "-shared", "-fPIC", SOURCE / "heap_own.c", "-o", f"{scratch}/own-larger.so")


CASES = (killed, killed_on_the_way, exec_chains, forks, opened_and_closed, replaced, emberd_killed)
with check.scratch() as directory, contextlib.ExitStack() as stack:
    build(directory)
    chosen = [c for c in CASES if not sys.argv[1:] or c.__name__ in sys.argv[1:]]
    if chosen:
        emberd = Prober(directory)
        stack.callback(emberd.process.kill)
        for case in chosen:
            begin = time.monotonic()
            case(directory, emberd)
            print(f"        {case.__name__}: {time.monotonic() - begin:.1f} s", flush=True)
            check.that(emberd.process.poll() is None or case is emberd_killed, f"{case.__name__}: emberd runs on")
    for case in (many_threads, busy_start, live_full, a_hundred, five_hundred):
        if not sys.argv[1:] or case.__name__ in sys.argv[1:]:
            begin = time.monotonic()
            case(directory)
            print(f"        {case.__name__}: {time.monotonic() - begin:.1f} s", flush=True)
check.finish()
