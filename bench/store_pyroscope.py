"""A Pyroscope on loopback beside emberd's store, for bench/store: takes windows by /ingest, answers one hour as one profile."""
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request

from pprof import varint

NAMES = {"samples": {"units": "samples", "display-name": "samples", "sampled": True},
         "cpu": {"units": "nanoseconds", "display-name": "cpu", "sampled": True}}
BOUNDARY = "ember-bench-store"


def free_port():
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return s.getsockname()[1]


def text_field(number, text):
    return varint(number << 3 | 2) + varint(len(text)) + text.encode()


class Pyroscope:
    def __init__(self, program, directory):
        http, grpc, gossip = free_port(), free_port(), free_port()
        self.url = f"http://127.0.0.1:{http}"
        addresses = ("server.http-listen-address", "server.grpc-listen-address", "memberlist.bind-addr",
                     "memberlist.advertise-addr", "ingester.lifecycler.addr", "distributor.ring.instance-addr",
                     "compactor.ring.instance-addr", "store-gateway.sharding-ring.instance-addr",
                     "query-frontend.instance-addr", "query-scheduler.ring.instance-addr",
                     "overrides-exporter.ring.instance-addr")
        self.log = open(os.path.join(directory, "log"), "w+")
        self.process = subprocess.Popen(
            [program, "-target=all", *(f"-{a}=127.0.0.1" for a in addresses), f"-server.http-listen-port={http}",
             f"-server.grpc-listen-port={grpc}", f"-memberlist.bind-port={gossip}", "-self-profiling.disable-push",
             "-distributor.ingestion-rate-limit-mb=1000", "-distributor.ingestion-burst-size-mb=1000",
             "-validation.reject-older-than=24h", "-usage-stats.enabled=false", "-log.level=warn",
             "-storage.backend=filesystem", f"-storage.filesystem.dir={directory}/store",
             f"-pyroscopedb.data-path={directory}/db"],
            cwd=directory, stdin=subprocess.DEVNULL, stdout=self.log, stderr=subprocess.STDOUT)
        end = time.monotonic() + 120
        while not self.is_ready():
            if self.process.poll() is not None or time.monotonic() > end:
                self.fail("it does not start")
            time.sleep(0.5)

    def fail(self, text):
        self.log.seek(0)
        sys.exit(f"Pyroscope: {text}\n{self.log.read()[-2000:]}")

    def is_ready(self):
        try:
            return urllib.request.urlopen(self.url + "/ready", timeout=5).status == 200
        except OSError:
            return False

    def post(self, path, body, content_type):
        request = urllib.request.Request(self.url + path, body, {"Content-Type": content_type})
        try:
            return urllib.request.urlopen(request, timeout=120).read()
        except urllib.error.HTTPError as e:
            self.fail(f"{path}: {e.code} {e.read()[:500]}")

    def push(self, pprof, start):
        """A window of a minute, unpacked."""
        parts = (("profile", pprof), ("sample_type_config", json.dumps(NAMES).encode()))
        body = b"".join(f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"; filename="{name}"\r\n\r\n'.encode() + data +
                        b"\r\n" for name, data in parts) + f"--{BOUNDARY}--\r\n".encode()
        query = urllib.parse.urlencode({"name": "bench{}", "from": start, "until": start + 60})
        self.post("/ingest?" + query, body, f"multipart/form-data; boundary={BOUNDARY}")

    def cpu_seconds(self):
        fields = pathlib.Path(f"/proc/{self.process.pid}/stat").read_text().rsplit(")", 1)[1].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def merge(self, start, end):
        """Wall and CPU seconds of the answer, and the answer: pprof, all stacks of [start, end) without labels."""
        question = (text_field(1, "process_cpu:cpu:nanoseconds:cpu:nanoseconds") + text_field(2, '{service_name="bench"}') +
                    b"\x18" + varint(start * 1000) + b"\x20" + varint(end * 1000 - 1) + b"\x28" + varint(1 << 30))
        cpu, before = self.cpu_seconds(), time.monotonic()
        answer = self.post("/querier.v1.QuerierService/SelectMergeProfile", question, "application/proto")
        return time.monotonic() - before, self.cpu_seconds() - cpu, answer

    def close(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()
