#!/usr/bin/env python3
"""The store under kills, full and read-only disks, jumping clocks, two writers, broken indexes and broken files: nothing
older is lost, nothing counts twice, and what is wrong is said.

EMBER_STORE_KILLS (default 40) is how often writer and keeper are killed; EMBER_STORE_FILES (default 20000) how many files
the crowded directory holds. Arguments are names of cases (kills, crowd, ...); none: all."""
import json
import os
import pathlib
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import time

import check
import pprof
from pprof import varint

LOAD = check.BUILD / "tests/integration/store-load"
KILLS = int(os.environ.get("EMBER_STORE_KILLS", 40))
FILES = int(os.environ.get("EMBER_STORE_FILES", 20000))
ALL = ["--from", "@0", "--to", "@4000000000"]
random.seed(int(os.environ.get("EMBER_STORE_SEED", time.time())))


def value(window):
    return window % 97 + 1


def query(store, *args, **kwargs):
    return check.run(check.EMBERCTL, "query", "--type", "cpu", "--source", store, *ALL, *args, **kwargs)


def windows(store, out):
    """What the store answers for each window's number."""
    done = query(store, "-o", out, fail_ok=True)
    if done.returncode:
        return None, done.stderr
    found = {}
    for sample in pprof.Profile(out).samples:
        window = int(sample.labels["window"][1:])
        found[window] = found.get(window, 0) + sample.values[0]
    return found, done.stderr


def put(store, first, count, host="load", fail_ok=False):
    done = check.run(LOAD, "put", store, first, count, host, fail_ok=fail_ok)
    safe = [int(line.split()[0]) for line in done.stdout.splitlines() if "error" not in line]
    return safe, done


def expect(found, safe, maybe, text):
    """Each safe window once; one that was under way at a kill once or not at all."""
    lost = [w for w in safe if found.get(w, 0) != value(w)]
    wrong = [w for w in found if w not in safe and not (w in maybe and found[w] == value(w))]
    told = [(w, found.get(w), value(w)) for w in (lost + wrong)[:5]]
    check.that(not lost and not wrong, f"{text} ({len(safe)} windows; lost or wrong as (window, found, right): {told})")
    return not lost and not wrong


