#!/usr/bin/env python3
"""Records tests/golden/stacks/*.stack anew from real programs: C, C++, Rust and Go, a signal handler, a PLT entry, the vDSO,
deep recursion. record.py [NAME...]; review the result as a diff. Needs gcc, g++, and for theirs rustc and go."""
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
BUILD = pathlib.Path(os.environ.get("EMBER_BUILD", HERE.parents[1] / "build"))
RECORD = BUILD / "tests/golden/record-stack"

C = """#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#define F __attribute__((noinline, noclone)) int
static volatile int sink;
F spin(int n) { for (int i = 0; i < 100000; i++) sink += n; __asm__ volatile("" ::: "memory"); return sink; }
F deep(int n) { int r = n ? deep(n - 1) : spin(n); __asm__ volatile("" : "+r"(r)); return r + 1; }
F aligned(int n) { _Alignas(64) volatile char b[n + 64]; b[n] = 1; int r = spin(b[n]); __asm__ volatile("" : "+r"(r)); return r + b[0]; }
static int compare(const void *a, const void *b) { spin(1); return *(const int *)a - *(const int *)b; }
F sorts(void) { int v[9] = { 5, 3, 9, 1, 7, 2, 8, 4, 6 }; qsort(v, 9, sizeof(int), compare); return v[0]; }
static void handler(int s) { for (;;) spin(s); }
F signalled(void) { signal(SIGUSR1, handler); raise(SIGUSR1); return sink; }
F clocks(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return (int)t.tv_nsec; }
F calls(void) { return atoi("12") + (int)strtol("77", 0, 10) + sink; }
int main(int argc, char **argv)
{
	for (;;)
		sink += !strcmp(argv[1], "deep") ? deep(60) : !strcmp(argv[1], "aligned") ? aligned(argc * 100)
		      : !strcmp(argv[1], "sorts") ? sorts() : !strcmp(argv[1], "signalled") ? signalled()
		      : !strcmp(argv[1], "clocks") ? clocks() : calls();
}
"""
CXX = """#include <algorithm>
#include <functional>
#include <map>
#include <string>
#include <vector>
static volatile int sink;
__attribute__((noinline)) bool less(const std::string &a, const std::string &b) { for (int i = 0; i < 3000; i++) sink += i; return a < b; }
struct base { virtual int run(int) = 0; };
struct derived : base { int run(int n) override { std::vector<std::string> v; for (int i = 0; i < 40; i++) v.push_back(std::to_string(i * 7 % 11));
  std::sort(v.begin(), v.end(), less); return n + (int)v.size(); } };
int main() { derived d; std::function<int(int)> f = [&](int n) { return d.run(n); }; for (;;) sink += f(1); }
"""
RUST = """use std::collections::BTreeMap;
#[inline(never)] fn spin(n: &u64) -> u64 { let mut x = *n; for _ in 0..20000 { x = std::hint::black_box(x.wrapping_mul(31)); } x }
#[inline(never)] fn fold(m: &BTreeMap<u64, u64>) -> u64 { m.iter().map(|(k, v)| spin(k) ^ v).fold(0, |a, b| a ^ b) }
fn main() { let m: BTreeMap<u64, u64> = (0..100).map(|i| (i, i)).collect(); loop { std::hint::black_box(fold(&m)); } }
"""
GO = """package main
import "runtime"
var sink int
func init() { runtime.LockOSThread() } // the thread that is traced
//go:noinline
func tick(n int) { sink += n }
//go:noinline
func spin(n int) int { for i := 0; i < 100000; i++ { tick(n) }; return sink }
//go:noinline
func middle(n int) int { return spin(n) + 1 }
//go:noinline
func outer(f func(int) int, n int) int { return f(n) + 1 }
func main() { for { sink += outer(middle, 1) } }
"""


def compile_all(d):
    """name -> (command, where to stop)"""
    def source(name, text):
        path = os.path.join(d, name)
        pathlib.Path(path).write_text(text)
        return path
    binary = lambda name: os.path.join(d, name)
    run = lambda *args, **kw: subprocess.run(args, check=True, **kw)
    run("gcc", "-O2", "-fomit-frame-pointer", "-Wl,-z,lazy", "-fcf-protection=none", "-fno-builtin", "-o", binary("c"), source("c.c", C))
    run("g++", "-O2", "-fomit-frame-pointer", "-o", binary("cxx"), source("cxx.cpp", CXX))
    yield "c-recursion", [binary("c"), "deep"], "spin"
    yield "c-realigned-stack", [binary("c"), "aligned"], "spin"
    yield "c-callback-of-libc", [binary("c"), "sorts"], "compare"
    yield "c-signal", [binary("c"), "signalled"], "spin"
    yield "c-plt", [binary("c"), "calls"], "plt"
    yield "c-vdso", [binary("c"), "clocks"], "vdso"
    yield "cxx", [binary("cxx")], None
    if shutil.which("rustc"):
        run("rustc", "-O", "-o", binary("rust"), source("r.rs", RUST))
        yield "rust", [binary("rust")], None
    if shutil.which("go"):
        run("go", "build", "-o", binary("go"), source("g.go", GO), env={**os.environ, "GO111MODULE": "off"})
        yield "go", [binary("go")], "main.spin"


with tempfile.TemporaryDirectory(prefix="golden-") as d:
    for name, command, where in compile_all(d):
        if sys.argv[1:] and name not in sys.argv[1:]:
            continue
        program = subprocess.Popen(command)
        time.sleep(0.2)
        text = subprocess.run([RECORD, str(program.pid), *([where] if where else [])], stdout=subprocess.PIPE, text=True, check=True).stdout
        program.kill()
        program.wait()
        (HERE / "stacks" / f"{name}.stack").write_text(text)
        print(f"{name}: {text.count('frame ')} frames")
