#!/usr/bin/env python3
"""Symbols against llvm-symbolizer: programs in several languages are compiled here, random addresses of each are looked
up by both, and name, inline stack, file and line must agree for 99 of 100.

symbols.py [--dump PATH] [FILE [DEBUG-FILE]]... compares any file at hand."""
import json
import os
import random
import re
import shutil
import struct
import subprocess
import sys
import tempfile

BUILD = os.environ.get('EMBER_BUILD', 'build')
DUMP = os.path.join(BUILD, 'tests/integration/symbols-dump')
REFERENCE = 'llvm-symbolizer-14'
ADDRESSES = int(os.environ.get('EMBER_SYMBOLS_ADDRESSES', '2000'))
WANTED = 0.99

C_SOURCE = '''
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
static inline __attribute__((always_inline)) unsigned mix(unsigned x) { x ^= x >> 13; x *= 0x5bd1e995; return x ^ (x >> 15); }
static inline __attribute__((always_inline)) unsigned twice(unsigned x) { return mix(mix(x) + 1); }
static unsigned sum(const unsigned *v, size_t n) { unsigned s = 0; for (size_t i = 0; i < n; i++) s += twice(v[i]); return s; }
static int compare(const void *a, const void *b) { unsigned x = *(const unsigned *)a, y = *(const unsigned *)b; return x < y ? -1 : x > y; }
__attribute__((noinline)) unsigned outer(unsigned n)
{
#ifndef __clang__
	unsigned inner(unsigned k) { return k < 2 ? n : inner(k - 1) + twice(k); }
	unsigned r = inner(n & 7);
#else
	unsigned r = twice(n);
#endif
	unsigned *v = calloc(n, sizeof(*v));
	for (unsigned i = 0; i < n; i++)
		v[i] = mix(i * r);
	qsort(v, n, sizeof(*v), compare);
	r += sum(v, n);
	free(v);
	return r;
}
int main(int argc, char **argv)
{
	char text[64];
	snprintf(text, sizeof(text), "%u", outer(argc > 1 ? (unsigned)atoi(argv[1]) : 1000));
	puts(text);
	return strlen(text) == 0;
}
'''
CXX_SOURCE = '''
#include <algorithm>
#include <functional>
#include <iostream>
#include <map>
#include <regex>
#include <string>
#include <vector>
namespace shop {
template <class T> struct Box { T value; Box(T v) : value(v) {} virtual ~Box() = default; virtual T get() const { return value; } };
template <class T> struct Twice : Box<T> { using Box<T>::Box; T get() const override { return this->value + this->value; } };
template <class K, class V> V total(const std::map<K, V> &m) { V s{}; for (auto &[k, v] : m) s += v; return s; }
}
static long apply(const std::function<long(long)> &f, long n) { long s = 0; for (long i = 0; i < n; i++) s += f(i); return s; }
int main(int argc, char **)
{
	std::vector<std::string> words;
	for (int i = 0; i < 100 * argc; i++)
		words.push_back(std::to_string(i * 7919 % 1000));
	std::sort(words.begin(), words.end(), [](const std::string &a, const std::string &b) { return a.size() < b.size() || (a.size() == b.size() && a > b); });
	std::map<std::string, long> m;
	for (auto &w : words)
		m[w] += std::regex_match(w, std::regex("[0-9]*7")) ? 2 : 1;
	shop::Box<long> *b = argc > 1 ? new shop::Box<long>(3) : new shop::Twice<long>(4);
	std::cout << shop::total(m) + apply([&](long i) { return i * b->get(); }, 10) << std::endl;
	delete b;
}
'''
RUST_SOURCE = '''
use std::collections::{BTreeMap, HashMap};
#[derive(Debug, Clone)]
struct Item { name: String, price: f64 }
trait Priced { fn total(&self) -> f64; }
impl Priced for Vec<Item> { fn total(&self) -> f64 { self.iter().map(|i| i.price).sum() } }
#[inline(never)]
fn group<K: std::hash::Hash + Eq + Clone, F: Fn(&Item) -> K>(items: &[Item], key: F) -> HashMap<K, Vec<Item>> {
    let mut m: HashMap<K, Vec<Item>> = HashMap::new();
    for i in items { m.entry(key(i)).or_default().push(i.clone()); }
    m
}
fn main() {
    let items: Vec<Item> = (0..1000).map(|i| Item { name: format!("item {}", i % 37), price: i as f64 / 3.0 }).collect();
    let groups = group(&items, |i| i.name.clone());
    let sorted: BTreeMap<_, _> = groups.iter().map(|(k, v)| (k.clone(), v.total())).collect();
    let mut list: Vec<_> = sorted.into_iter().collect();
    list.sort_by(|a, b| b.1.partial_cmp(&a.1).unwrap());
    println!("{:?}", &list[..3]);
}
'''
GO_SOURCE = '''
package main

import (
	"fmt"
	"sort"
	"strings"
)

type item struct {
	name  string
	price float64
}

func total(items []item) (s float64) {
	for _, i := range items {
		s += i.price
	}
	return
}

func main() {
	var items []item
	for i := 0; i < 1000; i++ {
		items = append(items, item{fmt.Sprintf("item %d", i%37), float64(i) / 3})
	}
	sort.Slice(items, func(a, b int) bool { return strings.Compare(items[a].name, items[b].name) < 0 })
	fmt.Println(total(items), items[0])
}
'''


