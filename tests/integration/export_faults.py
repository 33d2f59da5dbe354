#!/usr/bin/env python3
"""What a destination may answer, and what a hostile one can: each answer means what the specifications say, nothing grows
without bound, no secret leaves, and the child can do nothing else than send."""
import test_venv  # noqa: F401  (enters BUILD/venv)

import email.utils
import os
import subprocess
import tempfile
import threading
import time

import grpc

from export_lib import BLOCKED, DENIED, REFUSED, RETRY, SENT, Child, Listener, config, expect, window, write
from receivers import Grpc, Http, partial

NS = 10**9


def send(protocol, url, path, files=None, **more):
    with Child(config(protocol, url, **more), files, stderr=subprocess.DEVNULL) as child:
        return child.send(path)


def statuses(path):
    server = Http()
    for status in (200, 202, 301, 307, 400, 401, 403, 404, 407, 408, 413, 415, 429, 500, 501, 502, 503, 504, 505):
        server.answers = [(status, {"Location": "file:///etc/passwd"}, b"some words")]
        no = DENIED if status in (401, 403, 407) else REFUSED
        want = SENT if status < 300 else RETRY if status in (429, 502, 503, 504) else no
        server.requests.clear()
        reply = send("otlp-http", server.url, path)
        expect(reply.outcome == want and reply.status == status, f"otlp-http {status}: {reply}")
        expect(len(server.requests) == 1, f"{status} was tried {len(server.requests)} times at once")
        want = SENT if status < 300 else RETRY if status in (408, 429) or status >= 500 else no
        reply = send("pyroscope", server.url, path)
        expect(reply.outcome == want, f"pyroscope {status}: {reply}")
    for value, low, high in (("7", 7, 7), (email.utils.formatdate(time.time() + 30, usegmt=True), 28, 31),
                             ("99999999999", 3600, 3600), ("soon", 0, 0), ("-5", 0, 0)):
        server.answers = [(429, {"Retry-After": value}, b"")]
        reply = send("otlp-http", server.url, path)
        expect(low * NS <= reply.retry_after_ns <= high * NS, f"Retry-After {value}: {reply.retry_after_ns / NS} s")
    server.answers = [(200, {}, partial(3, "too old").SerializeToString())]
    reply = send("otlp-http", server.url, path)
    expect(reply.outcome == SENT and reply.rejected == 3 and "too old" in reply.error, f"partial success: {reply}")
    for body in (b"\x0a\x00", b"\xff" * 40, b"\x0a\xff\xff\xff\xff\x0f", os.urandom(3000)):
        server.answers = [(200, {}, body)]
        expect(send("otlp-http", server.url, path).outcome == SENT, "a strange body of a success")
    server.close()
    print("HTTP: statuses, Retry-After in seconds and as a date, partial success, redirects refused")


def grpc_statuses(path):
    server = Grpc()
    C = grpc.StatusCode
    again = {C.CANCELLED, C.DEADLINE_EXCEEDED, C.ABORTED, C.OUT_OF_RANGE, C.UNAVAILABLE, C.DATA_LOSS}
    for code in C:
        if code == C.OK:
            continue
        server.answers = [(code, "words: \u00e4", None)]
        reply = send("otlp-grpc", server.url, path)
        no = DENIED if code in (C.UNAUTHENTICATED, C.PERMISSION_DENIED) else REFUSED
        expect(reply.outcome == (RETRY if code in again else no), f"{code}: {reply}")
        expect(reply.status == code.value[0] and "words" in reply.error, f"{code}: {reply}")
    server.answers = [(C.RESOURCE_EXHAUSTED, "wait", 9)]
    reply = send("otlp-grpc", server.url, path)
    expect(reply.outcome == RETRY and reply.retry_after_ns == 9 * NS, f"RetryInfo: {reply} {reply.retry_after_ns}")
    server.answers = [partial(2, "no")]
    reply = send("otlp-grpc", server.url, path)
    expect(reply.outcome == SENT and reply.rejected == 2, f"partial success: {reply}")
    server.close()
    http = Http([(200, {}, b"no gRPC here")])
    reply = send("otlp-grpc", http.url, path)
    expect(reply.outcome == RETRY and reply.error, f"a server without HTTP/2: {reply}")
    http.close()
    print("gRPC: every status, RetryInfo, partial success, a server that speaks no HTTP/2")


