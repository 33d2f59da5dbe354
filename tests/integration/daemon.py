#!/usr/bin/env python3
"""emberd as an operator meets it: windows in the store, labels and ledger, reload with a good and a bad file, a second
daemon, perf maps that are traps, recordings beside it, SIGTERM writing the last window, no permission."""
import json
import os
import pwd
import random
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, os.path.dirname(__file__))
import check
from emberd import Daemon
from pprof import Profile

check.need_root()
check.need_tool("zstd")


def configuration():
    with check.scratch() as d:
        path = os.path.join(d, "emberd.conf")
        open(path, "w").write("")
        check.that(check.run(check.EMBERD, "--check-config", "--config", path).returncode == 0, "an empty file is good")
        open(path, "w").write("[Profile]\nFrequencyHz=fast\n")
        done = check.run(check.EMBERD, "--check-config", "--config", path, fail_ok=True)
        check.that(done.returncode == 1 and f"{path}:2: [Profile] FrequencyHz=fast: wants" in done.stderr,
                   f"a bad value is named: {done.stderr.strip()}")
        done = check.run(check.EMBERD, "--config", path, fail_ok=True)
        check.that(done.returncode == 1 and len(done.stderr.strip().split("\n")) == 1, "and emberd does not start with it")
        check.that(check.run(check.EMBERD, "--nonsense", fail_ok=True).returncode == 2, "wrong usage is status 2")


def window_is_whole(p, workload):
    mine = [s for s in p.samples if s.labels.get("pid") == workload.pid]
    total = sum(s.values[0] for s in mine)
    spinning = sum(s.values[0] for s in mine if any(f.name.startswith("spin_") for f in s.stack))
    check.that(total >= 20 and spinning >= 0.9 * total, f"{spinning} of {total} samples of the workload are named")
    labels = mine[0].labels if mine else {}
    check.that(labels.get("pid") == workload.pid and labels.get("comm") == "workload-shares"
               and labels.get("host") == socket.gethostname() and "tid" in labels and "thread" in labels,
               f"labels {labels}")
    check.that(p.sample_types == [("samples", "count"), ("cpu", "nanoseconds")] and p.period_type == ("cpu", "nanoseconds")
               and p.period == 10**7, f"types {p.sample_types}, period {p.period}")
    ledger = p.ledger()
    check.that({"lost", "truncated", "throttled", "rate_hz", "cost_cpu_ns"} <= set(ledger), f"ledger {ledger}")
    kernel = [f for s in p.samples for f in s.stack if f.mapping.startswith("[kernel")]
    check.that(kernel and all(f.address == 0 and f.name for f in kernel), f"{len(kernel)} kernel frames without addresses")
    user = [f for s in mine for f in s.stack if f.mapping.endswith("workload-shares")]
    check.that(user and all(f.address and f.build_id for f in user), "user frames keep address and build ID")


def daemon():
    with check.scratch() as d:
        workload = subprocess.Popen([check.workload("shares"), "100000"], stdout=subprocess.DEVNULL)
        calls = subprocess.Popen(["dd", "if=/dev/zero", "of=/dev/null", "bs=1"], stderr=subprocess.DEVNULL)  # lives in the kernel
        try:
            e = Daemon(d, "[Profile]\nInterval=4s\n")
            check.that(e.status() is not None, "answers on its socket")
            check.that(e.wait(lambda: len(e.windows()) >= 2, 90), "writes windows")
            window_is_whole(Profile(e.windows()[-1]), workload)
            status = e.status()
            check.that(status["windows"]["written"] >= 2 and status["windows"]["failed"] == 0, "counts them")
            check.that(status["sources"] and all(s["lost"] == 0 for s in status["sources"]), "lost nothing")
            held = json.loads(check.run(check.EMBERCTL, "types", "--json", "--source", e.socket).stdout)
            check.that([t["type"] for t in held if t["type"] == "cpu" and t["windows"] >= 2], "its socket leads to its store")
            beside(e, d)
            reloads(e)
            ends(e)
        finally:
            for x in workload, calls:
                x.kill()
                x.wait()


