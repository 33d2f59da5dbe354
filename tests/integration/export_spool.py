#!/usr/bin/env python3
"""Windows on their way: nothing lost below the spool's limit, nothing twice after success, order kept, one destination never
in the way of another, over kill -9. A day of windows and every bad mood: export_day.py."""
import test_venv  # noqa: F401  (enters BUILD/venv)

import errno
import http.server
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time

import pprof
from export_lib import expect, window, write
from export_uploads import Daemon
from receivers import Http, otlp, unpack

def small(number):
    """A window that says its number, in its period: receivers see which came, and in which order."""
    return window(3, seed=number, start_s=1_700_000_000 + number * 60)


def numbers(server):
    return [(r.resource_profiles[0].scope_profiles[0].profiles[0].time_unix_nano // 10**9 - 1_700_000_000) // 60
            for r in server.otlp()]


FAST = {"RetryInitial": "20ms", "RetryMax": "200ms", "Timeout": "2s"}
PATIENT = {**FAST, "Timeout": "60s"}  # for servers that answer: on a loaded machine 2 s run out, and what ran out is rightly sent again


def order_and_restart(directory):
    server = Http()
    url, port = server.url, server.server.server_address[1]
    server.close()  # nobody listens
    other = Http()
    d = Daemon(directory, {"down": {"Url": url, **PATIENT}, "up": {"Url": other.url, **PATIENT}})
    for i in range(20):
        d.put(small(i))
    d.wait(lambda s: s["up"]["sent"] == 20 and s["down"]["retried"] >= 3, "one destination down")
    expect(numbers(other) == list(range(20)), f"the other one: {numbers(other)}")
    s = d.status()["down"]
    expect(s["waiting"] == 20 and s["spool_bytes"] > 0 and "onnect" in s["last_error"], str(s))
    d.kill()
    d.start()
    s = d.wait(lambda s: s["down"]["waiting"] == 20, "after kill -9")
    expect(s["up"]["waiting"] == 0, "sent windows came back")
    # Back on the same port.
    server = Http.__new__(Http)
    h = http.server
    h.HTTPServer.allow_reuse_address = True
    original = h.ThreadingHTTPServer.__init__

    def bind(self, address, handler):
        original(self, ("127.0.0.1", port), handler)

    h.ThreadingHTTPServer.__init__ = bind
    Http.__init__(server)
    h.ThreadingHTTPServer.__init__ = original
    d.wait(lambda s: s["down"]["waiting"] == 0, "the destination is back")
    expect(numbers(server) == list(range(20)), f"order: {numbers(server)}")
    expect(len(other.requests) == 20, "the other destination got windows twice")
    s = d.wait(lambda s: s["down"]["pid"] == 0 and s["up"]["pid"] == 0, "no process without work")
    d.close()
    server.close()
    other.close()
    print("order kept over an outage and kill -9; the other destination never waited; no process when idle")


def limits(directory):
    server = Http([(503, {}, b"")])
    data = [window(400, seed=i) for i in range(12)]
    limit = max(len(x) for x in data) * 5
    d = Daemon(directory, {"small": {"Url": server.url, "SpoolBytes": str(limit), **FAST}})
    for x in data:
        d.put(x)
    s = d.wait(lambda s: s["small"]["dropped"] > 0, "the spool's limit")["small"]
    expect(s["spool_bytes"] <= limit, f"{s['spool_bytes']} bytes in the spool")
    expect(s["waiting"] + s["dropped"] == 12, str(s))
    d.set({"small": {"Url": server.url, "MaxAge": "1s", **FAST}})
    time.sleep(1.2)
    d.say("reload")
    s = d.wait(lambda s: s["small"]["waiting"] == 0, "MaxAge")["small"]
    expect(s["expired"] > 0, str(s))
    d.close()
    server.close()
    print(f"limits: the oldest {s['dropped']} of 12 dropped and counted, {s['expired']} older than MaxAge left out")


def refused(directory):
    """500, 401 and 404 must not be tried again by themselves: what they hit is set aside, and sent in order when somebody says
    so, when the token is another, when the configuration is."""
    server = Http([(500, {}, b"broken")])
    token = os.path.join(directory, "token")
    with open(token, "w") as f:
        f.write("first")
    keys = {"Url": server.url, "TokenFile": token, "RetryInitial": "10ms", "RetryMax": "20ms", "Timeout": "2s"}
    d = Daemon(directory, {"a": keys})
    for i in range(6):
        d.put(small(i))
    s = d.wait(lambda s: s["a"]["aside"] == 6, "500")["a"]
    expect(s["waiting"] == 0 and s["sent"] == 0 and s["refused"] == 6 and s["dropped"] == 0, str(s))
    expect(s["aside_bytes"] == s["spool_bytes"] > 0 and "500" in s["last_error"], str(s))
    d.kill()
    d.start()
    server.answers = [(200, {}, b"")]
    for i in range(6, 8):
        d.put(small(i))
    d.wait(lambda s: s["a"]["sent"] == 2, "the destination works again")
    time.sleep(0.3)
    expect(numbers(server) == list(range(8)), f"a refused window was tried again by itself: {numbers(server)}")
    with open(token, "w") as f:
        f.write("another")  # no cure for 500
    d.put(small(8))
    d.wait(lambda s: s["a"]["sent"] == 3, "another token")
    d.say("refused b")
    expect(d.status()["a"]["aside"] == 6, "another destination's name")
    d.say("refused a")
    d.wait(lambda s: s["a"]["aside"] == 0 and s["a"]["waiting"] == 0, "sent when somebody says so")
    expect(numbers(server)[-7:] == [8] + list(range(6)), f"order: {numbers(server)}")
    expect(len(server.requests) == 15, f"{len(server.requests)} requests")
    # A token that is refused, then a better one.
    server.requests.clear()
    server.answers = [(401, {}, b"who are you?")]
    for i in range(10, 13):
        d.put(small(i))
    d.wait(lambda s: s["a"]["aside"] == 3, "401")
    server.answers = [(200, {}, b"")]
    with open(token, "w") as f:
        f.write("the right one")
    d.put(small(13))
    d.wait(lambda s: s["a"]["aside"] == 0 and s["a"]["waiting"] == 0, "sent with the new token")
    expect(numbers(server) == [10, 11, 12, 10, 11, 12, 13], f"{numbers(server)}")
    expect(server.requests[-1][1]["authorization"] == "Bearer the right one", "the old token")
    # A wrong address, then the right one. kill -9 while they are set aside changes nothing.
    server.answers = [(404, {}, b"")]
    d.put(small(14))
    d.wait(lambda s: s["a"]["aside"] == 1, "404")
    d.kill()
    server.answers = [(200, {}, b"")]
    d.set({"a": {**keys, "Url": server.url + "/prefix/v1"}})
    d.start()
    d.wait(lambda s: s["a"]["aside"] == 0 and s["a"]["waiting"] == 0, "sent with the new configuration")
    expect(server.requests[-1][0] == "/prefix/v1" and numbers(server)[-1] == 14, "the new address")
    d.set({"a": {**keys, "Url": server.url, "Header": "X-Key: header-secret"}})
    d.say("reload")
    status = json.dumps(d.status())
    d.log.seek(0)
    told = status + d.log.read().decode() + " ".join(
        open(f"/proc/{p}/cmdline").read() for p in [d.process.pid, d.status()["a"]["pid"]] if p)
    for secret in ("first", "the right one", "header-secret"):
        expect(secret not in told, f"the secret '{secret}' is told")
    expect("127.0.0.1" in status, "the address is not shown")
    d.close()
    server.close()
    print("refused windows: set aside over kill -9, sent in order when said, with a new token, a new configuration; once each")


def asked_pause(directory):
    """What a destination asks for with Retry-After holds over a kill, an end and a reload; not over another configuration, nor
    longer than it was asked for where the note of it is lost or says nonsense."""
    server, times = Http(), []

    def answer(status, seconds=None):
        def do(handler):
            times.append(time.monotonic())
            handler.send_response(status)
            if seconds:
                handler.send_header("Retry-After", str(seconds))
            handler.send_header("content-length", "0")
            handler.end_headers()
        return do

    keys = {"Url": server.url, **PATIENT}
    server.answers = [answer(429, 6), answer(200)]
    d = Daemon(directory, {"a": keys})
    d.put(small(0))
    s = d.wait(lambda s: s["a"]["retried"] == 1, "asked to wait")["a"]
    at_ns = s["retry_at_ns"]
    d.kill()
    d.start()
    d.wait(lambda s: abs(s["a"]["retry_at_ns"] - at_ns) < 0.5e9 or s["a"]["sent"], "the pause after kill -9")
    d.close()
    d.start()
    d.say("reload")
    d.put(small(1))
    d.wait(lambda s: s["a"]["sent"] == 2, "the pause is over")
    expect(len(times) == 3 and times[1] >= times[0] + 6, f"asked to wait 6 s, came at {times}")
    path = os.path.join(d.store, "spool", "a", "state")
    for what in ("another configuration", "a state that is lost"):
        server.answers = [answer(429, 3600), answer(200)]
        d.put(small(2))
        d.wait(lambda s: s["a"]["retry_at_ns"] > time.time_ns() + 3000e9, "asked to wait for an hour")
        d.kill()
        if what.startswith("another"):
            d.set({"a": {**keys, "Header": "X-Key: new"}})
        else:
            with open(path, "r+b") as f:
                f.write(os.urandom(3 * 32768))
        d.start()
        d.wait(lambda s: s["a"]["waiting"] == 0, what)
    d.close()
    server.close()
    print("Retry-After: kept over kill -9, end and reload; not over another configuration, and a lost state begins at once")


def parts(directory):
    """A window of many requests that is refused in the middle, and emberd killed: what was taken is not sent twice."""
    server, taken = Http(), []

    def answer(status):
        def do(handler):
            if status == 200:
                taken.append(server.requests[-1])
            handler.send_response(status)
            handler.send_header("content-length", "0")
            handler.end_headers()
        return do

    server.answers = [answer(200), answer(200), answer(503), answer(500), answer(200)]
    d = Daemon(directory, {"a": {"Url": server.url, "RequestSamples": "100", "RetryInitial": "700ms", "RetryMax": "700ms"}})
    d.put(window(1000, seed=1))
    d.wait(lambda s: s["a"]["retried"] == 1, "the third part is to be tried again")
    d.kill()
    d.start()
    d.wait(lambda s: s["a"]["aside"] == 1, "the third part is refused")
    d.kill()
    d.start()
    d.say("refused a")
    d.wait(lambda s: s["a"]["sent"] == 1, "the rest")
    ids = [p.profile_id for _, h, b in taken for r in [otlp(unpack(h, b))]
           for x in r.resource_profiles for y in x.scope_profiles for p in y.profiles]
    expect(len(ids) == len(set(ids)), "a part was sent twice after success")
    total = sum(sum(s.values) for _, h, b in taken for r in [otlp(unpack(h, b))]
                for x in r.resource_profiles for y in x.scope_profiles for p in y.profiles for s in p.samples)
    want = sum(s.values[0] for s in pprof.Profile(write(directory, "w.pb.gz", window(1000, seed=1))).samples)
    expect(total == want, f"{total} samples of {want} came")
    d.close()
    server.close()
    print(f"a window of {len(taken)} requests, refused in the middle and emberd killed twice: each part taken once")


def full_disk(directory):
    """No room for a link: windows that the store holds are queued when there is room again, in order; none that waits goes."""
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=4m,nr_inodes=60", "tmpfs", directory], check=True)
    try:
        server = Http([(503, {}, b"")])
        d = Daemon(directory, {"a": {"Url": server.url, **FAST}})
        for i in range(4):
            d.put(small(i))
        d.wait(lambda s: s["a"]["waiting"] == 4, "before")
        later = [d.stored(small(i)) for i in range(4, 10)]
        junk = 0
        try:
            while True:
                open(os.path.join(directory, f"junk{junk}"), "wb").close()
                junk += 1
        except OSError as e:
            expect(e.errno == errno.ENOSPC and junk > 5, f"{e}")
        for path in later[:5]:
            d.say("put " + path)
        s = d.wait(lambda s: s["a"]["failed_puts"] > 0, "a full disk")["a"]
        expect(s["waiting"] == 4 and s["dropped"] == 0 and "No space" in s["last_error"] + d_log(d), str(s))
        server.answers = [(200, {}, b"")]
        d.wait(lambda s: s["a"]["sent"] == 4, "what waited goes out with a full disk")
        for i in range(junk):
            os.unlink(os.path.join(directory, f"junk{i}"))
        d.say("put " + later[5])
        d.wait(lambda s: s["a"]["sent"] == 10 and s["a"]["waiting"] == 0, "room again")
        first = list(dict.fromkeys(numbers(server)))
        expect(first == list(range(10)), f"{first}")
        expect(len(numbers(server)) - d.status()["a"]["retried"] == 10, "a window went out twice")
        d.close()
        server.close()
        d.log.close()
    finally:
        subprocess.run(["umount", directory], check=True)
    print("a full disk: nothing that waits is dropped, what could not be queued is queued when there is room, in order")


def d_log(d):
    d.log.seek(0)
    return d.log.read().decode()


def stored_but_not_queued(directory):
    server = Http()
    d = Daemon(directory, {"a": {"Url": server.url, **FAST}})
    d.stored(small(0))  # before the first window of this destination: not its business
    d.put(small(1))
    d.wait(lambda s: s["a"]["sent"] == 1, "the first")
    d.kill()
    time.sleep(0.02)
    d.stored(small(2))  # emberd was killed between store and spool
    d.stored(small(3), "offcpu")
    d.start()
    d.wait(lambda s: len(server.requests) >= 3 and s["a"]["waiting"] == 0, "taken up at the start")
    expect(sorted(numbers(server)) == [1, 2, 3], f"{numbers(server)}")
    d.close()
    d.start()
    time.sleep(0.5)
    expect(len(server.requests) == 3, "sent again at a restart")
    d.close()
    server.close()
    print("a window stored but not queued before kill -9 is queued at the next start, once")


class Judge:
    """A destination that takes what comes whole, in the order in which it comes: one connection after the other, so what a
    killed sender had sent whole is judged before what comes after it. gate(n) returns when request n may be taken."""

    def __init__(self, gate=lambda n: None):
        self.taken, self.refused = [], 0  # what each taken request held
        outer = self

        class Handler(http.server.BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            timeout = 120

            def do_POST(self):
                gate(len(outer.taken) + outer.refused)
                size = int(self.headers["content-length"])
                try:
                    body = self.rfile.read(size)
                except OSError:
                    body = b""
                if len(body) < size:
                    outer.refused += 1
                    self.close_connection = True
                    return
                outer.taken.append(unpack({k.lower(): v for k, v in self.headers.items()}, body))
                self.send_response(200)
                self.send_header("content-length", "0")
                self.end_headers()

            def log_message(self, *_):
                pass

        class Server(http.server.HTTPServer):
            request_queue_size = 128

            def handle_error(self, *_):
                pass

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        self.thread = threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
        self.thread.start()

    def numbers(self):
        return [(otlp(body).resource_profiles[0].scope_profiles[0].profiles[0].time_unix_nano // 10**9 - 1_700_000_000) // 60
                for body in self.taken]

    def ids(self):
        return [tuple(p.profile_id for x in otlp(body).resource_profiles for y in x.scope_profiles for p in y.profiles)
                for body in self.taken]

    def close(self):
        self.server.shutdown()
        self.server.server_close()


def killed_between_parts(directory):
    """A window of many requests, and ember-export or emberd killed while it is on its way, over and over: what was taken is
    taken once, but for the one request that was under way at a kill."""
    gate = [4]  # requests that may be answered before the next kill

    def wait(n):
        while n >= gate[0]:
            time.sleep(0.005)

    server = Judge(wait)
    d = Daemon(directory, {"a": {"Url": server.url, "RequestSamples": "50", **PATIENT}})
    d.put(window(3000, seed=2))
    kills = {"ember-export": 0, "emberd": 0}
    while True:
        s = d.wait(lambda s: len(server.taken) + server.refused >= gate[0] or s["a"]["sent"], "parts on their way")["a"]
        if s["sent"]:
            break
        if sum(kills.values()) % 2:
            d.kill()
            d.start()
            kills["emberd"] += 1
        elif s["pid"]:
            try:
                os.kill(s["pid"], signal.SIGKILL)
                kills["ember-export"] += 1
            except ProcessLookupError:
                pass
        gate[0] += 4
    d.close()
    server.close()
    ids, n = server.ids(), sum(kills.values())
    twice = len(ids) - len(set(ids))
    expect(n >= 6, f"only {n} kills")
    expect(twice <= n, f"{twice} requests twice, {n} kills")
    places = [ids.index(i) for i in ids]
    expect(all(places[k] == places[k - 1] or places[k] == k for k in range(1, len(places))), "another one than that under way")
    want = sum(s.values[0] for s in pprof.Profile(write(directory, "w.pb.gz", window(3000, seed=2))).samples)
    total = sum(sum(s.values) for body in {i: b for i, b in zip(ids, server.taken)}.values()
                for x in otlp(body).resource_profiles for y in x.scope_profiles for p in y.profiles for s in p.samples)
    expect(total == want, f"{total} samples of {want} came")
    print(f"killed between parts: {len(set(ids))} requests, {kills} kills, {twice} requests twice (under way at a kill), all came")


def damaged_state(directory):
    """What is known of a destination, lost in part and in whole while emberd is down: told, and nothing goes out twice."""
    server = Judge()
    d = Daemon(directory, {"a": {"Url": server.url, **PATIENT}})
    path = os.path.join(d.store, "spool", "a", "state")
    for i in range(4):
        d.put(small(i))
    d.wait(lambda s: s["a"]["sent"] == 4, "the first")
    d.kill()
    with open(path, "r+b") as f:  # one copy of three
        f.seek(100)
        f.write(b"\0" * 50)
    d.start()
    s = d.status()["a"]
    expect(s["sent"] >= 3, f"counters after kill -9 and damage: {s['sent']}")
    d.put(small(4))
    d.wait(lambda s: len(server.taken) == 5 and s["a"]["waiting"] == 0, "one more")
    d.kill()
    with open(path, "r+b") as f:
        f.write(os.urandom(3 * 32768))
    d.start()
    d.put(small(5))
    d.wait(lambda s: s["a"]["sent"] == 1, "counts anew")
    d.close()
    server.close()
    told = d_log(d)
    expect("state.damaged" in told and os.path.exists(path + ".damaged"), f"not told: {told[-500:]}")
    expect(server.numbers() == list(range(6)), f"{server.numbers()}")
    print("a damaged state: the next copy counts; without one it is set aside and told, and no window goes out twice")


def day_of_outage(directory):
    """Nobody listens all day: the cost of trying must not grow with what waits."""
    server = Http()
    url = server.url
    server.close()
    d = Daemon(directory, {"down": {"Url": url, "RetryInitial": "100ms", "RetryMax": "100ms"}})
    cpu, tries = [], []
    for part in range(3):
        for i in range(150):
            d.put(small(part * 150 + i))
        before = d.status()["down"]
        time.sleep(2)
        after = d.status()["down"]
        cpu.append(after["cpu_ns"] - before["cpu_ns"])
        tries.append(max(1, after["retried"] - before["retried"]))
    each = [c / t / 1e6 for c, t in zip(cpu, tries)]
    expect(each[2] < each[0] * 2 + 5, f"CPU a try grows with the spool: {each}")
    expect(d.status()["down"]["waiting"] == 450, "windows went missing")
    d.close()
    print(f"an outage: {each[0]:.1f} ms CPU a try with 150 windows waiting, {each[2]:.1f} ms with 450")


def memory_of(pid):
    """What a core file would hold."""
    with open(f"/proc/{pid}/maps") as maps, open(f"/proc/{pid}/mem", "rb") as memory:
        for line in maps:
            area, mode = line.split()[:2]
            if mode.startswith("rw"):
                low, high = (int(x, 16) for x in area.split("-"))
                memory.seek(low)
                try:
                    yield memory.read(high - low)
                except OSError:
                    pass


def secrets(directory):
    """The token while it is in use: in the request and nowhere that a person looks, nor in what a crash would leave."""
    secret, held = os.urandom(12).hex(), threading.Event()
    token = os.path.join(directory, "token")
    with open(token, "w") as f:
        f.write(secret)
    server = Http([lambda handler: held.wait(60) and None])
    d = Daemon(directory, {"a": {"Url": server.url, "TokenFile": token, **PATIENT}})
    d.put(small(1))
    status = d.wait(lambda s: server.requests, "the request")
    expect(server.requests[0][1]["authorization"] == "Bearer " + secret, "the token did not come")
    child = status["a"]["pid"]
    seen = json.dumps(status) + d_log(d)
    for pid in (d.process.pid, child):
        for name in ("cmdline", "environ"):
            seen += open(f"/proc/{pid}/{name}", "rb").read().decode(errors="replace")
    expect(secret not in seen, "the token is in status, log, a command line or an environment")
    emberd = list(memory_of(d.process.pid))
    expect(any(token.encode() in x for x in emberd), "emberd's memory was not read")
    expect(not any(secret.encode() in x for x in emberd), "the token is in emberd's memory")
    for folder, _, names in os.walk(d.store):
        for name in names:
            expect(secret.encode() not in open(os.path.join(folder, name), "rb").read(), f"the token is in {name}")
    limits = open(f"/proc/{child}/limits").read()
    core = [x for x in limits.splitlines() if x.startswith("Max core file size")][0].split()
    expect(core[4] == core[5] == "0", f"ember-export may write core files: {core}")
    if os.geteuid() == 0:  # of a process that cannot be dumped or traced, /proc is root's
        uid = [x for x in open(f"/proc/{child}/status") if x.startswith("Uid:")][0].split()[1]
        expect(uid != "0" and os.stat(f"/proc/{child}/environ").st_uid == 0, "ember-export can be dumped")
    held.set()
    d.kill()
    server.close()
    print("the token: in the request; not in status, log, files, command lines, environments, emberd's memory or a core file")


def directory_protocol(directory):
    out = os.path.join(directory, "out")
    os.makedirs(out)
    stranger = os.path.join(out, "mine.pb.gz")
    open(stranger, "wb").close()
    os.utime(stranger, (1, 1))
    d = Daemon(directory, {"files": {"Protocol": "pprof-dir", "Url": out, "Retention": "2s", **FAST}})
    for i in range(20):
        d.put(small(i))
    d.wait(lambda s: s["files"]["sent"] == 20, "files")
    expect(len([f for f in os.listdir(out) if f.startswith("cpu-") and f.endswith(".pb.gz")]) == 20, str(os.listdir(out)))
    expect(not [f for f in os.listdir(out) if f.startswith(".tmp")], "a temporary file stayed")
    time.sleep(2.2)
    for i in range(17):
        d.put(small(20 + i))
    d.wait(lambda s: s["files"]["sent"] == 37, "more files")
    left = [f for f in os.listdir(out) if f.startswith("cpu-")]
    expect(len(left) == 17, f"retention: {len(left)} files")
    expect(os.path.exists(stranger), "a stranger's file was removed")
    d.close()
    print("pprof-dir: named when whole, old ones removed, strangers' files left alone")


def main():
    start = time.time()
    only = sys.argv[1:]
    for check in (order_and_restart, limits, refused, asked_pause, parts, killed_between_parts, damaged_state, full_disk,
                  stored_but_not_queued, directory_protocol, day_of_outage, secrets):
        if only and check.__name__ not in only:
            continue
        with tempfile.TemporaryDirectory() as directory:
            check(directory)
    print(f"export spool: all held, {time.time() - start:.1f} s")


if __name__ == "__main__":
    main()
