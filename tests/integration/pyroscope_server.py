"""A real Pyroscope on loopback: for tests/slow/pyroscope, which builds one, and bench/store."""
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request

from export_lib import free_port

ADDRESSES = ("server.http-listen-address", "server.grpc-listen-address", "memberlist.bind-addr", "memberlist.advertise-addr",
             "ingester.lifecycler.addr", "distributor.ring.instance-addr", "compactor.ring.instance-addr",
             "store-gateway.sharding-ring.instance-addr", "query-frontend.instance-addr", "query-scheduler.ring.instance-addr",
             "overrides-exporter.ring.instance-addr")


class Server:
    """Ready when it is made; takes windows of the last 24 hours, at any rate."""

    def __init__(self, program, directory):
        http, grpc, gossip = free_port(), free_port(), free_port()
        self.url = f"http://127.0.0.1:{http}"
        self.log = open(os.path.join(directory, "log"), "w+")
        self.process = subprocess.Popen(
            [program, "-target=all", *(f"-{a}=127.0.0.1" for a in ADDRESSES), f"-server.http-listen-port={http}",
             f"-server.grpc-listen-port={grpc}", f"-memberlist.bind-port={gossip}", "-self-profiling.disable-push",
             "-distributor.ingestion-rate-limit-mb=1000", "-distributor.ingestion-burst-size-mb=1000",
             "-validation.reject-older-than=24h", "-usage-stats.enabled=false", "-log.level=warn",
             "-storage.backend=filesystem", f"-storage.filesystem.dir={directory}/store",
             f"-pyroscopedb.data-path={directory}/db"],
            cwd=directory, stdin=subprocess.DEVNULL, stdout=self.log, stderr=subprocess.STDOUT)
        end = time.monotonic() + 120
        while not self.is_ready():
            if self.process.poll() is not None or time.monotonic() > end:
                self.process.kill()
                self.fail("it does not start")
            time.sleep(0.5)

    def said(self):
        self.log.seek(0)
        return self.log.read()[-3000:]

    def fail(self, text):
        sys.exit(f"Pyroscope: {text}\n{self.said()}")

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

    def close(self):
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(timeout=30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.log.close()