def targets():
    with check.scratch() as d:
        workloads = [subprocess.Popen([check.workload(x), *arguments], stdout=subprocess.DEVNULL)
                     for x, *arguments in (("shares", "100000"), ("jit", "none", "60"))]
        try:
            e = Daemon(d, "[Profile]\nInterval=3s\n[Target]\nComm=workload-*\nExcludeComm=workload-jit\n")
            check.that(e.wait(lambda: len(e.windows()) >= 1, 90), "writes windows of what [Target] selects")
            found = {s.labels.get("comm") for s in Profile(e.windows()[-1]).samples}
            check.that("workload-shares" in found and all(x.startswith("workload-") for x in found)
                       and "workload-jit" not in found, f"and nothing else: {found}")
            e.write("[Profile]\nInterval=3s\n[Target]\nUnit=not-there.service\n")
            e.ctl("reload")
            check.that(e.status()["sources"] == [], "nothing is sampled while nothing of [Target] is there")
            check.that("nothing that [Target] names is there yet" in e.said(), "and that is said")
            check.that(e.stop() == 0, "and ends well")
        finally:
            for w in workloads:
                w.kill()
                w.wait()


def beside(e, d):
    second = check.run(*e.arguments(), fail_ok=True)
    check.that(second.returncode == 1 and "another emberd is running" in second.stderr
               and len(second.stderr.strip().split("\n")) == 1, f"a second one says so: {second.stderr.strip()}")
    path = os.path.join(d, "beside.pb.gz")
    done = e.ctl("record", "-d", "2", "-F", "199", "-o", path)
    p = Profile(path)
    check.that(p.ledger().get("rate_hz") == 199 and p.total(0) > 100, f"records beside the windows: {done.stderr.strip()}")
    said = r"cpu: \d+ samples in \S+ s, \d+ lost, \d+ truncated \([\d.]+ %\), \d+ of \d+ frames unsymbolized, own cost .* of a CPU\): "
    check.that(re.fullmatch(said + re.escape(path), done.stderr.strip()), f"says of itself, 0 or not: {done.stderr.strip()}")
    check.that(1.9e9 < p.duration_ns < 4e9, f"for as long as asked: {p.duration_ns / 1e9:.2f} s")
    done = e.ctl("record", "-e", "moon", fail_ok=True)
    check.that(done.returncode == 1 and "no source moon" in done.stderr, f"an unknown source: {done.stderr.strip()}")
    done = e.ctl("record", "-p", "4194303", fail_ok=True)
    check.that(done.returncode == 1 and "no process 4194303" in done.stderr, f"an unknown process: {done.stderr.strip()}")
    client = socket.socket(socket.AF_UNIX)
    client.connect(e.socket)
    client.sendall(b"[" * 60000 + b"\n" + b"\xff\xfe nonsense\n" + b'{"id":1,"method":"status"}\n')
    answers = client.makefile()
    answers = [json.loads(answers.readline()) for _ in range(3)]
    client.close()
    check.that("nested too deep" in answers[0]["error"] and "error" in answers[1] and "result" in answers[2],
               "refuses nonsense on the socket and goes on")


def reloads(e):
    e.write("[Profile]\nInterval=4s\nFrequencyHz=0\n")
    e.process.send_signal(signal.SIGHUP)
    wanted = "[Profile] FrequencyHz=0: wants a whole number from 1 to 10000"
    check.that(e.wait(lambda: wanted in e.said(), 30), "SIGHUP with a bad file names the mistake")
    done = e.ctl("reload", fail_ok=True)
    check.that(done.returncode == 1 and wanted in done.stderr, "so does emberctl reload")
    check.that(e.rate() == [100], "and the old configuration stays in force")
    e.write("[Profile]\nInterval=4s\nFrequencyHz=49\n")
    e.process.send_signal(signal.SIGHUP)
    check.that(e.wait(lambda: e.rate() == [49], 30), "SIGHUP with a good file applies it")
    done = e.ctl("reload")
    check.that(e.status()["windows"]["failed"] == 0, "no window failed over it")


def ends(e):
    before = e.windows()
    time.sleep(1.5)
    check.that(e.stop() == 0, "SIGTERM ends it with status 0")
    new = set(e.windows()) - set(before)
    check.that(len(new) >= 1, f"the last window is written: {len(new)} new")
    check.that(all(Profile(x).total(0) > 0 for x in new), "and it can be read")
    check.that(not os.path.exists(e.socket), "the socket is gone")
    left = subprocess.run(["pgrep", "-P", str(e.process.pid)], stdout=subprocess.PIPE).stdout
    check.that(left == b"", "no child is left")


def perf_maps():
    for mode, name in ("map", "jitted_loop"), ("fifo", None), ("link", None), ("garbage", None), ("none", None):
        with check.scratch() as d:
            path = os.path.join(d, "jit.pb.gz")
            start = time.monotonic()
            check.run(check.EMBERCTL, "record", "-o", path, "--", check.workload("jit"), mode, "2")
            took = time.monotonic() - start
            p = Profile(path)
            frames = [f for s in p.samples for f in s.stack if f.mapping == "[anon]"]
            names = {f.name for f in frames}
            check.that(frames and names == {name or ""} and took < 60,
                       f"perf map {mode}: {len(frames)} frames of JIT code, named {names}, {took:.1f} s")


