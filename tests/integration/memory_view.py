#!/usr/bin/env python3
"""emberctl memory of a process whose memory is known: resident by mapping as smaps has it, allocated from a heap profile of
the store and from one recorded now, the overhead between them; HeapSampleInterval= is what each sample stands for."""
import collections
import glob
import gzip
import json
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import check
import pprof
from emberd import Daemon
from pprof import Profile

check.need_root()
check.need_tool("zstd")
MIB = 1 << 20
BLOCK = 32 << 10
FILE_BYTES, PRIVATE_BYTES, INTERVAL = 8 * MIB, 24 * MIB, 1024
# All that a target can pay: what is asked here is whether the numbers are right.
CONFIG = f"""[Profile]
Sources=heap
Interval=2s
HeapSampleInterval={INTERVAL}
[Target]
Comm=workload-view*
[Budget]
Heap=90%
HeapTogether=90%
"""


class Target:
    """The program, and what it says of itself: [(time in ns, bytes held)]."""

    def __init__(self, directory, comm="workload-view_known"):
        self.file = f"{directory}/mapped"
        with open(self.file, "wb") as f:
            f.write(os.urandom(FILE_BYTES))
        exe = f"{directory}/{comm}"
        if not os.path.exists(exe):
            os.symlink(check.workload("view_known"), exe)
        self.out = f"{directory}/{comm}.out"
        with open(self.out, "w") as out:
            self.process = subprocess.Popen([exe, self.file], stdin=subprocess.PIPE, stdout=out, text=True)
        self.pid = self.process.pid
        self.wait("ready")

    def lines(self):
        with open(self.out) as f:
            return f.read().splitlines()

    def wait(self, word):
        if not Daemon.wait(self, lambda: any(line.startswith(word) for line in self.lines()), 120):
            sys.exit(f"the program did not say '{word}'")

    def take(self, n):
        self.process.stdin.write(f"{n}\n")
        self.process.stdin.flush()

    def said(self):
        return [tuple(map(int, line.split()[-2:])) for line in self.lines()[1:]]

    def held_at(self, ns):
        """To a twentieth of a second or so."""
        return max([held for at, held in self.said() if at <= ns and held], default=0)

    def end(self):
        self.process.kill()
        self.process.wait()


def smaps(pid):
    """Resident bytes by the name of the mapping; all as ""."""
    resident, name = collections.Counter(), ""
    with open(f"/proc/{pid}/smaps") as f:
        for line in f:
            head = re.match(r"[0-9a-f]+-[0-9a-f]+ \S+ \S+ \S+ \d+\s*(.*)$", line)
            if head:
                name = head[1]
            elif line.startswith("Rss:"):
                resident[name] += int(line.split()[1]) * 1024
    resident[""] = sum(resident.values())
    return resident


def view(pid, *options):
    return json.loads(check.run(check.EMBERCTL, "memory", "-p", pid, "--json", *options).stdout)


def mappings(target):
    """What is resident, by mapping: of a program that rests, so only the kernel may take something away meanwhile."""
    before, told, after = smaps(target.pid), view(target.pid), smaps(target.pid)
    resident = lambda row, name: after[name] <= row.get("resident_bytes", -1) <= before[name]
    rows = {m["name"]: m for m in told["mappings"]}
    check.that(told["pid"] == target.pid and told["comm"] == "workload-view_k", f"PID and name: {told['pid']}, {told['comm']}")
    check.that(resident(told["all"], ""), f"all that is resident: {told['all']}, by smaps {after['']} to {before['']}")
    file = rows.get(target.file, {})
    check.that(resident(file, target.file) and 0.9 * FILE_BYTES <= before[target.file] <= FILE_BYTES, f"the mapped file: {file}")
    heap = rows.get("[heap]", {})
    check.that(resident(heap, "[heap]"), f"the heap: {heap}, by smaps {after['[heap]']} to {before['[heap]']}")
    check.that(sum(m["resident_bytes"] for m in told["mappings"]) == told["all"]["resident_bytes"], "the mappings add up to all")
    check.that(told["allocated"] is None, "what is allocated is not known without a heap profile")
    text = check.run(check.EMBERCTL, "memory", "-p", target.pid).stdout
    check.that("allocated: not known; -d SECONDS records its heap" in text, "and that is said")


def from_store(daemon, target, blocks):
    """Every block is sampled, so the estimate is exact, and the overhead with it."""
    told = lambda: view(target.pid, "--source", daemon.store, "--from", "-10min")["allocated"] or {}
    done_ns = target.said()[-1][0]
    check.that(daemon.wait(lambda: told().get("at_ns", 0) > done_ns + 2e9, 60), "a window after the last allocation")
    allocated, held = told(), blocks // 2 * BLOCK
    check.that(allocated["is_whole"] and not allocated["is_survivors"] and not allocated["is_dump"],
               f"probed since the program began, and without a pause: {allocated}")
    check.near(allocated["inuse_bytes"] / held, 1, 0.01, "allocated, by truth")
    check.that(allocated.get("error", 1) < 0.10, f"its error: {allocated.get('error')}")
    # What was given back stays in the heap, and what the program mapped by itself is not the allocator's.
    check.near(allocated["overhead_bytes"] / MIB, (held + PRIVATE_BYTES) / MIB, 3, "overhead, MiB")
    text = check.run(check.EMBERCTL, "memory", "-p", target.pid, "--source", daemon.store, "--from", "-10min").stdout
    match = re.search(r"allocated and in use: ([\d.]+) MB \(give or take [\d.]+%\)", text.replace("MiB", "MB"))
    check.that(match and abs(float(match[1]) * MIB / held - 1) < 0.07, f"the same for a person:\n{text}")
    check.that("overhead (kept free, fragmentation, bookkeeping, threads' stacks)" in text, "and its overhead")
    profile = Profile(sorted(glob.glob(f"{daemon.store}/heap/*/*"))[-1])
    check.that(profile.period == INTERVAL, f"HeapSampleInterval: the period of the profile is {profile.period}")


