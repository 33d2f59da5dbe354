#!/usr/bin/env python3
"""The systemd unit: systemd finds nothing wrong with it, its exposure stays low, and emberd works with the capabilities that
it grants and no others."""
import os
import re
import sys

sys.path.insert(0, os.path.dirname(__file__))
import check
from pprof import Profile

check.need_root()
check.need_tool("systemd-analyze")
check.need_tool("setpriv")

with check.scratch() as d:
    text = open(check.BUILD / "systemd/emberd.service").read()
    path = os.path.join(d, "emberd.service")
    open(path, "w").write(re.sub(r"^ExecStart=\S+", f"ExecStart={check.EMBERD}", text, flags=re.M))
    done = check.run("systemd-analyze", "verify", "--man=no", path, fail_ok=True)
    check.that(done.returncode == 0 and not done.stderr.strip(), f"systemd takes it: {done.stderr.strip()}")
    done = check.run("systemd-analyze", "security", "--offline=true", "--no-pager", path, fail_ok=True)
    found = re.search(r"exposure level for \S+: ([\d.]+)", done.stdout)
    check.that(found and float(found.group(1)) <= 4, f"exposure {found.group(1) if found else done.stderr}, at most 4")

    granted = re.search(r"^CapabilityBoundingSet=(.*)$", text, re.M).group(1).split()
    bounding = ",".join(["-all"] + ["+" + c.removeprefix("CAP_").lower() for c in granted])
    for name, command in ("spin_", (check.workload("shares"), "100")), ("read", ("dd", "if=/dev/zero", "of=/dev/null", "bs=1",
                                                                              "count=500000")):
        out = os.path.join(d, name + ".pb.gz")
        check.run("setpriv", f"--bounding-set={bounding}", "--inh-caps=-all", "--no-new-privs", check.EMBERCTL, "record", "-F",
                  "499", "-o", out, "--", *command)
        frames = [f for s in Profile(out).samples for f in s.stack]
        check.that(any(name in f.name for f in frames), f"{command[0]} is named with {' '.join(granted)}")
    kernel = [f.name for f in frames if f.mapping.startswith("[kernel")]
    check.that(kernel and "[unknown]" not in kernel, f"so are {len(kernel)} kernel frames")
check.finish()
