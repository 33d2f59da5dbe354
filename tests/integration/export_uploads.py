"""emberd's uploads over a store of their own, driven line by line."""
import datetime
import json
import os
import signal
import subprocess
import time

from export_lib import BUILD, PROGRAM, expect

DRIVER = os.path.join(BUILD, "tests", "integration", "upload-driver")


class Daemon:
    """emberd's uploads over a store of its own."""

    def __init__(self, directory, sections):
        self.store = os.path.join(directory, "store")
        os.makedirs(self.store, exist_ok=True)
        self.config = os.path.join(directory, "emberd.conf")
        self.set(sections)
        self.log = open(os.path.join(directory, "log"), "ab+")
        self.process, self.next = None, int(time.time()) // 60 * 60 - 86400
        self.start()

    def set(self, sections):
        with open(self.config, "w") as f:
            for name, keys in sections.items():
                f.write(f"[Upload {name}]\n" + "".join(f"{k}={v}\n" for k, v in keys.items()))

    def start(self):
        self.process = subprocess.Popen([DRIVER, PROGRAM, self.store, self.config], stdin=subprocess.PIPE,
                                        stdout=subprocess.PIPE, stderr=self.log, text=True, bufsize=1)

    def say(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()

    def stored(self, data, kind="cpu"):
        """A window as the store leaves it; returns its path below the store."""
        start = datetime.datetime.fromtimestamp(self.next, datetime.timezone.utc)
        self.next += 60
        path = f"{kind}/{start:%Y-%m-%d}/{start:%Y%m%dT%H%M%SZ}-box.pb.zst"
        full = os.path.join(self.store, path)
        os.makedirs(os.path.dirname(full), exist_ok=True)
        with open(full + ".new", "wb") as f:
            f.write(data)
        os.rename(full + ".new", full)
        return path

    def put(self, data, kind="cpu"):
        path = self.stored(data, kind)
        self.say("put " + path)
        return path

    def status(self):
        self.say("status")
        return {u["name"]: u for u in json.loads(self.process.stdout.readline())}

    def wait(self, condition, what, seconds=60):
        end = time.time() + seconds
        while time.time() < end:
            status = self.status()
            if condition(status):
                return status
            time.sleep(0.05)
        self.log.seek(0)
        print(self.log.read().decode()[-2000:])
        expect(False, f"{what}: {json.dumps(status)}")

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait()

    def close(self):
        self.process.stdin.close()
        expect(self.process.wait(timeout=30) == 0, "the driver failed")