def recorded_now(directory):
    """Of a program that runs already only what comes is seen."""
    target = Target(directory, "view_later")
    target.take(6000)
    Daemon.wait(target, lambda: len(target.said()) > 20, 120)
    before = target.said()[-1][1]
    allocated = view(target.pid, "-d", "8")["allocated"]
    # The probes go in a moment after the recording has begun.
    end = target.held_at(allocated["at_ns"])
    truth, most = end - target.held_at(allocated["since_ns"] + 1e9), end - target.held_at(allocated["since_ns"])
    check.that(not allocated["is_whole"] and "overhead_bytes" not in allocated, "recorded now: what was before is not known")
    check.that(before > 0 and allocated["since_ns"] > target.said()[0][0], "recorded now: it held some before")
    error = 3 * max(allocated.get("error", 1), 0.05)
    check.that((1 - error) * truth < allocated["inuse_bytes"] < (1 + error) * most,
               f"recorded now: {allocated['inuse_bytes'] / MIB:.1f} MiB allocated, truth {truth / MIB:.1f} to {most / MIB:.1f}, "
               f"error stated {allocated.get('error')}, survivors: {allocated['is_survivors']}")
    target.end()


def caveats(directory):
    """What a reader should know of the numbers stands above them, in words."""
    names = {"lost": 7, "heap.error_permille_max": 85, "heap.survivors_of_ms_max": 2500, "heap.refused_sites_max": 2,
             "heap.processes_waiting_max": 1, "heap.processes_unprobed_max": 3}
    path = heap_profile(f"{directory}/caveats.pb.gz", [f"emberd.{name}={value}" for name, value in names.items()])
    line = check.run(check.EMBERCTL, "top", path).stdout.splitlines()[0]
    words = ["7 samples lost", "give or take 8.5%", "in use: only what outlived 2.50 s of probing", "2 places of allocators not probed",
             "1 process that had no turn to be probed", "3 processes that were not probed"]
    check.that(all(w in line for w in words), f"above a table: {line}")
    picture = re.search("<desc>(.*)</desc>", check.run(check.EMBERCTL, "flamegraph", path).stdout).group(1)
    check.that(all(w in picture for w in words), f"above a flame graph: {picture}")


def survivors(directory):
    """Whether in use is all or only survivors is said of each process; in a merged file, which does not tell them, of all."""
    held = subprocess.Popen(["sleep", "60"]), subprocess.Popen(["sleep", "60"])
    comments = ["emberd.lost=0", "emberd.heap.survivors_of_ms_max=20"]

    def told(samples):
        path = heap_profile(f"{directory}/survivors.pb.gz", comments, samples)
        return [view(p.pid, path)["allocated"]["is_survivors"] for p in held]

    by_pid = [{"pid": p.pid} for p in held]
    said = told([{**by_pid[0], "survivors": 1}, by_pid[1]])
    check.that(said == [True, False], f"survivors are told of each process: {said}")
    said = told(by_pid)
    check.that(said == [True, True], f"where no sample says of whom they are, of all: {said}")
    for p in held:
        p.kill()
        p.wait()


def heap_profile(path, comments, samples=({},)):
    """Writes a pprof file, as protobuf has it; samples: the number labels of each."""
    strings = ["", "inuse_space", "bytes", "f", "pid", "survivors", *comments]
    message = lambda number, body: bytes([number << 3 | 2]) + pprof.varint(len(body)) + body
    number = lambda field, value: bytes([field << 3]) + pprof.varint(value)
    label = lambda name, value: message(3, number(1, strings.index(name)) + number(3, value))
    one = lambda labels: message(2, number(1, 1) + number(2, 4096) + b"".join(label(k, v) for k, v in labels.items()))
    data = b"".join([message(1, number(1, 1) + number(2, 2)), *map(one, samples),
                     message(4, number(1, 1) + message(4, number(1, 1))), message(5, number(1, 1) + number(2, 3)),
                     *(message(6, s.encode()) for s in strings),
                     *(number(13, i) for i in range(len(strings) - len(comments), len(strings)))])
    with open(path, "wb") as f:
        f.write(gzip.compress(data))
    return path


def refused():
    gone = subprocess.Popen(["true"])
    gone.wait()
    done = check.run(check.EMBERCTL, "memory", "-p", gone.pid, fail_ok=True)
    check.that(done.returncode == 1 and f"there is no process {gone.pid}" in done.stderr, f"a process that is gone: {done.stderr.strip()}")
    done = check.run(check.EMBERCTL, "memory", fail_ok=True)
    check.that(done.returncode == 2, "without -p: wrong usage")


with check.scratch() as directory:
    daemon = Daemon(directory, CONFIG)
    target = Target(directory)
    processes = lambda: {p["pid"]: p for s in daemon.status()["sources"] for p in s["processes"]}
    check.that(daemon.wait(lambda: processes().get(target.pid, {}).get("is_in"), 60), "the program is probed")
    mappings(target)
    target.take(2000)
    target.wait("done")
    from_store(daemon, target, 2000)
    target.end()
    check.that(daemon.stop() == 0, "emberd ends well")
    recorded_now(directory)
    caveats(directory)
    survivors(directory)
    refused()
check.finish()
