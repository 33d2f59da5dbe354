#!/usr/bin/env python3
"""Separate debug information as distributions and people lay it out: by build ID, by debug link beside the file, in .debug/, and
by path below the debug directory; a file whose CRC or build ID is another one's is not believed, and does not hide the right one."""
import os
import shutil
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(__file__))
import check
from emberd import Daemon
from pprof import Profile

check.need_root()
check.need_tool("gcc")
check.need_tool("objcopy")

SOURCE = """#include <stdint.h>
static __attribute__((noinline, noclone)) uint64_t hidden_NAME(uint64_t x)
{ for (unsigned long i = 0; i < 1000000; i++) x = x * 6364136223846793005u + 1; __asm__ volatile("" : "+r"(x)); return x; }
int main(int argc, char **argv) { uint64_t x = argc; for (;;) x = hidden_NAME(x); return x + (uint64_t)argv; }
"""


def build(directory, name, build_id, link=True):
    """A stripped program and its debug file beside it."""
    os.makedirs(directory, exist_ok=True)
    path = os.path.join(directory, name)
    subprocess.run(["gcc", "-x", "c", "-O2", "-g", f"-Wl,--build-id={'sha1' if build_id else 'none'}", "-o", path, "-"],
                   input=SOURCE.replace("NAME", name), text=True, check=True)
    debug = f"{path}.debug"
    subprocess.run(["objcopy", "--only-keep-debug", path, debug], check=True)
    subprocess.run(["strip", path], check=True)
    if link:
        subprocess.run(["objcopy", "--add-gnu-debuglink", debug, path], check=True)
    return path, debug


def move(debug, directory):
    os.makedirs(directory, exist_ok=True)
    shutil.move(debug, directory)


def build_id(path):
    notes = check.run("readelf", "-n", path).stdout
    return notes.split("Build ID: ")[1].split()[0]


def lay_out(d, debug_directory):
    """(name, program, whether its debug information is to be found)"""
    own = os.path.join(d, "programs")
    path, _ = build(own, "beside", False)
    yield "beside", path, True
    path, debug = build(own, "in_dot_debug", False)
    move(debug, os.path.join(own, ".debug"))
    yield "in_dot_debug", path, True
    path, debug = build(own, "by_path", False)
    move(debug, debug_directory + own)
    yield "by_path", path, True
    path, debug = build(own, "by_build_id", True, link=False)
    number = build_id(path)
    os.makedirs(os.path.join(debug_directory, ".build-id", number[:2]))
    shutil.move(debug, os.path.join(debug_directory, ".build-id", number[:2], number[2:] + ".debug"))
    yield "by_build_id", path, True
    path, debug = build(own, "wrong_crc", False)
    with open(debug, "ab") as f:
        f.write(b"x")
    yield "wrong_crc", path, False
    path, debug = build(own, "wrong_build_id", True)
    _, other = build(os.path.join(d, "other"), "wrong_build_id2", True)
    shutil.copy(other, debug)
    yield "wrong_build_id", path, False
    path, debug = build(own, "wrong_first", False)
    move(debug, os.path.join(own, ".debug"))
    with open(debug, "wb") as f:
        f.write(b"not the one")
    yield "wrong_first", path, True
    path, debug = build(own, "trap", False)
    os.unlink(debug)
    os.mkfifo(debug)
    yield "trap", path, False


with check.scratch() as d:
    debug_directory = os.path.join(d, "debug")
    cases = list(lay_out(d, debug_directory))
    processes = [subprocess.Popen([path]) for _, path, _ in cases]
    try:
        e = Daemon(d, f"[Profile]\nSources=cpu\n[Symbols]\nDebugDirectories={debug_directory}\n")
        time.sleep(0.5)
        out = os.path.join(d, "debug.pb.gz")
        check.run(check.EMBERCTL, "record", "--source", e.socket, "-F", "397", "-d", "5", "-o", out)
        p = Profile(out)
        for name, path, is_found in cases:
            mine = [s for s in p.samples if s.labels.get("exe") == path]
            total = sum(s.values[0] for s in mine)
            named = sum(s.values[0] for s in mine if any(f.name == f"hidden_{name}" and f.line > 0 for f in s.stack))
            check.that(total >= 20 and (named >= 0.97 * total if is_found else named == 0),
                       f"{name}: {named} of {total} samples have the function and its line")
            wrong = {f.name for s in mine for f in s.stack if f.name.startswith("hidden_") and f.name != f"hidden_{name}"}
            check.that(not wrong, f"{name}: nothing of another file {wrong or ''}")
        check.that(e.stop() == 0, "and ends well")
    finally:
        for x in processes:
            x.kill()
            x.wait()
check.finish()