class Elf:
    """What is needed of an ELF file: where its code is, and file offset to virtual address."""

    def __init__(self, path):
        with open(path, 'rb') as f:
            data = f.read()
        phoff, shoff = struct.unpack_from('<QQ', data, 32)
        phentsize, phnum, shentsize, shnum, shstrndx = struct.unpack_from('<HHHHH', data, 54)
        self.loads = []
        for i in range(phnum):
            kind, _, offset, vaddr, _, filesz = struct.unpack_from('<IIQQQQ', data, phoff + i * phentsize)
            if kind == 1:
                self.loads.append((offset, vaddr, filesz))
        headers = [struct.unpack_from('<IIQQQQ', data, shoff + i * shentsize) for i in range(shnum)]
        names = headers[shstrndx][4]
        self.text = []
        for name, kind, flags, addr, offset, size in headers:
            label = data[names + name:data.index(b'\0', names + name)].decode()
            if kind == 1 and flags & 4 and not label.startswith('.plt'):
                self.text.append((addr, size))

    def offset(self, vaddr):
        for offset, start, size in self.loads:
            if start <= vaddr < start + size:
                return vaddr - start + offset
        raise ValueError(hex(vaddr))

    def addresses(self, n):
        """Random addresses of code, the same in each run."""
        source = random.Random(7)
        spans = [(a, s) for a, s in self.text if s > 0]
        weights = [s for _, s in spans]
        picks = {a + source.randrange(s) for a, s in source.choices(spans, weights, k=n)}
        return sorted(picks)


def ours(path, elf, vaddrs, debug):
    by_offset = {elf.offset(v): v for v in vaddrs}
    text = ''.join('%x\n' % o for o in by_offset)
    run = subprocess.run([DUMP, 'elf', path] + ([debug] if debug else []), input=text, capture_output=True, text=True)
    if run.returncode != 0:
        raise SystemExit('%s: symbols-dump failed: %s' % (path, run.stderr))
    frames = {}
    for line in run.stdout.splitlines():
        query, name, system_name, filename, number, column, _, _, _ = line.split('\t')
        frames.setdefault(by_offset[int(query, 16)], []).append((system_name, filename, int(number), int(column)))
    return frames, run.stderr.strip()


def theirs(path, vaddrs):
    text = ''.join('0x%x\n' % v for v in vaddrs)
    run = subprocess.run([REFERENCE, '--obj=' + path, '--inlines', '--functions=linkage', '--no-demangle',
                          '--output-style=JSON'], input=text, capture_output=True, text=True, check=True)
    frames = {}
    for line in run.stdout.splitlines():
        answer = json.loads(line)
        for item in answer if isinstance(answer, list) else [answer]:
            frames[int(item['Address'], 16)] = [
                (s['FunctionName'], s['FileName'], s['Line'], s['Column']) for s in item.get('Symbol', [])]
    return frames


def aliases(path):
    """Names that share an address."""
    run = subprocess.run(['nm', path], capture_output=True, text=True)
    names = {}
    for line in run.stdout.splitlines():
        m = re.match(r'([0-9a-f]+) \S (\S+)', line)
        if m:
            names.setdefault(m.group(2).split('@')[0], set()).add(m.group(1))
    return names


def same_name(a, b, names, is_outermost):
    if a == b:
        return True
    a, b = a.split('@')[0], b.split('@')[0]

    def base(s):
        return re.sub(r'(\.(part|isra|constprop|cold|llvm|lto_priv|localalias|abi0)(\.\d+)?)+$', '', s)

    if base(a) == base(b) or re.sub(r'\.\d+$', '', a) == re.sub(r'\.\d+$', '', b):
        return True
    # The reference names the outermost function by the symbol table: any name of that place is as good.
    return is_outermost and bool(names.get(a, set()) & names.get(b, set()))


def same_file(a, b):
    return os.path.basename(a) == os.path.basename(b)


