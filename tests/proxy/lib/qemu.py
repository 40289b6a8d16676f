# SPDX-License-Identifier: GPL-2.0-or-later
"""A real QEMU with one monitor socket, started in a folder of its own.

The monitor's path is relative to that folder, so that two of them answer with the same bytes.
"""

import os
import shutil
import signal
import subprocess

import tap
from tap import Failure

BINARY = os.environ.get("QMEND_QEMU", "qemu-system-x86_64")
NONE = ["-M", "none"]
Q35 = ["-M", "q35", "-m", "16", "-device", "pcie-root-port,id=rp0,chassis=1",
       "-device", "virtio-serial-pci,id=vs0", "-chardev", "ringbuf,id=rb0",
       "-device", "virtserialport,chardev=rb0,id=port0",
       "-netdev", "hubport,id=n0,hubid=0", "-device", "virtio-net-pci,netdev=n0,id=nic0"]


class Qemu:
    """One QEMU process, killed after the case."""

    def __init__(self, machine=None, options=(), directory=None, paused=True):
        if shutil.which(BINARY) is None:
            raise tap.Skip(f"no {BINARY}")
        self.directory = directory or tap.folder("q")
        self.path = os.path.join(self.directory, "qemu.sock")
        self.command = [BINARY, "-accel", "tcg", *(machine or NONE), *(["-S"] if paused else []),
                        "-nodefaults", "-nographic", "-qmp",
                        "unix:qemu.sock,server=on,wait=off", *options]
        self.process = None
        self.start()
        tap.cleanup(self.kill)

    def start(self):
        with open(os.path.join(self.directory, "qemu.log"), "ab") as log:
            self.process = tap.child(subprocess.Popen(
                self.command, cwd=self.directory, stdin=subprocess.DEVNULL, stdout=log, stderr=log))
        tap.wait_until(lambda: os.path.exists(self.path) or self.process.poll() is not None,
                       "QEMU's monitor socket")
        if self.process.poll() is not None:
            raise Failure(f"QEMU did not start: {self.log()}")

    def log(self):
        with open(os.path.join(self.directory, "qemu.log"), encoding="utf-8") as text:
            return text.read()

    def alive(self):
        return self.process.poll() is None

    def kill(self, number=signal.SIGKILL):
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            self.process.wait(tap.PATIENCE)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()

    def descriptors(self):
        return descriptors(self.process.pid)

    def holds(self, path):
        """How many descriptors of QEMU's refer to the file @path."""
        return sum(target == path for target in self.descriptors().values())


def descriptors(pid):
    """The open descriptors of a process: number to target."""
    found = {}
    for number in os.listdir(f"/proc/{pid}/fd"):
        try:
            found[int(number)] = os.readlink(f"/proc/{pid}/fd/{number}")
        except OSError:
            pass  # closed meanwhile
    return found
