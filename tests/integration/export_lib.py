"""Drives ember-export as emberd does: a socket as descriptor 3, the configuration, then windows as descriptors. And makes
windows of known contents without any code of ours."""
import array
import gzip
import json
import os
import random
import socket
import struct
import subprocess
import sys
import threading
import time

BUILD = os.environ.get("EMBER_BUILD", "build")
PROGRAM = os.path.join(BUILD, "export", "ember-export")
FILES = ("token", "ca", "cert", "key")
SENT, RETRY, REJECTED, REFUSED, DENIED, BLOCKED = range(6)
REPLY = struct.Struct("=QIIQQQQQQQQ512s")
JOB = struct.Struct("=QQ224s")
PROGRESS = struct.Struct("=QQQQQQ")
GO_ON = struct.Struct("=Q")


class Reply:
    def __init__(self, data):
        (self.id, self.outcome, self.status, self.retry_after_ns, self.requests, self.bytes, self.samples, self.rejected,
         self.parts_done, self.cpu_ns, self.rss_bytes, error) = REPLY.unpack(data)
        self.error = error.split(b"\0")[0].decode("utf-8", "replace")

    def __repr__(self):
        return f"<{('sent', 'retry', 'rejected', 'refused', 'denied', 'blocked')[self.outcome]} {self.status} {self.error!r}>"


class Child:
    def __init__(self, config, files=None, program=PROGRAM, stderr=None):
        files = files or {}
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        fds, bits = [], 0
        for i, name in enumerate(FILES):
            if name in files:
                fds.append(os.open(files[name], os.O_RDONLY))
                bits |= 1 << i
        message = struct.pack("=II", 2, bits) + json.dumps(config).encode()
        ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))] if fds else []
        ours.sendmsg([message], ancillary)
        for fd in fds:
            os.close(fd)

        def place():
            os.dup2(theirs.fileno(), 3)
            os.set_inheritable(3, True)

        # All other descriptors are closed by exec; pass_fds would fail where 3 is none before place().
        self.process = subprocess.Popen([program], preexec_fn=place, close_fds=False, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=stderr)
        theirs.close()
        self.socket, self.next = ours, 1

    def send(self, path, output=None, parts_done=0, timeout=60):
        fds = [os.open(path, os.O_RDONLY)]
        if output is not None:
            fds.append(output)
        job = JOB.pack(self.next, parts_done, os.path.basename(path).encode()[:220])
        self.next += 1
        self.socket.sendmsg([job], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))])
        os.close(fds[0])
        self.socket.settimeout(timeout)
        self.told = []
        while True:
            data = self.socket.recv(4096)
            if not data:
                raise EOFError(f"ember-export is gone: {self.process.wait()}")
            if len(data) != PROGRESS.size:
                return Reply(data)
            self.told.append(PROGRESS.unpack(data)[1])
            self.socket.sendmsg([GO_ON.pack(PROGRESS.unpack(data)[0])])

    def close(self):
        self.socket.close()
        return self.process.wait(timeout=20)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process.poll() is None:
            self.close()


def _varint(v):
    v &= (1 << 64) - 1
    out = bytearray()
    while v >= 0x80:
        out.append(v & 127 | 128)
        v >>= 7
    out.append(v)
    return bytes(out)


def _number(field, v):
    return _varint(field << 3) + _varint(v) if v else b""


def _bytes(field, b):
    return _varint(field << 3 | 2) + _varint(len(b)) + b


WORDS = ("alloc read write parse event loop handle dispatch poll queue insert find rehash compress tree node lock wait commit "
         "flush page cache string buffer").split()
COMMS = ("redis-server", "nginx", "python3", "postgres", "sshd", "systemd", "node", "java", "containerd", "cc1plus")
TYPES = {
    "cpu": ((("samples", "count"), ("cpu", "nanoseconds")), ("cpu", "nanoseconds"), 10_000_000),
    "offcpu": ((("events", "count"), ("offcpu", "nanoseconds")), ("offcpu", "nanoseconds"), 10_000_000),
    "lock": ((("contentions", "count"), ("delay", "nanoseconds")), ("contentions", "count"), 1),
    "heap": ((("alloc_objects", "count"), ("alloc_space", "bytes"), ("inuse_objects", "count"), ("inuse_space", "bytes")),
             ("space", "bytes"), 524288),
    "memory": ((("faults", "count"), ("resident", "bytes")), ("resident", "bytes"), 4096),
    "task": ((("polls", "count"), ("poll", "nanoseconds")), ("", ""), 0),
    "probe": ((("hits", "count"), ("latency", "nanoseconds")), ("hits", "count"), 1),
}