class Raw(Listener):
    """A server that says bytes."""

    def __init__(self, talk):
        self.sent = 0

        def hear(c):
            c.settimeout(8)
            c.recv(65536)
            talk(self, c)

        super().__init__(hear)


def flood(head, chunk):
    def talk(server, c):
        c.sendall(head)
        for _ in range(20000):
            c.sendall(chunk)
            server.sent += len(chunk)

    return talk


def say(data):
    def talk(_, c):
        c.sendall(data)
        time.sleep(0.1)

    return talk


OK = b"HTTP/1.1 200 OK\r\n"
SETTINGS = b"\0\0\0\4\0\0\0\0\0"
HOSTILE = {
    "endless body": flood(OK + b"\r\n", b"x" * 65536),
    "endless chunks": flood(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"8000\r\n" + b"x" * 0x8000 + b"\r\n"),
    "endless headers": flood(OK, b"X-A: " + b"x" * 1000 + b"\r\n"),
    "a giant header": flood(OK + b"X-A: ", b"x" * 65536),
    "endless 100 Continue": flood(b"", b"HTTP/1.1 100 Continue\r\n\r\n" * 100),
    "no HTTP": say(os.urandom(500)),
    "half a status line": say(b"HTTP/1.1 2"),
    "a negative length": say(OK + b"Content-Length: -1\r\n\r\n"),
    "a huge length": say(OK + b"Content-Length: 99999999999999999999\r\n\r\nx"),
    "nothing": say(b""),
    "silence": lambda server, c: time.sleep(7),
    "a drop a second": lambda server, c: [(c.sendall(b"H"), time.sleep(1)) for _ in range(7)],
}
HOSTILE_HTTP2 = {
    "endless settings": flood(b"", SETTINGS * 1000),
    "a frame of 16 MB": say(SETTINGS + b"\xff\xff\xff\0\0\0\0\0\1" + b"x" * 1000),
    "headers out of nowhere": say(SETTINGS + b"\0\0\x04\1\4\0\0\0\7\xff\xff\xff\xff"),
    "bad compression": say(SETTINGS + b"\0\0\x08\1\4\0\0\0\1" + b"\xff" * 8),
    "endless data": flood(SETTINGS + b"\0\0\1\1\4\0\0\0\1\x88", b"\0\x40\0\0\0\0\0\0\1" + b"x" * 0x4000),
    "endless continuation": flood(SETTINGS + b"\0\0\1\1\0\0\0\0\1\x88", b"\0\0\1\x09\0\0\0\0\1\x88" * 100),
    "go away": say(SETTINGS + b"\0\0\x08\7\0\0\0\0\0\0\0\0\0\0\0\0\2"),
    "reset of the stream": say(SETTINGS + b"\0\0\4\3\0\0\0\0\1\0\0\0\2"),
    "noise": say(os.urandom(2000)),
}


def hostile(path):
    for protocol, cases in (("otlp-http", HOSTILE), ("pyroscope", HOSTILE), ("pyroscope-ingest", HOSTILE), ("otlp-grpc", HOSTILE_HTTP2)):
        for name, talk in cases.items():
            server = Raw(talk)
            start = time.time()
            with Child(dict(config(protocol, server.url), timeout_ms=1500), stderr=subprocess.DEVNULL) as child:
                reply = child.send(path)
                expect(time.time() - start < 30, f"{protocol} {name}: took {time.time() - start:.0f} s")
                expect(reply.outcome in (SENT, RETRY, REFUSED, BLOCKED), f"{protocol} {name}: {reply}")
                if protocol == "otlp-grpc":
                    expect(reply.outcome in ((REFUSED,) if "reset" in name else (RETRY, BLOCKED)), f"{protocol} {name}: {reply}")
                expect(reply.error or reply.outcome == SENT, f"{protocol} {name}: nothing is said")
                if name in ("endless headers", "a giant header"):
                    expect("bytes of headers" in reply.error, f"{protocol} {name}: {reply}")
                expect(server.sent < reply.requests * (8 << 20), f"{protocol} {name}: took {server.sent} bytes")
                expect(child.close() == 0, f"{protocol} {name}: ember-export died")
            server.close()
    print(f"hostile servers: {len(HOSTILE)} over HTTP/1.1 and {len(HOSTILE_HTTP2)} over HTTP/2: bounded, told, survived")


