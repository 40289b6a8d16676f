# SPDX-License-Identifier: GPL-2.0-or-later
"""A real QEMU with the small real guest, and the server on the host that answers its probe."""

import os
import re
import signal
import socket
import struct
import subprocess
import threading
import time

from lib import stream
from lib.qmp import Qmp

SOURCE = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", "..", ".."))
CACHE = os.path.join(SOURCE, "build", "guest")
QEMU_10 = os.path.join(SOURCE, "build", "matrix", "10.0", "qemu-system-x86_64")
PROBE_PORT = 7777
BOOT_SECONDS = 120  # 4 to 5 on an idle machine


def make():
    """Build kernel and initramfs if they are not there or not up to date."""
    script = os.path.join(SOURCE, "tests", "real", "guest", "build")
    subprocess.run([script, CACHE], check=True, stdin=subprocess.DEVNULL,
                   stdout=subprocess.DEVNULL)


def make_qemu_10():
    """Bring QEMU 10.0 if it is not there."""
    script = os.path.join(SOURCE, "scripts", "setup-matrix")
    subprocess.run([script], check=True, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)


def fields(line):
    """key=value pairs of a line, numbers as numbers."""
    pairs = {}
    for key, value in re.findall(r"([a-z_]+)=(\S+)", line):
        try:
            pairs[key] = float(value) if "." in value else int(value)
        except ValueError:
            pairs[key] = value
    return pairs


class Echo:
    """Answers each datagram, and notes when which probe came."""

    def __init__(self, port=PROBE_PORT):
        self.socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.socket.bind(("127.0.0.1", port))
        self.port = port
        self.arrivals = []  # (time.monotonic(), sequence number)
        threading.Thread(target=self._serve, daemon=True, name="echo").start()

    def _serve(self):
        while True:
            data, sender = self.socket.recvfrom(2048)
            self.socket.sendto(data, sender)
            if len(data) == 16:
                self.arrivals.append((time.monotonic(), struct.unpack("QQ", data)[0]))

    def first_after(self, at):
        """When the first probe came after @at; None: none did."""
        first = None
        for arrived, _ in reversed(self.arrivals):
            if arrived <= at:
                break
            first = arrived
        return first


def handover_netdev(path):
    """QEMU listens; whoever mends connects and gives the connection to passt."""
    return f"stream,id=net0,server=on,addr.type=unix,addr.path={path}"


def reconnect_netdev(path, interval_ms=10):
    """QEMU connects to passt, and again when that is gone (QEMU 9.2 and newer)."""
    return (f"stream,id=net0,server=off,addr.type=unix,addr.path={path},"
            f"reconnect-ms={interval_ms}")


class Guest:
    """QEMU, started at once. Everything it needs lies in @folder; @binary is the emulator. It has
    a second monitor: @witness sees what QEMU says, also what qmend keeps from its clients."""

    def __init__(self, folder, netdev, binary=None, interval_ms=10, port=PROBE_PORT, paused=False):
        self.folder = folder
        self.qmp_path = os.path.join(folder, "qemu.qmp")
        self.witness_path = os.path.join(folder, "witness.qmp")
        self.port_path = os.path.join(folder, "probe.sock")
        self.console_path = os.path.join(folder, "console.sock")
        append = (f"console=ttyS0 quiet panic=-1 mitigations=off probe.port={port} "
                  f"probe.interval={interval_ms}")
        command = [
            binary or os.environ.get("QEMU", "qemu-system-x86_64"),
            "-accel", "tcg", "-machine", "pc", "-m", "192", "-smp", "1",
            "-nodefaults", "-no-user-config", "-display", "none",
            "-kernel", os.path.join(CACHE, "vmlinuz"), "-initrd", os.path.join(CACHE, "initrd"),
            "-append", append,
            "-chardev", f"socket,id=con,server=on,wait=off,path={self.console_path}",
            "-serial", "chardev:con",
            "-chardev", f"socket,id=probe,server=on,wait=off,path={self.port_path}",
            "-serial", "chardev:probe",
            "-qmp", f"unix:{self.qmp_path},server=on,wait=off",
            "-qmp", f"unix:{self.witness_path},server=on,wait=off",
            "-netdev", netdev,
            "-device", "virtio-net-pci,id=nic0,netdev=net0,romfile=",
        ] + (["-S"] if paused else [])
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL,
                                        stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
        self.started = time.monotonic()
        self.stderr = stream.Stream("qemu", lambda: os.read(self.process.stderr.fileno(), 4096))
        self.console = self._port("console", self.console_path)
        self.probe = self._port("probe", self.port_path)
        self.witness = Qmp(self.witness_path, "witness", timeout=20)

    def _port(self, name, path):
        sock = stream.connect(path, 20, socket.SOCK_STREAM)
        result = stream.Stream(name, lambda: sock.recv(4096))
        result.socket = sock
        return result

    def wait_up(self, timeout=BOOT_SECONDS):
        """Until probes are answered. Seconds since QEMU was started."""
        self.console.wait(lambda line: "guest: up" in line, timeout, what="network in the guest")
        self.probe.wait(lambda line: line.startswith("probe ready"), timeout, what="probe")
        self.wait_traffic(30)
        return time.monotonic() - self.started

    def report(self, timeout=10):
        """What the guest saw since the last report."""
        mark = self.probe.mark()
        self.probe.socket.sendall(b"report\n")
        return fields(self.probe.wait(lambda line: line.startswith("window"), timeout, mark,
                                      "report from the guest")[1])

    def wait_traffic(self, timeout, quiet_ms=45):
        """Until the newest answer is not older than @quiet_ms. The worst window on the way, as the
        guest saw it: its outage_ms is that of the longest outage."""
        deadline = time.monotonic() + timeout
        worst = None
        while True:
            window = self.report()
            if worst is None or window["outage_ms"] > worst["outage_ms"]:
                worst = window
            if window["answered"] > 0 and window["quiet_ms"] <= quiet_ms:
                return worst
            if time.monotonic() >= deadline:
                raise stream.Timeout(f"guest: no answers for {window['quiet_ms']:.0f} ms")
            time.sleep(0.1)

    def end_from_inside(self):
        """The guest powers itself off."""
        self.probe.socket.sendall(b"end\n")

    def alive(self):
        return self.process.poll() is None

    def wait_end(self, timeout=30):
        return self.process.wait(timeout)

    def kill(self):
        self.process.send_signal(signal.SIGKILL)
        self.process.wait(10)

    def describe(self):
        return "\n".join(s.tail() for s in (self.console, self.probe, self.stderr))