def agree(mine, reference, names):
    if not reference or reference[0][0] in ('', '??'):
        return True  # nothing known to compare with
    if len(mine) != len(reference):
        return False
    for i, (m, r) in enumerate(zip(mine, reference)):
        if not same_name(m[0], r[0], names, i == len(mine) - 1):
            return False
        # Without a line the reference shows the symbol table's file, which we do not.
        if r[2] and (m[2] != r[2] or not same_file(m[1], r[1])):
            return False
    return True


def compare(label, path, debug=None, full=None, verbose=0):
    """full: the file that the reference reads, where path is stripped."""
    elf = Elf(path)
    vaddrs = elf.addresses(ADDRESSES)
    mine, cost = ours(path, elf, vaddrs, debug)
    reference = theirs(full or debug or path, vaddrs)
    names = aliases(debug or full or path)
    good = bad = inlined = 0
    for v in vaddrs:
        inlined += len(reference.get(v, [])) > 1
        if agree(mine.get(v, []), reference.get(v, []), names):
            good += 1
            continue
        bad += 1
        if bad <= verbose:
            print('# %x\n#   ours   %s\n#   theirs %s' % (v, mine.get(v), reference.get(v)))
    share = good / (good + bad)
    print('%-28s %6d addresses, %5d with inlined calls, %6.2f %% agree; %s' % (label, len(vaddrs), inlined, share * 100, cost))
    return share


def compile_all(directory):
    """Yields (label, path, debug file, file for the reference)."""
    def write(name, text):
        path = os.path.join(directory, name)
        with open(path, 'w') as f:
            f.write(text)
        return path

    def run(*command, **env):
        subprocess.run(command, check=True, cwd=directory, env={**os.environ, **env})

    def target(name):
        return os.path.join(directory, name)

    c, cxx, rust, go = write('work.c', C_SOURCE), write('work.cc', CXX_SOURCE), write('work.rs', RUST_SOURCE), write('work.go', GO_SOURCE)
    for version in ('4', '5'):
        run('gcc', '-O2', '-g', '-gdwarf-' + version, '-o', target('c' + version), c)
        yield 'C, DWARF ' + version, target('c' + version), None, None
        run('g++', '-std=c++17', '-O2', '-g', '-gdwarf-' + version, '-o', target('cxx' + version), cxx)
        yield 'C++, DWARF ' + version, target('cxx' + version), None, None
        run('clang-14', '-O2', '-g', '-gdwarf-' + version, '-o', target('clang' + version), c)
        yield 'C by clang, DWARF ' + version, target('clang' + version), None, None
    run('g++', '-std=c++17', '-O2', '-g', '-gz=zlib', '-ffunction-sections', '-Wl,--gc-sections', '-o', target('cxxz'), cxx)
    yield 'C++, compressed sections', target('cxxz'), None, None
    run('g++', '-std=c++17', '-O2', '-g', '-flto', '-o', target('cxxlto'), cxx)
    yield 'C++, link-time optimised', target('cxxlto'), None, None
    shutil.copy(target('cxx5'), target('stripped'))
    run('objcopy', '--only-keep-debug', target('cxx5'), target('cxx5.debug'))
    run('strip', target('stripped'))
    yield 'C++, separate debug file', target('stripped'), target('cxx5.debug'), target('cxx5')
    if shutil.which('rustc'):
        for level in ('line-tables-only', '2'):
            run('rustc', '-O', '-C', 'debuginfo=' + level, '-o', target('rust' + level), rust)
            yield 'Rust, debuginfo ' + level, target('rust' + level), None, None
    else:
        print('Rust left out: no rustc')
    if not shutil.which('go'):
        print('Go left out: no go')
    else:
        run('go', 'build', '-o', target('go'), go, GOCACHE=target('gocache'), GOFLAGS='-mod=mod', HOME=directory)
        yield 'Go', target('go'), None, None


def main():
    global DUMP
    arguments = sys.argv[1:]
    if arguments[:1] == ['--dump']:
        DUMP = arguments[1]
        arguments = arguments[2:]
    if not shutil.which(REFERENCE):
        print('skipped: no ' + REFERENCE)
        return 77
    if arguments:
        compare(os.path.basename(arguments[0]), *arguments[:3], verbose=10)
        return 0
    failures = []
    with tempfile.TemporaryDirectory(prefix='ember-symbols-') as directory:
        for label, path, debug, full in compile_all(directory):
            if compare(label, path, debug, full, verbose=3) < WANTED:
                failures.append(label)
    for label in failures:
        print('FAIL: %s: under %g %%' % (label, WANTED * 100))
    return 1 if failures else 0


if __name__ == '__main__':
    sys.exit(main())