def redirects(path):
    other = Http()
    for location in ("file:///etc/passwd", other.url + "/x", "gopher://127.0.0.1:1/", "//evil/"):
        server = Http([(302, {"Location": location}, b"")])
        for protocol in ("otlp-http", "pyroscope", "pyroscope-ingest"):
            reply = send(protocol, server.url, path)
            expect(reply.outcome == REFUSED and "redirect" in reply.error, f"{protocol} {location}: {reply}")
        server.close()
    expect(not other.requests, "a redirect was followed")
    other.close()
    for url in ("file:///etc/passwd", "ftp://127.0.0.1/", "127.0.0.1:80"):
        with Child(config("otlp-http", url), stderr=subprocess.DEVNULL) as child:
            expect(child.process.wait(timeout=10) == 1, f"{url} was taken as an address")
    print("redirects to files and other hosts refused; no protocol but http and https")


def broken_windows(directory, path):
    data = open(path, "rb").read()
    server = Http()
    for name, bad in (("empty", b""), ("cut", data[: len(data) // 2]), ("noise", os.urandom(4000)), ("text", b"hello"),
                      ("flipped", data[:200] + bytes([data[200] ^ 1]) + data[201:])):
        bad_path = os.path.join(directory, name)
        with open(bad_path, "wb") as f:
            f.write(bad)
        reply = send("otlp-http", server.url, bad_path)
        expect(reply.outcome != RETRY, f"a window that is {name}: {reply}")
    server.close()
    print("damaged windows are refused once, never tried for ever")


def privileges(directory, path):
    token = os.path.join(directory, "token")
    with open(token, "w") as f:
        f.write("s3cret-t0ken")
    os.chmod(token, 0o600)
    held = threading.Event()
    server = Http([lambda handler: held.wait(20) and None])
    child = Child(config("otlp-http", server.url, timeout_ms=20000, headers={"X-Key": "0ther-s3cret"}), {"token": token})
    sender = threading.Thread(target=lambda: child.send(path), daemon=True)
    sender.start()
    while not server.requests:
        time.sleep(0.02)
    expect(server.requests[0][1]["authorization"] == "Bearer s3cret-t0ken", "the token")
    expect(server.requests[0][1]["x-key"] == "0ther-s3cret", "the header")
    proc = f"/proc/{child.process.pid}/"
    status = dict(line.split(":\t", 1) for line in open(proc + "status").read().splitlines() if ":\t" in line)
    for caps in ("CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"):
        expect(caps == "CapBnd" and os.geteuid() or int(status[caps], 16) == 0, f"{caps} {status[caps]}")
    expect(status["NoNewPrivs"] == "1" and status["Seccomp"] == "2", "no filter")
    if os.geteuid() == 0:
        expect(status["Uid"].split()[0] != "0", "it runs as root")
        expect(status["Groups"].strip() == "", f"groups {status['Groups']}")
    for name in ("cmdline", "environ"):
        try:
            expect(b"s3cret" not in open(proc + name, "rb").read(), f"a secret in {name}")
        except PermissionError:
            pass
    limits = open(proc + "limits").read()
    expect([x for x in limits.splitlines() if x.startswith("Max core file size")][0].split()[4] == "0", "core files")
    fds = {os.readlink(proc + "fd/" + x) for x in os.listdir(proc + "fd")}
    expect(not [x for x in fds if "bpf" in x or "perf_event" in x], f"descriptors {fds}")
    held.set()
    sender.join(timeout=20)
    child.process.kill()
    child.process.wait()
    server.close()
    print("the child: no capability, no user, filtered, no core file, no secret in its command line or environment")


def main():
    start = time.time()
    with tempfile.TemporaryDirectory() as directory:
        path = write(directory, "w.pb.gz", window(60))
        statuses(path)
        grpc_statuses(path)
        redirects(path)
        hostile(path)
        broken_windows(directory, path)
        privileges(directory, path)
    print(f"export faults: all held, {time.time() - start:.1f} s")


main()
