"""A Pyroscope on loopback beside emberd's store, for bench/store: takes windows by /ingest, answers one hour as one profile."""
import json
import time
import urllib.parse

import check
from pprof import varint
from pyroscope_server import Server

NAMES = {"samples": {"units": "samples", "display-name": "samples", "sampled": True},
         "cpu": {"units": "nanoseconds", "display-name": "cpu", "sampled": True}}
BOUNDARY = "ember-bench-store"


def text_field(number, text):
    return varint(number << 3 | 2) + varint(len(text)) + text.encode()


class Pyroscope(Server):
    def push(self, pprof, start):
        """A window of a minute, unpacked."""
        parts = (("profile", pprof), ("sample_type_config", json.dumps(NAMES).encode()))
        body = b"".join(f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{name}"; filename="{name}"\r\n\r\n'.encode() + data +
                        b"\r\n" for name, data in parts) + f"--{BOUNDARY}--\r\n".encode()
        query = urllib.parse.urlencode({"name": "bench{}", "from": start, "until": start + 60})
        self.post("/ingest?" + query, body, f"multipart/form-data; boundary={BOUNDARY}")

    def cpu_seconds(self):
        stat = check.proc_stat(self.process.pid)
        return stat.user_s + stat.system_s

    def merge(self, start, end):
        """Wall and CPU seconds of the answer, and the answer: pprof, all stacks of [start, end) without labels."""
        question = (text_field(1, "process_cpu:cpu:nanoseconds:cpu:nanoseconds") + text_field(2, '{service_name="bench"}') +
                    b"\x18" + varint(start * 1000) + b"\x20" + varint(end * 1000 - 1) + b"\x28" + varint(1 << 30))
        cpu, before = self.cpu_seconds(), time.monotonic()
        answer = self.post("/querier.v1.QuerierService/SelectMergeProfile", question, "application/proto")
        return time.monotonic() - before, self.cpu_seconds() - cpu, answer
