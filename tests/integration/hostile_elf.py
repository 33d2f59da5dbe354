#!/usr/bin/env python3
"""Garbage, truncated and bit-flipped ELF files against the real child through the real client. Where a file ends the
child, it is kept in tests/fuzz/corpus by hand once the cause is mended: EMBER_HOSTILE_KEEP=DIRECTORY says where to find it."""
import os
import subprocess
import sys
import tempfile

BUILD = os.environ.get('EMBER_BUILD', 'build')
ROUNDS = os.environ.get('EMBER_HOSTILE_ROUNDS', '400')
SOURCE = r'''
#include <stdio.h>
#include <stdlib.h>
static inline __attribute__((always_inline)) int twice(int x) { return 2 * x; }
__attribute__((noinline)) int sum(int n) { int s = 0; for (int i = 0; i < n; i++) s += twice(i) ^ s << 3; return s; }
int main(int argc, char **argv) { char b[64]; snprintf(b, sizeof(b), "%d", sum(argc > 1 ? atoi(argv[1]) : 9)); return b[0]; }
'''


def main():
    with tempfile.TemporaryDirectory(prefix='ember-hostile-') as directory:
        seeds = []
        source = os.path.join(directory, 'seed.c')
        with open(source, 'w') as f:
            f.write(SOURCE)
        for name, flags in {'debug': ['-g', '-O2'], 'dwarf4': ['-gdwarf-4', '-O1', '-gz=none'], 'static': ['-O2', '-static'],
                            'stripped': ['-O2', '-s'], 'compressed': ['-g', '-O2', '-gz=zlib']}.items():
            path = os.path.join(directory, name)
            subprocess.run(['cc', *flags, '-o', path, source], check=True)
            seeds.append(path)
        keep = os.environ.get('EMBER_HOSTILE_KEEP', directory)
        done = subprocess.run([os.path.join(BUILD, 'tests/integration/hostile-elf'),
                               os.path.join(BUILD, 'symbolizer/ember-symbolizer'), ROUNDS, keep, *seeds])
    return done.returncode


sys.exit(main())
