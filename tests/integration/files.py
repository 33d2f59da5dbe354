#!/usr/bin/env python3
"""Executables that cannot be found by a plain path: on overlayfs (lower and copied up), bind mounts and tmpfs of another mount
namespace, deleted, replaced while running, from a memfd, in other user, PID and mount namespaces behind a chroot. Each has a
function of its own name, and each one's samples carry that name, its own build ID and a complete stack."""
import os
import shutil
import subprocess
import sys
import time

sys.path.insert(0, os.path.dirname(__file__))
import check
from emberd import Daemon
from pprof import Profile, truncated

check.need_root()
check.need_tool("gcc")
check.need_tool("unshare")

SOURCE = """#include <stdint.h>
__attribute__((noinline, noclone)) uint64_t NAME(uint64_t x)
{ for (unsigned long i = 0; i < 1000000; i++) x = x * 6364136223846793005u + 1; __asm__ volatile("" : "+r"(x)); return x; }
int main(int argc, char **argv) { uint64_t x = argc; for (;;) x = NAME(x); return x + (uint64_t)argv; }
"""


def build(d, name):
    path = os.path.join(d, name)
    subprocess.run(["gcc", "-x", "c", f"-DNAME={name}", "-O2", "-g", "-fomit-frame-pointer", "-static", "-o", path, "-"],
                   input=SOURCE, text=True, check=True)
    return path


def shell(script, *arguments, namespaces=("--mount",)):
    return subprocess.Popen(["unshare", *namespaces, "sh", "-ec", script, "sh", *arguments])


def memfd(d):
    program = build(d, "spin_memfd")
    code = ("import os, sys\nfd = os.memfd_create('spin_memfd', 0)\nos.write(fd, open(sys.argv[1], 'rb').read())\n"
            "os.execve(fd, ['spin_memfd'], {})")
    return subprocess.Popen([sys.executable, "-c", code, program])


def deleted(d):
    path = build(d, "spin_deleted")
    p = subprocess.Popen([path])
    os.unlink(path)
    return p


def replaced(d):
    path = build(d, "spin_replaced")
    old = subprocess.Popen([path])
    new = build(d, "spin_replacing")
    os.rename(new, path)
    return old, subprocess.Popen([path], executable=path)


def overlay(d):
    """Lower alone, and a file that a write has copied up."""
    for name in "lower", "upper", "work", "merged":
        os.mkdir(os.path.join(d, name))
    for name in "spin_lower", "spin_upper":
        shutil.move(build(d, name), os.path.join(d, "lower", name))
    mount = ('mount -t overlay overlay -o "lowerdir=$1/lower,upperdir=$1/upper,workdir=$1/work" "$1/merged"; ')
    return shell(mount + 'touch "$1/merged/spin_upper"; "$1/merged/spin_lower" & exec "$1/merged/spin_upper"', d)


def bind(d):
    build(d, "spin_bind")
    os.mkdir(os.path.join(d, "bound"))
    return shell('mount --bind "$1" "$1/bound"; mount -t tmpfs none /mnt; mkdir /mnt/d; mount --bind "$1" /mnt/d; '
                 'exec /mnt/d/spin_bind', d)


def tmpfs(d):
    return shell('mount -t tmpfs none /mnt; cp "$1" /mnt/; exec /mnt/spin_tmpfs', build(d, "spin_tmpfs"))


def container(d):
    root = os.path.join(d, "root")
    os.makedirs(os.path.join(root, "app"))
    shutil.move(build(d, "spin_container"), os.path.join(root, "app"))
    return subprocess.Popen(["unshare", "--mount", "--pid", "--user", "--map-root-user", "--fork", "--kill-child", "chroot",
                             root, "/app/spin_container"])


def judge(p, name, path):
    mine = [s for s in p.samples if any(f.name.startswith("spin_") for f in s.stack) and s.labels.get("exe", "").endswith(path)]
    mine = [s for s in mine if any(f.name == name for f in s.stack)] or mine
    total = sum(s.values[0] for s in mine)
    good = sum(s.values[0] for s in mine if not truncated(s) and [f.name for f in s.stack if f.name == name]
               and any(f.name == "main" for f in s.stack))
    ids = {f.build_id for s in mine for f in s.stack if f.name == name}
    check.that(total >= 30 and good >= 0.90 * total, f"{name}: {good} of {total} samples named and complete")
    check.that(len(ids) == 1, f"{name}: one build ID {ids}")
    return ids


with check.scratch() as d:
    processes = []
    try:
        e = Daemon(d, "[Profile]\nSources=cpu\n")
        for start in memfd, deleted, replaced, overlay, bind, tmpfs, container:
            os.mkdir(own := os.path.join(d, start.__name__))
            started = start(own)
            processes += started if isinstance(started, tuple) else [started]
        time.sleep(1)
        path = os.path.join(d, "files.pb.gz")
        done = check.run(check.EMBERCTL, "record", "--source", e.socket, "-F", "397", "-d", "6", "-o", path)
        print(done.stderr.strip())
        p = Profile(path)
        seen = set()
        for name, exe in (("spin_memfd", "spin_memfd"), ("spin_deleted", "spin_deleted"), ("spin_replaced", "spin_replaced"),
                          ("spin_replacing", "spin_replaced"), ("spin_lower", "spin_lower"), ("spin_upper", "spin_upper"),
                          ("spin_bind", "/mnt/d/spin_bind"), ("spin_tmpfs", "/mnt/spin_tmpfs"),
                          ("spin_container", "/app/spin_container")):
            ids = judge(p, name, exe)
            check.that(not ids & seen, f"{name}: a build ID of its own")
            seen |= ids
        check.that(e.stop() == 0, "and ends well")
    finally:
        subprocess.run(["pkill", "-KILL", "--parent", ",".join(str(x.pid) for x in processes)])
        for x in processes:
            x.kill()
            x.wait()
check.finish()