def kills(directory):
    store, out = directory / "kills", directory / "kills.pb.zst"
    safe, maybe, next_window = [], set(), 0
    for i in range(KILLS):
        writer = subprocess.Popen([LOAD, "put", store, str(next_window), "100000"], stdout=subprocess.PIPE, text=True)
        keeper = subprocess.Popen([LOAD, "keep", store, "100000"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        time.sleep(random.uniform(0.05, 0.4))
        order = [writer, keeper]
        random.shuffle(order)
        for child in order:
            child.send_signal(signal.SIGKILL)
            time.sleep(random.choice([0, 0.01]))
        lines = writer.stdout.read().splitlines()
        writer.wait()
        keeper.wait()
        done = [int(line.split()[0]) for line in lines if len(line.split()) == 2]
        failed = [line for line in lines if "error" in line]
        if failed:
            check.that(False, f"no put fails for what a keeper does: {failed}")
        safe += done
        next_window = (int(lines[-1].split()[0]) if lines else next_window - 1) + 1
        maybe.add(next_window)
        next_window += 1
        if i % 5 == 4:
            found, _ = windows(store, out)
            expect(found or {}, safe, maybe, f"after {i + 1} kills, as it lies")
    check.run(LOAD, "keep", store, 2)
    expect(windows(store, out)[0], safe, maybe, "after reconciling and merging")
    check.run(check.EMBERCTL, "reindex", "--source", store)
    expect(windows(store, out)[0], safe, maybe, "after the index was made again")
    (store / "index.sqlite").unlink()
    shutil.rmtree(store / "corrupt", ignore_errors=True)
    expect(windows(store, out)[0], safe, maybe, "by names alone")
    left = [p for p in store.rglob(".tmp-*")]
    check.run(LOAD, "keep", store, 1)
    check.that(not [p for p in store.rglob(".tmp-*")], f"no temporary file is left ({len(left)} before)")
    check.that(len(safe) > KILLS, f"windows were written between kills: {len(safe)}")


def two_daemons(directory):
    store, out = directory / "two", directory / "two.pb.zst"
    commands = [[LOAD, "put", store, "0", "150", "same"], [LOAD, "put", store, "0", "150", "same"],
                [LOAD, "keep", store, "12"], [LOAD, "keep", store, "12"]]
    children = [subprocess.Popen(list(map(str, c)), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
                for c in commands]
    outputs = [c.communicate(timeout=120)[0] for c in children]
    for line in "".join(outputs).splitlines():
        if not line.replace(" ", "").isdigit() and not line.startswith("merged"):
            print(line)
    check.that(all(c.returncode == 0 for c in children), "two writers and two keepers end well")
    check.that(all("error" not in o for o in outputs), "no put failed")
    check.run(LOAD, "keep", store, 2)
    found, _ = windows(store, out)
    check.that(found == {w: 2 * value(w) for w in range(150)}, "every window of both counts once")


def with_mount(directory, name, command, work):
    where = directory / name
    where.mkdir()
    if subprocess.run([*command, str(where)], stderr=subprocess.DEVNULL).returncode != 0:
        return False
    try:
        work(where)
    finally:
        subprocess.run(["umount", str(where)], check=True)
    return True


def full_disk(directory, where):
    store, out = where / "store", directory / "full.pb.zst"
    safe, done = put(store, 0, 2000, fail_ok=True)
    check.that("No space left" in done.stdout and done.returncode == 1, f"a full disk is told ({len(safe)} windows fit)")
    found, _ = windows(store, out)
    expect(found, safe, set(), "what was safe before the disk was full is there")
    check.run(LOAD, "keep", store, 1, fail_ok=True)
    found, _ = windows(store, out)
    expect(found, safe, set(), "a merge on a full disk loses nothing")
    check.that(not list(store.rglob(".tmp-*")), "no half file is left")
    used = sum(p.stat().st_size for p in store.rglob("*.pb.zst"))
    check.run(LOAD, "retain", store, used // 2, 0)
    more, _ = put(store, 5000, 3)
    check.that(len(more) == 3, "windows are written again once retention has made room")
    check.run(LOAD, "keep", store, 1)
    found, _ = windows(store, out)
    check.that(all(found.get(w) == value(w) for w in more), "and they are answered")


def full_disks(directory):
    check.that(with_mount(directory, "tmpfs", ["mount", "-t", "tmpfs", "-o", "size=2m", "none"],
                          lambda where: full_disk(directory, where)), "a tmpfs of 2 MB could be used")
    image = directory / "image"
    with open(image, "wb") as f:
        f.truncate(6 << 20)
    if shutil.which("mkfs.ext4") and subprocess.run(["mkfs.ext4", "-q", "-m", "0", str(image)]).returncode == 0:
        (directory / "ext4.d").mkdir()
        if not with_mount(directory, "ext4", ["mount", "-o", "loop", str(image)],
                          lambda where: full_disk(directory / "ext4.d", where)):
            print("note: no loop device here; the full disk was a tmpfs only")


def read_only(directory, where):
    store, out = where / "store", directory / "ro.pb.zst"
    put(store, 0, 70)
    check.run(LOAD, "keep", store, 1)
    subprocess.run(["mount", "-o", "remount,ro", str(where)], check=True)
    found, error = windows(store, out)
    expect(found, list(range(70)), set(), "a read-only store answers")
    check.that("no usable index" not in error, "by its index")
    done = check.run(check.EMBERCTL, "types", "--source", store)
    check.that("cpu" in done.stdout, "and lists its types")
    done = check.run(LOAD, "put", store, 100, 1, fail_ok=True)
    check.that(done.returncode == 1 and "Read-only" in done.stdout + done.stderr, "a put says why it cannot")
    done = check.run(check.EMBERCTL, "reindex", "--source", store, fail_ok=True)
    check.that(done.returncode == 1 and done.stderr.count("\n") == 1, "so does reindex, in one line")


def read_only_store(directory):
    with_mount(directory, "ro", ["mount", "-t", "tmpfs", "-o", "size=32m", "none"],
               lambda where: read_only(directory, where))


def clocks(directory):
    """Set back: the same minutes come again, also after they were merged. Set ahead: the future is kept."""
    store, out = directory / "clocks", directory / "clocks.pb.zst"
    put(store, 0, 60)
    check.run(LOAD, "keep", store, 1)
    put(store, 30, 60)
    ahead = 3 * 525600
    put(store, ahead, 5)
    check.run(LOAD, "keep", store, 2)
    check.run(LOAD, "retain", store, 0, 14)
    found, _ = windows(store, out)
    right = {w: value(w) * (2 if 30 <= w < 60 else 1) for w in range(90)}
    right.update({w: value(w) for w in range(ahead, ahead + 5)})
    check.that(found == right, "clock set back and ahead: every window counts as often as it was written")
    check.run(check.EMBERCTL, "reindex", "--source", store)
    check.that(windows(store, out)[0] == right, "also from the files alone")


def broken_index(directory):
    store, out = directory / "broken", directory / "broken.pb.zst"
    put(store, 0, 130)
    check.run(LOAD, "keep", store, 1)
    index = store / "index.sqlite"
    good = index.read_bytes()
    right = {w: value(w) for w in range(130)}
    for name, data in (("empty", b""), ("garbage", os.urandom(len(good))), ("cut short", good[: len(good) // 2]),
                       ("with a torn page", good[:4096] + os.urandom(4096) + good[8192:]), ("with bits flipped",
                       bytes(b ^ (0x40 if i % 517 == 0 else 0) for i, b in enumerate(good)))):
        index.write_bytes(data)
        found, _ = windows(store, out)
        check.that(found == right, f"an index that is {name}: the answer is right all the same")
        check.run(LOAD, "keep", store, 1)
        found, error = windows(store, out)
        check.that(found == right and not error, "and after a round of keeping order, the index is good")
    index.write_bytes(good)
    with sqlite3.connect(index) as db:
        db.execute("UPDATE file SET path = '../../../etc/passwd' WHERE id = (SELECT min(id) FROM file)")
    db.close()
    check.that(windows(store, out)[0] == right, "a path that leads out of the store is not followed")
    index.write_bytes(good)
    next((store / "cpu").glob("*/*.pb.zst")).unlink()
    for command in ("query", "series"):
        done = check.run(check.EMBERCTL, command, "--type", "cpu", "--source", store, *ALL)
        check.that("1 files of the index are gone" in done.stderr, f"{command} says that a file of the index is gone")


def broken_files(directory):
    store, out = directory / "files", directory / "files.pb.zst"
    put(store, 0, 40)
    date = store / "cpu/2026-06-01"
    good = sorted(date.glob("*.pb.zst"))
    raw = subprocess.run(["zstd", "-dcq", good[0]], stdout=subprocess.PIPE, check=True).stdout
    bomb = subprocess.run(["zstd", "-cq"], input=bytes(600 << 20), stdout=subprocess.PIPE, check=True).stdout
    billions = raw + b"\x12" + varint(8) + b"\x0a\x06" + b"\xff\xff\xff\xff\xff\x0f"
    hostile = {
        "empty": b"",
        "cut short": good[0].read_bytes()[:50],
        "garbage": os.urandom(3000),
        "a bomb of 600 MB": bomb,
        "a location that is not there": billions,
        "a string table of 2^60 bytes": raw + b"\x32" + varint(1 << 60),
        "varints without end": raw + b"\xff" * 40,
        "billions of locations that are declared": raw + b"\x12" + varint(16) + b"\x0a" + varint(1 << 34) + b"\x01" * 10,
        "a hundred million locations": raw + b"\x22\x00" * 100_000_000,
        "a sample of a million locations": raw + b"\x12" + varint(1_000_004) + b"\x0a" + varint(1_000_000) + b"\x01" * 1_000_000,
        "a varint of more than 64 bits": raw + b"\x48" + b"\xff" * 9 + b"\x7f",
        "functions whose names are beyond the strings": raw + b"\x2a\x0d\x08\x63\x10" + varint((1 << 64) - 1),
        "two locations with one id": raw + b"\x22\x02\x08\x01" * 2,
        "a string that is out of range": raw + b"\x2a\x04\x08\x63\x10" + varint(1 << 40)[:1],
    }
    names = []
    for i, (name, data) in enumerate(hostile.items()):
        path = date / f"20260601T{i:02}3030Z-evil.pb.zst"
        path.write_bytes(data)
        names.append(path.name)
    (date / "20260601T213030Z-evil.pb.zst").symlink_to("/etc/passwd")
    os.mkfifo(date / "20260601T223030Z-evil.pb.zst")
    names += ["20260601T213030Z-evil.pb.zst", "20260601T223030Z-evil.pb.zst"]
    (date / "notes.txt").write_text("not ours")
    (store / "index.sqlite").unlink()
    right = {w: value(w) for w in range(40)}
    before = time.monotonic()
    child = subprocess.Popen([check.EMBERCTL, "query", "--type", "cpu", "--source", store, *ALL, "-o", out],
                             stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    error = child.stderr.read()
    _, status, usage = os.wait4(child.pid, 0)
    child.returncode = 0
    found = {}
    for sample in pprof.Profile(out).samples:
        found[int(sample.labels["window"][1:])] = found.get(int(sample.labels["window"][1:]), 0) + sample.values[0]
    check.that(status == 0 and found == right, "hostile and truncated files are left out, the rest is answered")
    check.that(all(name in error for name in names if "evil" in name), f"each of {len(names)} is named")
    # the whole of a file is held while it is read, up to 512 MB
    check.that(usage.ru_maxrss < 1200 << 10, f"memory stayed bounded: {usage.ru_maxrss >> 10} MB")
    check.that(time.monotonic() - before < 60, "and so did time")
    check.that(len(list((store / "corrupt").glob("cpu-*evil*"))) == len(names), "they were set aside")
    check.that((date / "notes.txt").exists(), "a stranger's file is left alone")
    check.that(windows(store, out)[0] == right, "the next query has nothing to complain about")
    done = check.run(check.EMBERCTL, "reindex", "--json", "--source", store)
    check.that(json.loads(done.stdout)["indexed"] == 40, "the index is made again")


def crowd(directory):
    """Nothing that is done to a store takes memory by the number of its files, but for a query's list of names."""
    store = directory / "crowd"
    check.run(LOAD, "many", store, 0, FILES, timeout=1200)

    def measured(text, *command, most_mb=100):
        before = time.monotonic()
        child = subprocess.Popen(list(map(str, command)), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        out = child.stdout.read()
        error = child.stderr.read()
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        memory = usage.ru_maxrss >> 10
        check.that(child.returncode == 0 and memory <= most_mb,
                   f"{text}: {time.monotonic() - before:.1f} s, {usage.ru_utime + usage.ru_stime:.1f} s CPU, {memory} MB "
                   f"(at most {most_mb}){': ' + error if child.returncode else ''}")
        return out

    def emberctl(text, *args, **kwargs):
        return measured(text, check.EMBERCTL, *args, "--source", store, **kwargs)

    list_mb = 60 + (FILES * 120 >> 20)  # some 100 bytes a file; 60: of this program, from which a child begins
    text = emberctl(f"{FILES} files are indexed", "reindex", "--json")
    check.that(json.loads(text)["indexed"] == FILES, "all of them")
    text = emberctl("counted", "types", "--json")
    check.that(json.loads(text)[0]["windows"] == FILES, "all of them")
    text = emberctl("listed", "list", "--from", "@0")
    check.that(f"of {FILES}" in text.splitlines()[-1], "the first of them, and how many there are")
    emberctl("the last hour is asked for", "list", "--from", "-1h")
    text = emberctl("added up", "query", "--type", "cpu", "--json", *ALL, most_mb=list_mb)
    check.that(json.loads(text)["totals"][0]["total"] == FILES, "to the unit")
    measured("emberd's upkeep: reconciled and merged", LOAD, "keep", store, 1, most_mb=150)
    text = emberctl("asked again", "query", "--type", "cpu", "--json", *ALL, most_mb=list_mb)
    check.that(json.loads(text)["totals"][0]["total"] == FILES, "to the unit")
    shutil.rmtree(store)


def strange_words(directory):
    """What a stranger calls a sample type is any bytes: it moves no cursor, and its total is told in JSON, too."""
    store = directory / "words"
    name = b"\x1b[2Jodd\xff"
    profile = (b"\x0a\x04\x08\x01\x10\x01" + b"\x12\x06\x0a\x01\x01\x12\x01\x07" + b"\x22\x02\x08\x01" +
               b"\x32\x00" + b"\x32" + varint(len(name)) + name)
    date = store / "cpu/2026-06-01"
    date.mkdir(parents=True)
    (date / "20260601T000000Z-odd.pb.zst").write_bytes(profile)
    text = query(store).stdout
    check.that("\x1b" not in text and "odd" in text, "a type's name is shown without what moves the cursor")
    totals = json.loads(query(store, "--json").stdout)["totals"]
    check.that(len(totals) == 1 and totals[0]["total"] == 7, f"its total is told, though its name is no text: {totals}")


# First the crowd: a child's peak of memory counts from its parent's.
CASES = [crowd, kills, two_daemons, full_disks, read_only_store, clocks, broken_index, broken_files, strange_words]


def main():
    check.need_root()
    wanted = [case for case in CASES if case.__name__ in sys.argv[1:]] or CASES
    with check.scratch() as name:
        for case in wanted:
            case(pathlib.Path(name))
    check.finish()


main()
