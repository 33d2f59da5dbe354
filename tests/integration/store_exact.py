#!/usr/bin/env python3
"""Merging is exact: two hours of realistic windows (bench/store-generate.c; some left as windows, some merged into an hour, then
into a day) give for every function and every label, to the unit, what go tool pprof makes of the same windows one by one.
bench/store --only exact does it with the 1,440 windows of a day."""
import collections
import pathlib
import subprocess

import check
import pprof

START = 1780272000  # 2026-06-01 00:00:00 UTC
MINUTES = 75
GENERATE = check.BUILD / "bench/store-generate"


def totals(path):
    """Of every function, flat and cumulative, and of every label but tid, for each sample type."""
    found = collections.Counter()
    for sample in pprof.Profile(path).samples:
        for i, value in enumerate(sample.values):
            found["flat", i, sample.stack[0].name] += value
            for name in {frame.name for frame in sample.stack}:
                found["cum", i, name] += value
            for key, label in sample.labels.items():
                if key != "tid":
                    found["label", i, key, str(label)] += value
    return found


def main():
    check.need_tool("go")
    with check.scratch() as name:
        directory = pathlib.Path(name)
        store, out, theirs = directory / "store", directory / "ours.pb.gz", directory / "theirs.pb.gz"
        check.run(GENERATE, store, START, MINUTES, "cpu", timeout=300)
        plain = []
        for i, path in enumerate(sorted(store.glob("cpu/*/*.pb.zst"))):
            plain.append(directory / f"{i:03}.pb")
            subprocess.run(["zstd", "-dqf", path, "-o", plain[-1]], check=True)
        check.that(len(plain) == MINUTES, f"{MINUTES} windows")
        check.run("go", "tool", "pprof", "-symbolize=none", "-proto", "-output", theirs, *plain, timeout=300)
        truth = totals(theirs)
        check.that(len(truth) > 10000, f"{len(truth)} totals to compare")
        for text, now in (("as windows", 0), ("one hour merged", START + 3600 + 600), ("as a day", START + 30 * 86400)):
            check.run(GENERATE, "compact", store, now, timeout=300) if now else None
            check.run(check.EMBERCTL, "query", "--type", "cpu", "--source", store, "--from", f"@{START}", "--to",
                      f"@{START + 86400}", "-o", out)
            ours = totals(out)
            wrong = [k for k in ours.keys() | truth.keys() if ours[k] != truth[k]]
            files = len(list(store.glob("cpu/*/*.pb.zst")))
            check.that(not wrong, f"{text} ({files} files): {len(ours)} totals, {len(wrong)} differ {wrong[:3]}")
    check.finish()


main()
