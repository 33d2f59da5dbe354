#!/usr/bin/env python3
"""What repeating cannot mend: certificates and addresses. ember-export says what to do, `emberctl upload` ends at once, and emberd
keeps the window until it is mended."""
import test_venv  # noqa: F401  (enters BUILD/venv)

import os
import ssl
import subprocess
import tempfile
import threading
import time

from certificates import authority, signed
from export_lib import BLOCKED, BUILD, RETRY, Child, Listener, config, expect, free_port, window, write
from export_spool import Daemon, small
from receivers import Http


def certificates(directory):
    """ca.pem, and signed by it: good, other (another host's), old (it has ended); and none.pem, which signed nobody."""
    authority(directory)
    authority(directory, "none")
    signed(directory, "good")
    signed(directory, "other", "subjectAltName=DNS:elsewhere.example")
    signed(directory, "old", days=-1)
    return lambda name: os.path.join(directory, name)


def context(at, name, asks=False):
    c = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    c.load_cert_chain(at(name + ".pem"), at(name + ".key"))
    if asks:  # 1.2: there the handshake itself tells
        c.maximum_version = ssl.TLSVersion.TLSv1_2
        c.load_verify_locations(at("ca.pem"))
        c.verify_mode = ssl.CERT_REQUIRED
    return c


def say_plain(c):
    """Bytes that are no TLS."""
    c.recv(65536)
    c.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    c.settimeout(20)
    c.recv(1)


def outcomes(at, path):
    ca, none = {"ca": at("ca.pem")}, {"ca": at("none.pem")}
    for name, asks, files, words in (("good", False, none, "--ca-file"), ("good", False, {}, "--ca-file"),
                                     ("other", False, ca, "certificate"), ("old", False, ca, "expired"),
                                     ("good", True, ca, "--cert-file")):
        server = Http(tls=context(at, name, asks))
        for protocol in ("otlp-http", "otlp-grpc", "pyroscope", "pyroscope-ingest"):
            with Child(config(protocol, server.url, timeout_ms=20000), files, stderr=subprocess.DEVNULL) as child:
                reply = child.send(path)
            expect(reply.outcome == BLOCKED and words in reply.error, f"{protocol} {name} {files}: {reply}")
        expect(not server.requests, "something went to a server that is not trusted")
        server.close()
    plain = Listener(say_plain)
    for url, outcome, words in ((plain.url.replace("http:", "https:"), BLOCKED, "no TLS"), ("http://127.0.0.1:99999", BLOCKED, "Url="),
                                ("http://[::1/x", BLOCKED, "Url="), (f"http://127.0.0.1:{free_port()}", RETRY, "onnect")):
        for protocol in ("otlp-http", "otlp-grpc", "pyroscope", "pyroscope-ingest"):
            with Child(config(protocol, url, timeout_ms=20000), ca, stderr=subprocess.DEVNULL) as child:
                reply = child.send(path)
            expect(reply.outcome == outcome and words in reply.error, f"{protocol} {url}: {reply}")
    plain.close()
    print("ember-export: certificates and addresses are told with what to do; a refused connection may pass")


def emberctl(at, path):
    program = os.path.join(BUILD, "ctl", "emberctl")
    server = Http(tls=context(at, "good"))

    def upload(*more):
        return subprocess.run([program, "upload", path, path, *more], capture_output=True, text=True, timeout=60)

    for more, words in (((server.url,), "--ca-file"), ((server.url, "--ca-file", at("none.pem")), "--ca-file"),
                        (("http://127.0.0.1:99999",), "--to")):
        run = upload("--to", *more)
        expect(run.returncode == 1 and run.stderr.count("not sent") == 1 and words in run.stderr, f"{more}: {run.stderr}")
        expect("again in" not in run.stderr, f"tried again: {run.stderr}")
    run = upload("--to", "ftp://127.0.0.1/")
    expect(run.returncode == 1 and "http://" in run.stderr, f"ftp: {run.stderr}")
    expect(not server.requests, "something went to a server that is not trusted")
    run = upload("--to", server.url, "--ca-file", at("ca.pem"))
    expect(run.returncode == 0 and len(server.requests) == 2, run.stderr)
    server.close()
    print("emberctl upload: ends at once with what to do; sends with the right authority")


