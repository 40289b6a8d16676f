# SPDX-License-Identifier: GPL-2.0-or-later
"""One VM with passt behind it and qmend before it, as most tests want it."""

import os
import random
import shutil
import signal
import tempfile
import time

from lib import guest, netns, qmend, stream, tap

EVENT_GONE = "NETDEV_STREAM_DISCONNECTED"
EVENT_BACK = "NETDEV_STREAM_CONNECTED"


def prepare(need_guest=True, need_qemu_10=False):
    """Everything a test needs, then the namespaces. Skips where something cannot be had."""
    if netns.INSIDE not in os.environ:
        try:
            if need_guest:
                guest.make()
            if need_qemu_10:
                guest.make_qemu_10()
        except (OSError, guest.subprocess.CalledProcessError) as error:
            tap.skip_all(f"cannot be prepared: {error}")
        for program in ("unshare", "ip", "passt", "qemu-system-x86_64"):
            if shutil.which(program) is None:
                tap.skip_all(f"no {program}")
        if not os.access(qmend.binary(), os.X_OK):
            tap.skip_all("no qmend: set QMEND")
    netns.enter()


def passt_pids():
    """Every passt in our PID namespace that is not a zombie."""
    found = []
    for entry in os.listdir("/proc"):
        if not entry.isdigit():
            continue
        try:
            with open(f"/proc/{entry}/stat", encoding="utf-8", errors="replace") as file:
                name, _, rest = file.read().partition("(")[2].rpartition(")")
        except OSError:
            continue
        if name.startswith("passt") and rest.split()[0] not in ("Z", "X"):
            found.append(int(entry))
    return sorted(found)


class Scene:
    """@way: "handover" or "reconnect". Nothing runs until the start_ functions are called."""

    def __init__(self, way="handover", name="vm1", backend=None, interval_ms=10):
        self.way = way
        self.name = name
        self.folder = tempfile.mkdtemp(prefix="qmend-test-")
        os.chmod(self.folder, 0o1777)  # passt binds and writes as nobody
        self.net = os.path.join(self.folder, "net0.sock")
        self.pidfile = os.path.join(self.folder, "net0.pid")
        self.listen = os.path.join(self.folder, "qmp.sock")
        self.backend = backend or {}
        self.interval_ms = interval_ms
        self.guest = None
        self.qmend = None
        self.policy_path = os.path.join(self.folder, f"{name}.json")

    def policy(self):
        backend = {"recipe": "passt", "netdev": "net0", "socket": self.net}
        if self.way == "handover":
            backend["pidfile"] = self.pidfile
            backend["command"] = ["passt", "--foreground", "--fd", "${fd}", "--pid", "${pidfile}"]
        else:
            backend["command"] = ["passt", "--foreground", "--socket", "${socket}"]
        return {
            "vm": self.name,
            "qemu": os.path.join(self.folder, "qemu.qmp"),
            "listen": [{"path": self.listen}],
            "backends": {"net0": {**backend, **self.backend}},
        }

    def start_guest(self, paused=False):
        netdev = (guest.handover_netdev if self.way == "handover" else
                  guest.reconnect_netdev)
        arguments = [self.net] if self.way == "handover" else [self.net, self.interval_ms]
        self.guest = guest.Guest(self.folder, netdev(*arguments), paused=paused,
                                 binary=None if self.way == "handover" else guest.QEMU_10)
        return self.guest

    def write_policy(self):
        return qmend.write_policy(self.policy_path, self.policy())

    def start_qmend(self):
        self.qmend = qmend.Qmend(self.write_policy())
        return self.qmend

    def client(self, name="client", first_id=1, timeout=20):
        return qmend.connect(self.listen, name, first_id, timeout)

    def next_guest(self, paused=False):
        """Another QEMU on the same paths, after the first has ended."""
        for path in (self.guest.qmp_path, self.guest.witness_path, self.guest.port_path,
                     self.guest.console_path):
            if os.path.exists(path):
                os.unlink(path)
        if self.way == "handover" and os.path.exists(self.net):
            os.unlink(self.net)
        return self.start_guest(paused)

    def describe(self):
        return "\n".join(part.describe() for part in (self.qmend, self.guest) if part)

    def release(self):
        """End what is left. Each of it is ours by pid."""
        if self.qmend and self.qmend.alive():
            self.qmend.stop(signal.SIGKILL)
        if self.guest and self.guest.alive():
            self.guest.kill()
        for pid in passt_pids():
            os.kill(pid, signal.SIGKILL)
        shutil.rmtree(self.folder, ignore_errors=True)


class Kill:
    """passt gets SIGKILL; what came of it. Times in ms after the kill."""

    def __init__(self, scene, client, echo, timeout=10):
        before = qmend.wait_ready(client)
        scene.guest.report()  # a new window
        time.sleep(random.uniform(0, 0.02))  # not in step with the probe
        mark, witness_mark = client.mark(), scene.guest.witness.mark()
        self.old_pid = before["pid"]
        self.at = time.monotonic()
        os.kill(self.old_pid, signal.SIGKILL)
        after = qmend.wait_ready(client, timeout, not_pid=self.old_pid)
        self.new_pid = after["pid"]
        connected = scene.guest.witness.wait_event(EVENT_BACK, timeout, witness_mark)[0]
        self.connected_ms = self._ms(connected)
        self.traffic_ms = self._ms(stream.until(lambda: echo.first_after(connected), timeout,
                                                "a probe of the guest"))
        window = scene.guest.wait_traffic(timeout)
        self.outage_ms = window["outage_ms"]
        self.gap_ms = window["gap_ms"]
        heard = [m["event"] for _, m in client.events(mark=mark)]
        tap.check(not heard, f"the client heard of a fault that was mended: {heard}")

    def _ms(self, at):
        return (at - self.at) * 1000

    def __str__(self):
        return (f"passt {self.old_pid} -> {self.new_pid}, connected after "
                f"{self.connected_ms:.1f} ms, traffic after {self.traffic_ms:.1f} ms, "
                f"outage in the guest {self.outage_ms:.1f} ms")
