"""What the integration tests share: where the build is, running our programs, asking for one thing at a time."""
import collections
import glob
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

SOURCE = pathlib.Path(__file__).resolve().parents[2]
BUILD = pathlib.Path(os.environ.get("EMBER_BUILD", SOURCE / "build"))
EMBERD = BUILD / "daemon/emberd"
EMBERCTL = BUILD / "ctl/emberctl"
SYMBOLIZER = BUILD / "symbolizer/ember-symbolizer"

_failures = []


def workload(name):
    return str(BUILD / "tests/workloads" / f"workload-{name}")


def need_root():
    if os.geteuid() != 0:
        print("skipped: loading BPF programs needs root")
        sys.exit(77)


def need_tool(name):
    """A tool that tools/packages installs; in CI a missing one is a failure, not a skip."""
    if not shutil.which(name):
        _missing(name)


def library(pattern):
    """Where a library that tools/packages installs lies: of those that match, the one with the shortest path."""
    found = sorted(glob.glob(f"/usr/lib/*/{pattern}") + glob.glob(f"/usr/lib/{pattern}"), key=len)
    return found[0] if found else _missing(pattern)


def _missing(name):
    print(f"{name} is missing; tools/test installs it")
    sys.exit(1 if os.environ.get("CI") else 77)


def run(*args, timeout=600, fail_ok=False, **kwargs):
    done = subprocess.run([str(a) for a in args], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          timeout=timeout, **kwargs)
    if done.returncode != 0 and not fail_ok:
        print(f"{' '.join(map(str, args))}\nexit {done.returncode}\n{done.stdout}\n{done.stderr}")
        sys.exit(1)
    return done


def that(condition, text):
    """One thing that must hold; all are tried, finish() tells."""
    print(("ok      " if condition else "FAILED  ") + text, flush=True)
    if not condition:
        _failures.append(text)


def near(measured, expected, tolerance, text):
    that(abs(measured - expected) <= tolerance, f"{text}: {measured:.3f}, expected {expected:.3f} within {tolerance}")


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as f:
        return list(map(int, f.read().split()))


ProcStat = collections.namedtuple("ProcStat", "user_s system_s children_s start_s")


def proc_stat(pid):
    """Of a process: seconds in user and in system mode, those of its children as far as it waited for them, and when it started in
    seconds after boot. None: there is none."""
    try:
        text = pathlib.Path(f"/proc/{pid}/stat").read_text(errors="replace")
    except OSError:
        return None
    numbers = [None] * 2 + text.rpartition(")")[2].split()  # counted as proc(5) does, from 1; the name may hold blanks and brackets
    second = lambda *fields: sum(int(numbers[f - 1]) for f in fields) / os.sysconf("SC_CLK_TCK")
    return ProcStat(second(14), second(15), second(16, 17), second(22))


def breakpoints(pid, library="libc.so.6"):
    """Bytes of the library's code in which the process's memory differs from the file."""
    found = 0
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb", 0) as memory:
        for line in maps:
            fields = line.split()
            if fields[1].startswith("r-x") and library in fields[-1]:
                start, end = (int(x, 16) for x in fields[0].split("-"))
                with open(fields[-1], "rb") as file:
                    file.seek(int(fields[2], 16))
                    original = file.read(end - start)
                memory.seek(start)
                found += sum(a != b for a, b in zip(memory.read(len(original)), original))
    return found


def finish():
    sys.exit(1 if _failures else 0)


def scratch():
    return tempfile.TemporaryDirectory(prefix="ember-test-")
