# SPDX-License-Identifier: GPL-2.0-or-later
"""qmend as a process, its policies and what it says of itself."""

import json
import os
import signal
import subprocess

from lib import stream
from lib.guest import SOURCE
from lib.qmp import Qmp


def binary():
    return os.environ.get("QMEND") or os.path.join(SOURCE, "build", "release", "qmend")


class Qmend:
    """`qmend run` of these policy files; its log is a stream of lines."""

    def __init__(self, *policies):
        command = [binary(), "run", "--recipes", os.path.join(SOURCE, "policies"), *policies]
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self.log = stream.Stream("qmend", lambda: os.read(self.process.stderr.fileno(), 65536))

    def alive(self):
        return self.process.poll() is None

    def stop(self, number=signal.SIGTERM, timeout=10):
        """The exit status; negative: the signal that ended it."""
        if self.alive():
            self.process.send_signal(number)
        return self.process.wait(timeout)

    def describe(self):
        return self.log.tail(40)


def status(client):
    return client.execute("x-qmend-status")


def backend(client, name="net0"):
    """What x-qmend-status says of one backend."""
    for entry in status(client)["backends"]:
        if entry["name"] == name:
            return entry
    raise LookupError(f"no backend {name} in x-qmend-status")


def wait_backend(client, wanted, timeout, what, name="net0"):
    """Ask until wanted(backend) is true; the backend as it is then."""
    def found():
        entry = backend(client, name)
        return entry if wanted(entry) else None

    return stream.until(found, timeout, f"backend {name} {what}")


def wait_ready(client, timeout=15, not_pid=0, name="net0"):
    """Until the backend is ready, under another pid than @not_pid."""
    return wait_backend(client, lambda b: b["state"] == "ready" and b["pid"] not in (0, not_pid),
                        timeout, f"ready (not pid {not_pid})", name)


def write_policy(path, policy):
    with open(path, "w", encoding="utf-8") as file:
        json.dump(policy, file, indent=2)
    return path


def connect(path, name="client", first_id=1, timeout=10):
    return Qmp(path, name, first_id, timeout)
