#!/usr/bin/env python3
"""The first moments of programs whose code nobody has seen before: an emberd with an empty store records each one once,
from its first instruction, and at least 95 % of the stacks reach their root (the
symbolizer makes the rows meanwhile; without finishing stacks late nearly all are cut)."""
import os
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(__file__))
import check
from pprof import Profile, truncated

check.need_root()
check.need_tool("perl")
check.need_tool("g++")
SAMPLES = 150

SOURCE = "#include <map>\n#include <regex>\n#include <string>\nint main() { std::map<std::string, std::regex> m; return m.size(); }\n"
PROGRAMS = [
    ("python3", "python", [sys.executable, "-c", "import json, re\nfor i in range(150): json.loads(json.dumps(list(range(20000))))"]),
    ("perl", "perl", ["perl", "-e", "my %h; for my $i (1 .. 6000000) { $h{$i % 1009} .= chr(65 + $i % 26) }"]),
    ("cc1plus", "cc1plus", ["g++", "-O2", "-c", "-o", "/dev/null", "-x", "c++", "-"]),
]


def started(directory):
    with open(os.path.join(directory, "emberd.conf"), "w") as f:
        f.write("[Profile]\nSources=cpu\n")
    daemon = subprocess.Popen([check.EMBERD, "--config", os.path.join(directory, "emberd.conf"), "--store",
                               os.path.join(directory, "store"), "--runtime-dir", directory], stderr=subprocess.DEVNULL)
    socket = os.path.join(directory, "control.sock")
    for _ in range(600):
        if os.path.exists(socket):
            break
        time.sleep(0.1)
    return daemon, socket


def first_runs(d, name, exe, command):
    """As many emberds that have seen nothing as it takes for enough samples: a fast machine gives few of one run."""
    total = cut = turn = 0
    reasons = set()
    while total < SAMPLES and turn < 6:
        turn += 1
        own = os.path.join(d, f"{name}-{turn}")
        os.makedirs(os.path.join(own, "store"))
        daemon, socket = started(own)
        path = os.path.join(own, "first.pb.gz")
        subprocess.run([check.EMBERCTL, "record", "--source", socket, "-F", "199", "-o", path, "--", *command], input=SOURCE,
                       text=True, check=True, stdout=subprocess.DEVNULL, timeout=300)
        daemon.terminate()
        check.that(daemon.wait(timeout=60) == 0, f"{name}: emberd ended well")
        for s in Profile(path).samples:
            if exe in os.path.basename(str(s.labels.get("exe", ""))):
                total += s.values[0]
                if truncated(s):
                    cut += s.values[0]
                    reasons.add(" < ".join(f.name for f in s.stack[-4:]))
    check.that(total >= SAMPLES, f"{name}: {total} samples")
    check.that(cut <= 0.05 * total, f"{name}: {cut} of {total} stacks of its first runs are cut {reasons or ''}")


with check.scratch() as d:
    for program in PROGRAMS:
        first_runs(d, *program)
check.finish()
