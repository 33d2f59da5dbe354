"""An emberd of a test's own: configuration, store and socket in one directory."""
import glob
import json
import os
import signal
import subprocess
import time

import check


class Daemon:
    def __init__(self, directory, config):
        self.directory = directory
        self.config = os.path.join(directory, "emberd.conf")
        self.store = os.path.join(directory, "store")
        self.socket = os.path.join(directory, "run/control.sock")
        self.write(config)
        self.log = open(os.path.join(directory, "log"), "w+")
        self.process = subprocess.Popen(self.arguments(), stderr=self.log)
        self.wait(lambda: os.path.exists(self.socket) and self.status(), 120)

    def arguments(self):
        return [check.EMBERD, "--foreground", "--config", self.config, "--store", self.store, "--runtime-dir",
                os.path.dirname(self.socket)]

    def write(self, config):
        with open(self.config, "w") as f:
            f.write(config)

    def wait(self, condition, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end and self.process.poll() is None:
            if condition():
                return True
            time.sleep(0.1)
        return False

    def ctl(self, *args, **kwargs):
        return check.run(check.EMBERCTL, *args, "--source", self.socket, **kwargs)

    def status(self):
        done = self.ctl("status", "--json", fail_ok=True)
        return json.loads(done.stdout) if done.returncode == 0 else None

    def rate(self):
        return [x["rate"] for x in self.status()["sources"] if x["name"] == "cpu"]

    def said(self):
        self.log.flush()
        return open(self.log.name).read()

    def windows(self, profile_type="cpu"):
        return sorted(glob.glob(os.path.join(self.store, profile_type, "*/*.pb.zst")))

    def stop(self):
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(120)
