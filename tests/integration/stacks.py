#!/usr/bin/env python3
"""Programs as people run them, built without frame pointers: at least 99 % of their user stacks reach the root once their
rows are known. Go and Rust where a compiler is at hand."""
import os
import shutil
import sys

sys.path.insert(0, os.path.dirname(__file__))
import check
from pprof import Profile, truncated

check.need_root()
check.need_tool("perl")
check.need_tool("g++")
SAMPLES = 300

PERL = """my $e = time + 4; my $t = 0; sub f { my $n = shift; return $n < 2 ? 1 : f($n - 1) + f($n - 2) }
while (time < $e) { my %h; $h{$_ % 101} .= chr(65 + $_ % 26) for 1 .. 5000;
  for my $k (sort { $a <=> $b } keys %h) { $t++ if $h{$k} =~ /A.*(B|C)+/ } $t += f(14) }"""
PYTHON = """import json, re, time
e = time.time() + 4
def f(n): return 1 if n < 2 else f(n - 1) + f(n - 2)
while time.time() < e:
    s = json.dumps({str(i * 7919 % 1009): [i] * 3 for i in range(3000)}, indent=1)
    re.findall(r'"(1|2)\\d+"', s); json.loads(s); f(15)"""
CXX = """#include <algorithm>
#include <ctime>
#include <map>
#include <regex>
#include <string>
#include <vector>
int main()
{
	size_t t = 0;
	for (time_t e = time(0) + 4; time(0) < e;) {
		std::map<std::string, int> m;
		for (int i = 0; i < 20000; i++) m[std::to_string(i * 7919 % 10007)] += i;
		std::vector<std::string> k;
		for (auto &p : m) k.push_back(p.first + "x");
		std::sort(k.begin(), k.end(), [](auto &a, auto &b) { return a.back() < b.back() || a < b; });
		std::regex r("(1|2)+9.*x");
		for (auto &s : k) t += std::regex_match(s, r);
		try { throw std::string("x"); } catch (std::string &) { t++; }
	}
	return t == 0;
}
"""
GO = """package main
import ("sort"; "strconv"; "time"; "regexp")
func work(n int) int { m := map[string]int{}; for i := 0; i < n; i++ { m[strconv.Itoa(i*7919%1009)] += i }
	k := []string{}; for s := range m { k = append(k, s) }; sort.Strings(k)
	r := regexp.MustCompile("(1|2)+9.*"); c := 0; for _, s := range k { if r.MatchString(s) { c++ } }; return c }
func main() { e := time.Now().Add(4 * time.Second); ch := make(chan int)
	for g := 0; g < 3; g++ { go func() { t := 0; for time.Now().Before(e) { t += work(3000) }; ch <- t }() }
	for g := 0; g < 3; g++ { <-ch } }
"""
RUST = """use std::collections::HashMap; use std::time::*;
fn fib(n: u32) -> u64 { if n < 2 { 1 } else { fib(n - 1) + fib(n - 2) } }
fn main() { let s = Instant::now(); let mut t = 0u64;
  while s.elapsed().as_secs() < 4 { let mut m: HashMap<String, u64> = HashMap::new();
    for i in 0..5000u64 { *m.entry(format!("k{}", i * 7919 % 1009)).or_insert(0) += i; }
    let mut v: Vec<_> = m.iter().collect(); v.sort_by(|a, b| b.1.cmp(a.1)); t += v[0].1 + fib(20); }
  println!("{}", t); }
"""


def write(directory, name, text):
    path = os.path.join(directory, name)
    with open(path, "w") as f:
        f.write(text)
    return path


def programs(d):
    """(name, end of the exe label, command)"""
    binary = os.path.join(d, "cxx-program")
    source = write(d, "program.cpp", CXX)
    check.run("g++", "-O2", "-fomit-frame-pointer", "-o", binary, source)
    yield "C++ at -O2", "cxx-program", [binary]
    yield "perl", "perl", ["perl", "-e", PERL]
    yield "python3", "python", [sys.executable, "-c", PYTHON]
    compile_it = f"g++ -O2 -c -o /dev/null {source}"
    yield "cc1plus", "cc1plus", ["sh", "-c", f"{compile_it}; {compile_it}; {compile_it}"]
    yield "tar", "tar", ["sh", "-c", "for i in 1 2 3 4 5 6; do tar cf - /usr/include /usr/share | head -c 300000000 >/dev/null; done"]
    if shutil.which("go"):
        binary = os.path.join(d, "go-program")
        check.run("go", "build", "-o", binary, write(d, "program.go", GO), env={**os.environ, "GO111MODULE": "off"})
        yield "Go", "go-program", [binary]
    if shutil.which("rustc"):
        binary = os.path.join(d, "rust-program")
        check.run("rustc", "-O", "-o", binary, write(d, "program.rs", RUST))
        yield "Rust", "rust-program", [binary]


def complete(d, name, exe, command):
    path = os.path.join(d, "stacks.pb.gz")
    total = good = turn = 0
    reasons = {}
    check.run(check.EMBERCTL, "record", "-F", 199, "-o", path, "--", *command)  # makes the rows and is not judged
    while total < SAMPLES and turn < 8:  # a busy machine gives fewer a run
        turn += 1
        check.run(check.EMBERCTL, "record", "-F", 199, "-o", path, "--", *command)
        for s in Profile(path).samples:
            if exe not in os.path.basename(str(s.labels.get("exe", ""))):
                continue
            total += s.values[0]
            if truncated(s):
                reasons[s.stack[-1].name] = reasons.get(s.stack[-1].name, 0) + s.values[0]
            else:
                good += s.values[0]
    check.that(total >= SAMPLES, f"{name}: {total} samples")
    check.that(good >= 0.99 * total, f"{name}: {good} of {total} stacks reach their root {reasons or ''}")


with check.scratch() as d:
    for name, exe, command in programs(d):
        complete(d, name, exe, command)
check.finish()