def window(samples, kind="cpu", seed=1, start_s=None, processes=40):
    """One gzip'd pprof file of so many distinct stacks, as emberd writes it."""
    rng = random.Random(seed)
    types, period_type, period = TYPES[kind]
    strings = {"": 0}
    s = lambda text: strings.setdefault(text, len(strings))
    value_type = lambda t: _number(1, s(t[0])) + _number(2, s(t[1]))
    out = bytearray()
    for t in types:
        out += _bytes(1, value_type(t))
    n_functions, n_mappings, n_locations = max(50, samples // 3), 40, max(80, samples * 2 // 3)
    roots = [[rng.randrange(n_locations) for _ in range(8)] for _ in range(processes)]
    middles = [[rng.randrange(n_locations) for _ in range(10)] for _ in range(max(10, samples // 20))]
    text = lambda key, value: _bytes(3, _number(1, s(key)) + _number(2, s(value)))
    number = lambda key, value: _bytes(3, _number(1, s(key)) + _number(3, value))
    for _ in range(samples):
        p = rng.randrange(processes)
        stack = [rng.randrange(n_locations) for _ in range(rng.randint(1, 6))]
        stack += rng.choice(middles)[:rng.randint(2, 10)] + roots[p]
        count = rng.randint(1, 5)
        values = [count, count * period] if kind == "cpu" else [rng.randint(0 if i > 1 else 1, 9) * (1 + 977 * i)
                                                                for i in range(len(types))]
        comm = COMMS[p % len(COMMS)]
        labels = text("comm", comm) + text("exe", "/usr/bin/" + comm) + text("thread", f"{comm[:8]}{p % 3}")
        labels += number("pid", 1000 + p) + number("tid", 1000 + p + rng.randrange(4)) + text("unit", comm + ".service")
        labels += text("cgroup", f"/system.slice/{comm}.service") + text("host", "box")
        if p % 7 == 0:
            labels += text("container_id", "%064x" % p)
        out += _bytes(2, _bytes(1, b"".join(_varint(x + 1) for x in stack)) + _bytes(2, b"".join(map(_varint, values)))
                      + labels)
    for i in range(n_mappings):
        base = 0x400000 if i else 0xFFFFFFFF81000000
        build_id = "%040x" % rng.getrandbits(160) if i % 10 else "%032x" % rng.getrandbits(128) if i else ""
        name = f"/usr/lib/lib{i}.so.{i % 7}" if i else "[kernel.kallsyms]"
        out += _bytes(3, _number(1, i + 1) + _number(2, base) + _number(3, base + 0x100000) + _number(4, 0x1000)
                      + _number(5, s(name)) + _number(6, s(build_id)) + _number(7, 1) + _number(8, 1))
    for i in range(n_locations):
        m = rng.randrange(n_mappings)
        address = (0x400000 if m else 0xFFFFFFFF81000000) + rng.randrange(1 << 20)
        lines = [(rng.randrange(n_functions), rng.randint(1, 3000)) for _ in range(1 if rng.random() < 0.8 else 3)]
        out += _bytes(4, _number(1, i + 1) + _number(2, m + 1) + _number(3, address)
                      + b"".join(_bytes(4, _number(1, f + 1) + _number(2, line)) for f, line in lines))
    for i in range(n_functions):
        name = "::".join(rng.choice(WORDS) for _ in range(rng.randint(1, 4))) + f"_{i}(std::string const&, int)"
        file = f"/usr/src/{rng.choice(WORDS)}/{rng.choice(WORDS)}_{i % 300}.{rng.choice(['c', 'cc', 'rs', 'go'])}"
        out += _bytes(5, _number(1, i + 1) + _number(2, s(name)) + _number(3, s(f"_ZN{i}{name[:20]}")) + _number(4, s(file))
                      + _number(5, 7))
    start_s = start_s or int(time.time()) // 60 * 60 - 60
    out += _number(9, start_s * 10**9) + _number(10, 60 * 10**9) + _bytes(11, value_type(period_type)) + _number(12, period)
    out += _number(13, s("emberd.lost=3")) + _number(13, s("emberd.rate_hz=100"))
    for text_ in strings:
        out += _bytes(6, text_.encode())
    return gzip.compress(bytes(out), 6, mtime=0)


def write(directory, name, data):
    path = os.path.join(directory, name)
    with open(path, "wb") as f:
        f.write(data)
    return path


def config(protocol, url, **more):
    base = {"name": "test", "protocol": protocol, "url": url, "timeout_ms": 5000,
            "resource": {"host.name": "box", "os.type": "linux"}}
    return {**base, **more}


def fail(text):
    print("FAILED:", text)
    sys.exit(1)


def expect(condition, text):
    if not condition:
        fail(text)


class Listener:
    """A server that is wrong: hands one connection after the other to talk()."""

    def __init__(self, talk):
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self.socket.getsockname()[1]}"
        self.talk = talk
        threading.Thread(target=self.serve, daemon=True).start()

    def serve(self):
        with self.socket:
            while True:
                try:
                    c, _ = self.socket.accept()
                except OSError:
                    return
                try:
                    with c:
                        self.talk(c)
                except (OSError, EOFError):
                    pass

    def close(self):
        """The thread closes it: else the next listener could get this one's descriptor, and the thread its connections."""
        self.socket.shutdown(socket.SHUT_RDWR)


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]
