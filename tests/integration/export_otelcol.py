#!/usr/bin/env python3
"""The Collector's own OTLP receiver takes and decodes what we send, over gRPC and HTTP: what it holds afterwards is the pprof
file of the same window."""
import test_venv  # noqa: F401  (enters BUILD/venv)

import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter

import otlp_rules
import pprof
from export_lib import BUILD, SENT, TYPES, Child, config, expect, free_port, window, write
from receivers import otlp

SOURCE = os.path.join(os.path.dirname(os.path.abspath(__file__)), "otelcol")
ALL = ["comm", "thread", "pid", "tid", "cgroup"]


def build():
    """Kept in BUILD: the first time takes minutes."""
    program = os.path.join(os.path.abspath(BUILD), "otelcol", "otelcol")
    sources = [os.path.join(SOURCE, f) for f in ("main.go", "go.mod", "go.sum")]
    if os.path.exists(program) and all(os.path.getmtime(program) >= os.path.getmtime(f) for f in sources):
        return program
    os.makedirs(os.path.dirname(program), exist_ok=True)
    r = subprocess.call(["go", "build", "-p", "2", "-o", program, "."], cwd=SOURCE)
    expect(r == 0, "go build of the Collector's receiver")
    return program


def main():
    if not shutil.which("go"):
        print("there is no go here to build the Collector's receiver with")
        sys.exit(1 if os.environ.get("CI") else 77)
    start = time.time()
    program = build()
    with tempfile.TemporaryDirectory() as directory:
        grpc_port, http_port = free_port(), free_port()
        collector = subprocess.Popen([program, f"127.0.0.1:{grpc_port}", f"127.0.0.1:{http_port}", directory],
                                     stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        expect(collector.stdout.readline().strip() == "ready", "the Collector did not start")
        count = 0
        for protocol, port in (("otlp-grpc", grpc_port), ("otlp-http", http_port)):
            for i, kind in enumerate(TYPES):
                for compression in ("gzip", "zstd", "none"):
                    path = write(directory, "w.pb.gz", window(200, kind, seed=i))
                    with Child(config(protocol, f"http://127.0.0.1:{port}", compression=compression, attributes=ALL)) as c:
                        reply = c.send(path)
                    what = f"{protocol} {kind} {compression}"
                    expect(reply.outcome == SENT and not reply.error, f"{what}: {reply}")
                    count += 1
                    # What the Collector's data model says it got.
                    with open(os.path.join(directory, f"{count:06d}.otlp"), "rb") as f:
                        request = otlp(f.read())
                    otlp_rules.check_rules(request, is_marshalled_again=True)
                    got, want = otlp_rules.contents(request), otlp_rules.contents_of_pprof(pprof.Profile(path))
                    if kind == "cpu":
                        period = pprof.Profile(path).period
                        got["cpu", "nanoseconds"] = Counter(
                            {k: v * period for k, v in got["samples", "count"].items()})
                    expect(got == want, f"{what}: the Collector decoded something else")
        collector.stdin.close()
        collector.wait(timeout=20)
    print(f"the Collector's otlpreceiver took {count} requests and holds what the pprof files say, {time.time() - start:.0f} s")


main()
