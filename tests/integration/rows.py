#!/usr/bin/env python3
"""Unwind rows against elfutils: every row of the libraries and programs of this machine, and of programs compiled here
with what those lack (a realigned stack, a signal frame of one's own, frame pointers, Rust), must say the same.

rows.py [FILE]... compares any file at hand."""
import os
import re
import shutil
import subprocess
import sys
import tempfile

BUILD = os.environ.get('EMBER_BUILD', 'build')
CHECK = os.path.join(BUILD, 'tests/integration/rows-check')
PROGRAMS = ['python3.11', 'python3', 'perl', 'sqlite3', 'openssl', 'node', 'redis-server', 'nginx', 'gdb', 'tar', 'bash', 'git']
UNKNOWN_MAX = 0.001
REFUSED_MAX = 0.0001  # by libdw, where run times are less strict: see rows-check.c

# A buffer of 32-byte vectors beside alloca() makes gcc find the CFA through a saved pointer (DRAP).
C_SOURCE = r'''
#include <alloca.h>
#include <string.h>
typedef int vector __attribute__((vector_size(32), aligned(32)));
extern void use(void *, ...);
__attribute__((noinline)) int realigned(int n, char *text)
{
    vector v[4];
    char *more = alloca(n);
    memset(v, n, sizeof(v));
    memset(more, 1, n);
    use(v, more, text);
    return v[1][n & 7] + more[n / 2];
}
__attribute__((noinline)) int large(int n) { char b[70000]; memset(b, n, sizeof(b)); use(b); return b[n]; }
void use(void *p, ...) { __asm__ volatile("" : : "r"(p) : "memory"); }
int main(int argc, char **argv) { return realigned(argc + 40, argv[0]) + large(argc); }
'''
RUST_SOURCE = '''
use std::collections::HashMap;
fn main() {
    let mut m: HashMap<String, Vec<u64>> = HashMap::new();
    for i in 0..1000u64 { m.entry(format!("{}", i % 7)).or_default().push(i * i); }
    let mut v: Vec<_> = m.into_iter().collect();
    v.sort();
    println!("{:?}", v.iter().map(|(k, x)| (k, x.iter().sum::<u64>())).collect::<Vec<_>>());
}
'''


def is_elf64(path):
    with open(path, 'rb') as f:
        return f.read(20)[:6] == b'\x7fELF\x02\x01'


def libraries(path):
    out = subprocess.run(['ldd', path], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True).stdout
    return re.findall(r'(/\S+)', out)


def compile_here(directory):
    made = []
    source = os.path.join(directory, 'realigned.c')
    with open(source, 'w') as f:
        f.write(C_SOURCE)
    for name, flags in {'o2': ['-O2', '-fomit-frame-pointer', '-mavx2'], 'o0': ['-O0', '-mavx2'],
                        'fp': ['-O2', '-fno-omit-frame-pointer', '-mavx2', '-static-pie'],
                        'lazy': ['-O2', '-Wl,-z,lazy', '-fcf-protection=full', '-no-pie']}.items():
        path = os.path.join(directory, name)
        subprocess.run(['cc', *flags, '-o', path, source], check=True)
        made.append(path)
    if shutil.which('rustc'):
        source, path = os.path.join(directory, 'main.rs'), os.path.join(directory, 'rust')
        with open(source, 'w') as f:
            f.write(RUST_SOURCE)
        if subprocess.run(['rustc', '-O', '-o', path, source], stderr=subprocess.DEVNULL).returncode == 0:
            made.append(path)
    return made


def files_at_hand():
    found = [shutil.which(p) for p in PROGRAMS]
    found.append(subprocess.run(['cc', '-print-prog-name=cc1plus'], stdout=subprocess.PIPE, text=True).stdout.strip())
    found = [os.path.realpath(p) for p in found if p and os.path.isabs(p) and os.path.exists(p)]
    found += [os.path.realpath(lib) for p in found if is_elf64(p) for lib in libraries(p)]
    return [p for p in dict.fromkeys(found) if is_elf64(p)]


def main():
    with tempfile.TemporaryDirectory(prefix='ember-rows-') as directory:
        files = sys.argv[1:] or compile_here(directory) + files_at_hand()
        done = subprocess.run([CHECK, *files], stdout=subprocess.PIPE, text=True)
    print(done.stdout, end='')
    lines = re.findall(r'^(\S+): .* (\d+) rows compared.*unknown (\d+), rbp lost (\d+), refused (\d+), different (\d+)$', done.stdout, re.M)
    rows, unknown, lost, refused, different = (sum(int(line[i]) for line in lines) for i in range(1, 6))
    empty = len(re.findall(r': No data available$', done.stdout, re.M))
    print(f'{len(lines)} files, {rows} rows compared, {different} different, {refused} refused by libdw, {lost} without rbp, {unknown} unknown ({100 * unknown / max(rows, 1):.2f} %)')
    if done.returncode != 0 or len(lines) + empty != len(files) or unknown + lost > rows * UNKNOWN_MAX or refused > rows * REFUSED_MAX:
        print('FAILED')
        return 1
    return 0


sys.exit(main())