def secrets(at, path):
    """None in a command line, an environment, a core file or what is said, also where the server says it back."""
    token, released = "s3cret-t0ken-of-ours", threading.Event()
    with open(at("token"), "w") as f:
        f.write(token + "\n")

    def answer(handler):
        released.wait(60)
        handler.send_response(401)
        body = (f"I do not know {handler.headers['authorization']} " + "x" * 300 + handler.headers["authorization"] * 20).encode()
        handler.send_header("content-length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    server = Http([answer], tls=context(at, "good"))
    program = os.path.join(BUILD, "ctl", "emberctl")
    run = subprocess.Popen([program, "upload", path, "--to", server.url, "--ca-file", at("ca.pem"), "--token-file", at("token")],
                           stderr=subprocess.PIPE, text=True)
    end = time.time() + 60
    while not server.requests and time.time() < end:
        time.sleep(0.02)
    expect(server.requests[0][1]["authorization"] == "Bearer " + token, "the token did not come")
    with open(f"/proc/{run.pid}/task/{run.pid}/children") as f:
        children = f.read().split()
    expect(len(children) == 1, f"children {children}")
    for pid in (str(run.pid), children[0]):
        for name in ("cmdline", "environ"):
            try:
                with open(f"/proc/{pid}/{name}", "rb") as f:
                    expect(token.encode() not in f.read(), f"the secret is in {name}")
            except PermissionError:
                pass  # better still
        with open(f"/proc/{pid}/limits") as f:
            expect([x for x in f if x.startswith("Max core file size")][0].split()[4] == "0", "core files")
    released.set()
    _, said = run.communicate(timeout=60)
    expect(run.returncode == 1 and "401" in said and "I do not know Bearer ***" in said, said)
    expect(not [n for n in range(4, len(token) + 1) if token[:n] in said], f"the secret, or its beginning, is told: {said}")
    for protocol in ("otlp-http", "pyroscope", "pyroscope-ingest"):
        with Child(config(protocol, server.url, timeout_ms=20000, headers={"X-Key": "0ther-s3cret"}),
                   {"ca": at("ca.pem"), "token": at("token")}, stderr=subprocess.DEVNULL) as child:
            reply = child.send(path)
        expect("***" in reply.error and token[:4] not in reply.error, f"{protocol}: {reply}")
    for more in (("--to", "http://me:s3cret@127.0.0.1/"), ("--to", server.url, "--proxy", "http://me:s3cret@127.0.0.1:1")):
        run = subprocess.run([program, "upload", path, *more], capture_output=True, text=True, timeout=60)
        expect(run.returncode == 2 and "--token-file" in run.stderr and "s3cret" not in run.stderr, run.stderr)
    server.close()
    print("secrets: in no command line, environment or core file, and not told where the server says them back")


def daemon(at, directory):
    """The authority that is trusted is replaced: what waited goes out, in order, and nothing was dropped."""
    server = Http(tls=context(at, "good"))
    ca = os.path.join(directory, "trusted.pem")
    copy = lambda name: (open(ca + ".new", "w").write(open(at(name)).read()), os.rename(ca + ".new", ca))
    copy("none.pem")
    d = Daemon(directory, {"a": {"Url": server.url, "CaFile": ca, "RetryInitial": "20ms", "RetryMax": "200ms", "Timeout": "60s"}})
    for i in range(3):
        d.put(small(i))
    s = d.wait(lambda s: s["a"]["retried"] >= 3, "an unknown authority")["a"]
    expect(s["waiting"] == 3 and s["sent"] == s["dropped"] == s["refused"] == s["rejected"] == 0, str(s))
    expect("certificate" in s["last_error"] and "CaFile=" in s["last_error"], str(s))
    copy("ca.pem")
    s = d.wait(lambda s: s["a"]["sent"] == 3, "the right authority")["a"]
    expect(s["waiting"] == 0 and len(server.requests) == 3, str(s))
    d.close()
    server.close()
    print("emberd: windows wait for the right certificate and go out with it")


def main():
    start = time.time()
    with tempfile.TemporaryDirectory() as directory:
        at = certificates(directory)
        path = write(directory, "w.pb.gz", window(60))
        outcomes(at, path)
        emberctl(at, path)
        secrets(at, path)
        daemon(at, directory)
    print(f"export over TLS: all held, {time.time() - start:.1f} s")


main()