def broken_copy(path, seed):
    """A program that runs, with everything that only tools read turned to noise: sections, symbols, debug information. Its
    build ID is its own, so that no cache takes it for the true one."""
    data = bytearray(open(check.workload("shares"), "rb").read())
    section_headers = int.from_bytes(data[0x28:0x30], "little")
    entry, count = int.from_bytes(data[0x3A:0x3C], "little"), int.from_bytes(data[0x3C:0x3E], "little")
    noise = random.Random(seed)
    for i in range(count):
        at = section_headers + i * entry
        kind, flags = (int.from_bytes(data[at + k : at + k + n], "little") for k, n in ((4, 4), (8, 8)))
        offset, size = (int.from_bytes(data[at + k : at + k + 8], "little") for k in (0x18, 0x20))
        if kind == 7 and size >= 36 and data[offset + 8] == 3:  # .note.gnu.build-id
            data[offset + 16 : offset + 32] = noise.randbytes(16)
        if kind in (1, 2, 3) and not flags & 2:  # not loaded: .debug_*, .symtab, .strtab
            for _ in range(size // 16 + 1 if size else 0):
                data[offset + noise.randrange(size)] = noise.randrange(256)
        if seed % 2:
            data[at + noise.randrange(entry)] = noise.randrange(256)
    open(path, "wb").write(data)
    os.chmod(path, 0o755)


def hostile_files():
    with check.scratch() as d:
        for seed in range(6):
            program, path = os.path.join(d, f"broken{seed}"), os.path.join(d, "x.pb.gz")
            broken_copy(program, seed)
            done = check.run(check.EMBERCTL, "record", "-o", path, "--", program, "60", fail_ok=True)
            p = Profile(path) if done.returncode == 0 else None
            mine = [s for s in p.samples if s.labels.get("exe") == program] if p else []
            check.that(len(mine) > 0, f"a file with noise in it is sampled: {done.stderr.strip()[-150:]}")
            where = {f.mapping for s in mine for f in s.stack}
            check.that(program in where, "and its frames are its own")


def killed_symbolizer():
    with check.scratch() as d:
        workload = subprocess.Popen([check.workload("shares"), "100000"], stdout=subprocess.DEVNULL)
        try:
            e = Daemon(d, "[Profile]\nInterval=3s\n")
            kills = 0
            end = time.monotonic() + 15
            while time.monotonic() < end:
                pid = e.status()["symbols"]["symbolizer_pid"]
                if pid > 0 and kills < 5:
                    os.kill(pid, signal.SIGKILL)
                    kills += 1
                time.sleep(0.05)
            e.wait(lambda: e.status()["windows"]["written"] >= 3, 60)
            check.that(kills > 0 and e.process.poll() is None, f"emberd outlives {kills} deaths of its symbolizer")
            status = e.status()
            check.that(status["windows"]["written"] >= 3 and status["windows"]["failed"] == 0, "and writes its windows")
            check.that(e.stop() == 0, "and ends well")
        finally:
            workload.kill()
            workload.wait()


def no_permission():
    user = pwd.getpwnam("nobody")
    with tempfile.TemporaryDirectory(prefix="ember-test-", dir="/tmp") as d:
        os.chmod(d, 0o755)  # a build may lie where only its owner may look
        for program in check.EMBERCTL, check.EMBERD, check.SYMBOLIZER:
            os.makedirs(os.path.join(d, program.parent.name))
            shutil.copy(program, os.path.join(d, program.parent.name))
        for program in ([f"{d}/ctl/emberctl", "record", "-d", "1", "-o", "/dev/null/x.pb.gz"],
                        [f"{d}/daemon/emberd", "--runtime-dir", f"{d}/x/y"]):
            done = subprocess.run(program, stderr=subprocess.PIPE, text=True, user=user.pw_uid, group=user.pw_gid,
                                  extra_groups=[], timeout=120)
            lines = done.stderr.strip().split("\n")
            check.that(done.returncode == 1 and len(lines) == 1 and ("root" in lines[0] or "denied" in lines[0]),
                       f"without permission: {done.stderr.strip()}")


configuration()
daemon()
targets()
perf_maps()
hostile_files()
killed_symbolizer()
no_permission()
check.finish()
