#!/usr/bin/env python3
"""A day of windows over TLS to a destination in every bad mood, in turn: refusing connections, slow, 429, 500, reset in the
middle of a request, taken in part or with the answer cut, TLS closed, the disk full; both programs killed on the way. Nothing
lost, nothing twice but what was under way at a kill, order kept, the last window as cheap as the first."""
import test_venv  # noqa: F401  (enters BUILD/venv)

import errno
import http.server
import os
import random
import signal
import socket
import ssl
import struct
import subprocess
import sys
import tempfile
import threading
import time

import check
from certificates import authority, signed
from export_lib import expect, window
from export_uploads import Daemon
from receivers import otlp, partial, unpack

EACH = int(os.environ.get("EMBER_DAY_PHASE", "160"))
PLAIN = EACH // 2
START = 1_700_000_000


def number(body):
    return (otlp(body).resource_profiles[0].scope_profiles[0].profiles[0].time_unix_nano // 10**9 - START) // 60


class Destination:
    """Says of each window whether it took it, one connection after the other, so what a killed sender had sent whole is
    judged before what comes after it."""

    def __init__(self, certificate, key):
        self.taken, self.failed = [], []  # numbers of windows, in order
        self.words, self.closing, self.paused = iter(()), 0, None
        self.hasty = 0  # requests within the second that a Retry-After asked for
        self.tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        self.tls.load_cert_chain(certificate, key)
        self.port, self.server = 0, None
        self.open()

    def open(self):
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 120

            def do_POST(self):
                outer.judge(self)

            def log_message(self, *_):
                pass

        class Server(http.server.HTTPServer):
            request_queue_size = 128

            def get_request(self):
                c, address = self.socket.accept()
                c.settimeout(120)
                if outer.closing:
                    outer.closing -= 1
                    c.close()
                    raise OSError("closed on purpose")
                return outer.tls.wrap_socket(c, server_side=True), address

            def handle_error(self, *_):
                pass

        self.server = Server(("127.0.0.1", self.port), Handler)
        self.port = self.server.server_address[1]
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    def close(self):
        self.server.shutdown()
        self.server.server_close()

    def judge(self, handler):
        size = int(handler.headers["content-length"])
        if self.paused and time.monotonic() - self.paused < 1:
            self.hasty += 1
        self.paused = None
        word = next(self.words, "ok")
        if word == "reset":
            handler.rfile.read(size // 2)
            handler.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            handler.connection.close()
            handler.close_connection = True
            return
        body = handler.rfile.read(size)
        if len(body) < size:
            handler.close_connection = True
            return
        n = number(unpack({k.lower(): v for k, v in handler.headers.items()}, body))
        status = int(word) if word.isdigit() else 200
        (self.taken if status == 200 else self.failed).append(n)
        if word == "slow":
            time.sleep(0.1)
        answer = partial(1, "no").SerializeToString() if word == "partial" else b""
        if word == "429":
            self.paused = time.monotonic()
        handler.send_response(status)
        if word == "429":
            handler.send_header("Retry-After", "1")
        handler.send_header("content-length", str(len(answer) + (100 if word == "cut" else 0)))
        handler.end_headers()
        handler.wfile.write(answer)
        handler.close_connection = handler.close_connection or word == "cut"


class Day:
    def __init__(self, directory, certificate, key, ca):
        self.directory, self.rng = directory, random.Random(11)
        self.server = Destination(certificate, key)
        self.d = Daemon(directory, {"day": {"Url": f"https://127.0.0.1:{self.server.port}", "CaFile": ca, "Timeout": "60s",
                                            "RetryInitial": "10ms", "RetryMax": "40ms"}})
        self.n = self.kills = self.seen = 0
        self.cpu_s = 0.0  # of emberd's uploads, those that were killed included

    def words(self, bad, count, good="ok"):
        """count times bad, at random places among so many windows"""
        words = [good] * (EACH - count) + [bad] * count
        self.rng.shuffle(words)
        self.server.words = iter(words)

    def put(self, count, kill=None):
        for i in range(count):
            self.d.put(window(3, seed=self.n, start_s=START + self.n * 60))
            self.n += 1
            if self.n == 1:
                self.d.status()  # heard: from here on the destination is not a new one, which gets nothing of the past
            if i == count // 2 and kill:
                kill()

    def own_cpu_s(self):
        stat = check.proc_stat(self.d.process.pid)
        return stat.user_s + stat.system_s

    def kill_emberd(self):
        self.cpu_s += self.own_cpu_s()
        self.d.kill()
        self.d.start()
        self.kills += 1

    def kill_export(self):
        pid = self.d.status()["day"]["pid"]
        if pid:
            try:
                os.kill(pid, signal.SIGKILL)
                self.kills += 1
            except ProcessLookupError:
                pass

    def settle(self, what, aside=0):
        return self.d.wait(lambda s: s["day"]["waiting"] == s["day"]["pid"] == 0 and s["day"]["aside"] == aside, what, 120)["day"]

    def came(self, what, want):
        """What was taken since the last time, each once but for what was under way at a kill."""
        new, self.seen = self.server.taken[self.seen:], len(self.server.taken)
        once = [n for k, n in enumerate(new) if k == 0 or new[k - 1] != n]
        expect(once == want, f"{what}: lost, twice or out of order from {[x for x in zip(once, want) if x[0] != x[1]][:5]}, "
               f"{len(once)} of {len(want)}")

    def total_cpu_s(self):
        return self.cpu_s + self.own_cpu_s() + self.d.status()["day"]["cpu_ns"] / 1e9

    def phase(self, what, act):
        first, cpu, began = self.n, self.total_cpu_s(), time.time()
        act(self)
        self.server.words = iter(())
        s = self.settle(what)
        self.came(what, list(range(first, self.n)))
        cost = (self.total_cpu_s() - cpu) / (self.n - first) * 1000
        print(f"  {what}: {self.n - first} windows in {time.time() - began:.1f} s, {cost:.1f} ms CPU each, {s['retried']} retries")
        return cost


def plain(day):
    day.put(PLAIN)


def refusing(day):
    day.server.close()
    before = day.d.status()["day"]["retried"]
    day.put(EACH, day.kill_emberd)
    s = day.d.wait(lambda s: s["day"]["retried"] >= before + 3, "nobody listens")["day"]
    expect(s["waiting"] == EACH, f"{s['waiting']} of {EACH} wait")
    day.server.open()


def slow(day):
    day.words("slow", EACH // 4)
    day.put(EACH, day.kill_export)


def throttled(day):
    day.words("429", 4)
    day.put(EACH)  # a kill forgets for how long it was told to wait
    day.settle("429")
    expect(day.server.hasty == 0, f"{day.server.hasty} requests before Retry-After was over")


def broken(day):
    """500 must not be tried again by itself: set aside, sent in order when somebody says so."""
    first, failed = day.n, len(day.server.failed)
    day.words("500", EACH // 8)
    day.put(EACH)
    day.settle("500", EACH // 8)
    aside = day.server.failed[failed:]
    expect(len(aside) == EACH // 8 == len(set(aside)), f"{len(aside)} windows refused")
    day.came("500, the others", [n for n in range(first, day.n) if n not in aside])
    day.d.say("refused day")
    day.settle("500, sent again")
    day.came("500, sent again", sorted(aside))
    day.server.taken += range(first, day.n)  # as phase() counts them


def reset(day):
    day.words("reset", EACH // 4)
    day.put(EACH, day.kill_export)


def in_part(day):
    words = ["partial", "cut"] * (EACH // 4) + ["ok"] * (EACH // 2)
    day.rng.shuffle(words)
    day.server.words = iter(words)
    day.put(EACH, day.kill_emberd)


def closing(day):
    """The connection closes before TLS is agreed on, and between requests."""
    for _ in range(4):
        day.server.closing = 5
        day.words("cut", EACH // 16)  # ends the connection: the next window needs another
        day.put(EACH // 4, day.kill_export)
    day.d.wait(lambda s: s["day"]["waiting"] == 0 and day.server.closing == 0, "TLS closed")


def full_disk(day):
    day.put(EACH // 2)
    day.settle("before the disk is full")
    later = []
    for _ in range(EACH // 2):
        later.append(day.d.stored(window(3, seed=day.n, start_s=START + day.n * 60)))
        day.n += 1
    junk = 0
    try:
        while True:
            open(os.path.join(day.directory, f"junk{junk}"), "wb").close()
            junk += 1
    except OSError as e:
        expect(e.errno == errno.ENOSPC, str(e))
    for path in later[:-1]:
        day.d.say("put " + path)
    s = day.d.status()["day"]
    expect(s["failed_puts"] > 0 and s["dropped"] == 0 and s["failed_notes"] == 0, f"on a full disk: {s}")
    for i in range(junk):
        os.unlink(os.path.join(day.directory, f"junk{i}"))
    day.d.say("put " + later[-1])


def main():
    start = time.time()
    if os.geteuid() != 0:
        print("a full disk needs a mount: root")
        sys.exit(77)
    with tempfile.TemporaryDirectory() as keys, tempfile.TemporaryDirectory() as directory:
        authority(keys)
        signed(keys, "server")
        certificate, key, ca = (os.path.join(keys, name) for name in ("server.pem", "server.key", "ca.pem"))
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m,nr_inodes=4000", "tmpfs", directory], check=True)
        try:
            day = Day(directory, certificate, key, ca)
            first = day.phase("plain", plain)
            for what, act in (("refusing", refusing), ("slow", slow), ("429", throttled), ("500", broken), ("reset", reset),
                              ("in part", in_part), ("TLS closed", closing), ("full disk", full_disk)):
                day.phase(what, act)
            last = day.phase("plain again", plain)
            twice = len(day.server.taken) - EACH - day.n  # one phase is counted two times
            expect(0 <= twice <= day.kills, f"{twice} windows twice, {day.kills} kills")
            expect(last < 2 * first + 10, f"a window cost {first:.1f} ms CPU in the morning, {last:.1f} ms in the evening")
            day.d.close()
            day.server.close()
            day.d.log.close()
        finally:
            subprocess.run(["umount", "-l", directory], check=True)
    print(f"a day: {day.n} windows in every bad mood, {day.kills} kills -9: none lost, in order, {twice} twice (under way at a kill); "
          f"{first:.1f} ms CPU a window at first, {last:.1f} ms at last; {time.time() - start:.1f} s")


main()
