"""Runs the script that imports this under BUILD/venv, made from tools/test-requirements.txt where it is missing or old."""
import fcntl
import hashlib
import os
import shutil
import subprocess
import sys

os.environ["GRPC_ENABLE_FORK_SUPPORT"] = "0"  # it logs a line for each child
BUILD = os.environ.get("EMBER_BUILD", "build")
REQUIREMENTS = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../tools/test-requirements.txt")


def enter():
    venv = os.path.join(os.path.abspath(BUILD), "venv")
    python = os.path.join(venv, "bin", "python")
    if os.path.abspath(sys.prefix) == venv:
        return
    want = hashlib.sha256(open(REQUIREMENTS, "rb").read()).hexdigest()
    stamp = os.path.join(venv, "stamp")
    with open(venv + ".lock", "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not os.path.exists(stamp) or open(stamp).read() != want:
            shutil.rmtree(venv, ignore_errors=True)
            r = subprocess.call([sys.executable, "-m", "venv", venv])
            r = r or subprocess.call([python, "-m", "pip", "install", "-q", "--disable-pip-version-check", "-r", REQUIREMENTS])
            if r:
                print(f"cannot install {REQUIREMENTS}")
                sys.exit(1)
            with open(stamp, "w") as f:
                f.write(want)
    os.execv(python, [python] + sys.argv)


enter()
