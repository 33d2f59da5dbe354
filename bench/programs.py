"""Programs of the real world for the benchmarks: pieces of work, all alike, and what CPU time each takes the program."""
import contextlib
import copy
import glob
import os
import pathlib
import shutil
import signal
import socket
import subprocess
import time

SOURCE = pathlib.Path(__file__).resolve().parents[1]
HEADERS = ["algorithm", "functional", "map", "memory", "string", "vector"]


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def connect(port):
    for _ in range(100):
        with contextlib.suppress(OSError):
            return socket.create_connection(("127.0.0.1", port))
        time.sleep(0.05)
    raise RuntimeError(f"nothing listens on port {port}")


class Program:
    def at(self, directory, name):
        """Another executable of the same content, so that a profiler can tell which runs it is meant for."""
        other = copy.copy(self)
        other.exe = str(shutil.copy(self.exe, directory / name))
        return other


class Command(Program):
    """A program that runs to its end: a piece of work is one run. arguments(part): of so much less work."""

    def __init__(self, name, exe, arguments):
        self.name, self.exe, self.arguments = name, exe, arguments

    def run(self, arguments, text, wrap=(), env=None):
        """What it used."""
        with open(text or "/dev/null") as given:
            child = subprocess.Popen([*wrap, self.exe, *arguments], stdin=given, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                     env={**os.environ, **(env or {})})
        _, status, usage = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        if child.returncode != 0:
            raise RuntimeError(f"{self.name} ended with status {child.returncode}")
        return usage

    @contextlib.contextmanager
    def started(self, wrap=(), env=None, part=1.0):
        arguments, text = self.arguments(part)

        def work():
            usage = self.run(arguments, text, wrap, env)
            return usage.ru_utime + usage.ru_stime

        yield work

    def whole(self):
        """Makes what runs it from start to end and returns what it used."""
        arguments, text = self.arguments(1.0)
        return lambda: self.run(arguments, text)


class Server(Program):
    """A program that is driven over loopback: its own CPU time counts, not its client's. drive(port): makes what sends it one
    piece of work, of so much less."""

    def __init__(self, name, exe, command, drive):
        self.name, self.exe, self.command, self.drive = name, exe, command, drive

    def start(self, wrap=(), env=None):
        port = free_port()
        command = [x.replace("PORT", str(port)).replace("EXE", self.exe) for x in self.command]
        return subprocess.Popen([*wrap, *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
                                env={**os.environ, **(env or {})}), port

    @contextlib.contextmanager
    def started(self, wrap=(), env=None, part=1.0):
        server, port = self.start(wrap, env)
        try:
            send = self.drive(port, part)
            pid = self.find(server.pid)

            def work():
                before = self.cpu(pid)
                send()
                return self.cpu(pid) - before

            yield work
        finally:
            os.kill(self.find(server.pid), signal.SIGTERM)
            server.wait()

    def whole(self):
        """Makes what runs it from start to end, with one piece of work, and returns what it used."""
        def run():
            server, port = self.start()
            self.drive(port, 1.0)()
            server.terminate()
            _, _, usage = os.wait4(server.pid, 0)
            server.returncode = 0
            return usage

        return run

    def cpu(self, pid):
        """Of its threads that live; those of both servers live as long as they do."""
        return sum(int(pathlib.Path(path).read_text().split()[0]) for path in glob.glob(f"/proc/{pid}/task/*/schedstat")) / 1e9

    def find(self, pid):
        """The program itself, which may be a child of the tool."""
        for child in pathlib.Path(f"/proc/{pid}/task/{pid}/children").read_text().split():
            if os.path.realpath(f"/proc/{child}/exe") == os.path.realpath(self.exe):
                return int(child)
        return pid


def sqlite(directory):
    def arguments(part):
        path = directory / f"insert-{part}.sql"
        path.write_text("CREATE TABLE t(id INTEGER PRIMARY KEY, name TEXT, value REAL); CREATE INDEX i ON t(name);\n"
                        f"WITH RECURSIVE c(x) AS (SELECT 1 UNION ALL SELECT x + 1 FROM c WHERE x < {int(150000 * part)})\n"
                        "INSERT INTO t SELECT x, 'name ' || (x * 7919 % 1000003), x * 1.5 FROM c;\n")
        return [":memory:"], path

    return Command("sqlite", shutil.which("sqlite3"), arguments)


def cc1plus(directory):
    gxx = shutil.which("g++")
    exe = subprocess.run([gxx, "-print-prog-name=cc1plus"], stdout=subprocess.PIPE, text=True).stdout.strip() if gxx else None

    def arguments(part):
        path = directory / f"source-{part}.ii"
        headers = HEADERS if part == 1 else ["cstdlib"]
        source = "".join(f"#include <{h}>\n" for h in headers) + "int main() { return 0; }\n"
        subprocess.run([gxx, "-E", "-x", "c++", "-", "-o", path], input=source, text=True, check=True)
        return ["-quiet", "-O1", "-fpreprocessed", str(path), "-o", "/dev/null"], None

    return Command("cc1plus", exe, arguments)


def perl():
    def arguments(part):
        text = ("my %h; for my $i (1.." + str(int(600000 * part)) + ") { $h{'key' . ($i % 50000)} = join(',', $i, 'x' x ($i % 200)); }"
                " my $n = 0; $n += length for values %h; print $n;")
        return ["-e", text], None

    return Command("perl", shutil.which("perl"), arguments)


def redis():
    def drive(port, part):
        connect(port).close()
        command = ["redis-benchmark", "-p", str(port), "-q", "-t", "set,hset", "-n", str(int(100000 * part)), "-P", "16",
                   "-r", "100000", "-d", "200"]
        return lambda: subprocess.run(command, stdout=subprocess.DEVNULL, check=True)

    return Server("redis", shutil.which("redis-benchmark") and shutil.which("redis-server"),
                  ["EXE", "--port", "PORT", "--bind", "127.0.0.1", "--save", "", "--appendonly", "no"], drive)


def rust(build):
    def drive(port, part):
        f = connect(port).makefile("rw")

        def send():
            for _ in range(8):
                f.write(f"{int(100000 * part)}\n")
                f.flush()
                f.readline()

        return send

    return Server("rust-jemalloc", build_server(build / "bench"), ["EXE", "PORT"], drive)


def build_server(target):
    """With jemalloc's own profiler in it, which is off unless it is asked for."""
    if not shutil.which("cargo"):
        return None
    done = subprocess.run(["cargo", "build", "--release", "--features", "profiling", "--target-dir", target],
                          cwd=SOURCE / "bench/heap-server", stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode != 0:
        print(f"the Rust server does not build: {done.stdout.strip().splitlines()[-1]}", flush=True)
        return None
    return str(target / "release/heap-server")


def find(names, build, directory):
    """Those of that name that are there, or all; build: a build directory, for the server that is built."""
    makers = {"sqlite": lambda: sqlite(directory), "cc1plus": lambda: cc1plus(directory), "perl": perl, "redis": redis,
              "rust-jemalloc": lambda: rust(build)}
    found = []
    for name in names.split(",") if names else makers:
        p = makers[name]()
        if p.exe and os.path.exists(p.exe):
            found.append(p)
        else:
            print(f"left out: {name} is not there", flush=True)
    return found
