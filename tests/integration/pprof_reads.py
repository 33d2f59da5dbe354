#!/usr/bin/env python3
"""Strangers read what we write, and we read what strangers write: `go tool pprof` shows the same from our files as from their
sources, protoc decodes every byte of them, and a merge of ours is a merge of theirs."""
import gzip
import os
import pathlib
import re
import subprocess
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import check
import pprof

check.need_tool("go")
check.need_tool("protoc")
TOOL = check.BUILD / "bench/profile-merge"

GO = """package main
import ("crypto/sha256"; "os"; "runtime"; "runtime/pprof"; "time")
var kept [][]byte
func allocate(n int) { for i := 0; i < n; i++ { kept = append(kept, make([]byte, 600000+i)) } }
func spin(until time.Time) (s [32]byte) { for time.Now().Before(until) { s = sha256.Sum256(s[:]) }; return }
func main() {
	dir := os.Args[1]
	f, _ := os.Create(dir + "/cpu.pb.gz")
	pprof.StartCPUProfile(f)
	pprof.Do(bg(), pprof.Labels("request", "long"), func(ctx) { spin(time.Now().Add(400 * time.Millisecond)) })
	spin(time.Now().Add(200 * time.Millisecond))
	pprof.StopCPUProfile()
	f.Close()
	allocate(12)
	runtime.GC()
	for _, name := range []string{"heap", "allocs", "goroutine", "threadcreate"} {
		f, _ := os.Create(dir + "/" + name + ".pb.gz")
		pprof.Lookup(name).WriteTo(f, 0)
		f.Close()
	}
}
""".replace("bg()", "context.Background()").replace("func(ctx)", "func(context.Context)").replace(
    '("crypto', '("context"; "crypto')


def go_pprof(*args):
    """Its standard output without lines that name the file."""
    done = check.run("go", "tool", "pprof", *args, env={**os.environ, "PPROF_TMPDIR": "/nonexistent", "HOME": "/"})
    return [x for x in done.stdout.splitlines() if not x.startswith(("File:", "Generating"))]


def samples_of(path):
    """Every sample as -raw prints it, with names in place of numbers: text that does not depend on the order in a file."""
    lines = go_pprof("-raw", path)
    at = lines.index("Samples:") if "Samples:" in lines else next(i for i, x in enumerate(lines) if x.startswith("Samples"))
    end = lines.index("Locations")
    names, out, current = {}, [], []
    for line in lines[end + 1 : lines.index("Mappings")]:
        match = re.match(r"\s*(\d+): (.*)", line)
        if match:
            current = names[match[1]] = [re.sub(r"M=\d+ ", "", match[2])]
        else:
            current.append(line.strip())
    for line in lines[at + 2 : end]:
        match = re.match(r"\s*([-\d ]+): ([\d ]*)$", line)
        if match:
            stack = [text for i in match[2].split() for text in names[i]]
            out.append([match[1].split(), stack, []])
        else:
            out[-1][2].append(line.strip())
    return lines[:at], sorted(out)


def tops(path, types):
    """Without the file's own facts, which a merge of one has, too; comments may move."""
    out = []
    for i in range(len(types)):
        out.append([x for x in go_pprof("-top", "-nodecount=10000", f"-sample_index={i}", path) if "%" in x])
    return [sorted(x) for x in out]


def protoc(path):
    data = gzip.decompress(pathlib.Path(path).read_bytes())
    done = subprocess.run(["protoc", f"--proto_path={check.SOURCE}/proto", "--decode=pprof.Profile", "pprof.proto"],
                          input=data, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    return done.returncode, done.stdout.decode()


def compare(name, source, ours):
    a, b = pprof.Profile(source), pprof.Profile(ours)
    check.that(samples_of(source) == samples_of(ours), f"{name}: go tool pprof -raw shows the same samples")
    check.that(tops(source, a.sample_types) == tops(ours, a.sample_types), f"{name}: -top is the same for every value")
    check.that(a.sample_types == b.sample_types and a.period == b.period and a.time_ns == b.time_ns,
               f"{name}: types, period and time are the same")
    check.that(go_pprof("-peek", ".", ours)[-1:] != [], f"{name}: -peek reads it")
    code, text = protoc(ours)
    check.that(code == 0 and not re.search(r"^\s*\d+:", text, re.M), f"{name}: protoc knows every field")
    check.that(text.count("\nsample {") + text.startswith("sample {") == len(b.samples), f"{name}: protoc sees all samples")
    check.that(list(b.mappings) == list(range(1, len(b.mappings) + 1)) and b.strings[0] == "",
               f"{name}: mappings are numbered from 1, the first string is empty")


def merges(scratch, files):
    check.run(TOOL, "merge", "-o", f"{scratch}/ours.pb.gz", *files)
    check.run("go", "tool", "pprof", "-symbolize=none", "-proto", f"-output={scratch}/theirs.pb.gz", *files)
    ours, theirs = pprof.Profile(f"{scratch}/ours.pb.gz"), pprof.Profile(f"{scratch}/theirs.pb.gz")
    check.that(len(ours.sample_types) == 2, "merge: two sample types")
    for i in range(len(ours.sample_types)):
        check.that(ours.flat(i) == theirs.flat(i), f"merge: flat values equal those of go tool pprof -proto (value {i})")
        check.that(ours.cum(i) == theirs.cum(i), f"merge: cumulative values too (value {i})")
        key = lambda x: tuple(sorted(x.labels.items()))
        sums = [{}, {}]
        for out, profile in zip(sums, (ours, theirs)):
            for x in profile.samples:
                out[key(x)] = out.get(key(x), 0) + x.values[i]
        check.that(sums[0] == sums[1], f"merge: totals of every label set too (value {i})")
    check.that(ours.total(0) == sum(pprof.Profile(f).total(0) for f in files), "merge: the total is the sum")
    check.that(ours.ledger() == {"lost": 3.0 * len(files), "rate_hz": 100.0}, "merge: the ledger adds up, its rate stays")


with check.scratch() as scratch:
    pathlib.Path(f"{scratch}/main.go").write_text(GO)
    check.run("go", "run", f"{scratch}/main.go", scratch, env={**os.environ, "GO111MODULE": "off"}, timeout=300)
    sources = {n: f"{scratch}/{n}.pb.gz" for n in ("cpu", "heap", "allocs", "goroutine", "threadcreate")}
    check.run(TOOL, "generate", scratch, "3", "700")
    hours = [f"{scratch}/hour-{i:03}.pb.gz" for i in range(3)]
    sources["generated"] = hours[0]
    for name, source in sources.items():
        for suffix in (".pb.gz",):
            check.run(TOOL, "merge", "-o", f"{scratch}/ours-{name}{suffix}", source)
            compare(name, source, f"{scratch}/ours-{name}{suffix}")
    for suffix in (".pb", ".pb.zst"):
        check.run(TOOL, "merge", "-o", f"{scratch}/again{suffix}", sources["heap"])
        check.run(TOOL, "merge", "-o", f"{scratch}/again.pb.gz", f"{scratch}/again{suffix}")
        check.that(samples_of(f"{scratch}/again.pb.gz") == samples_of(sources["heap"]), f"{suffix} is read back")
    merges(scratch, hours)
check.finish()
