#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A passt that ran before qmend came is found, watched and mended; it outlives qmend's end."""

import os
import socket
import subprocess
import sys
import time

from lib import guest, qmend, scene, stream, tap

UNDISTURBED_MS = 250  # a guest whose passt lives, on a loaded machine under TCG


class Found:
    def __init__(self):
        self.scene = scene.Scene("handover", backend={"budget": {"faults": 50, "period": "1m"}})
        self.echo = guest.Echo()
        self.passt = None
        self.client = None

    def start_passt(self):
        """As an operator would who has no qmend yet."""
        with stream.connect(self.scene.net, 20, socket.SOCK_STREAM) as connection:
            fd = connection.fileno()
            self.passt = subprocess.Popen(
                ["passt", "--foreground", "--fd", str(fd), "--pid", self.scene.pidfile],
                pass_fds=[fd], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL)

    def finds(self):
        self.scene.start_guest()
        self.start_passt()
        self.scene.guest.wait_up()
        self.scene.guest.report()
        self.scene.start_qmend()
        self.client = self.scene.client()
        entry = qmend.wait_ready(self.client)
        tap.check(entry["pid"] == self.passt.pid, f"found {entry}, runs {self.passt.pid}")
        tap.check(entry["starts"] == 0, f"it was not started by qmend: {entry}")
        time.sleep(1)
        tap.check(scene.passt_pids() == [self.passt.pid], f"passt: {scene.passt_pids()}")
        self.guest_is_undisturbed()

    def guest_is_undisturbed(self):
        window = self.scene.guest.wait_traffic(5)
        tap.comment(f"longest wait for an answer: {window['outage_ms']:.1f} ms")
        tap.check(window["outage_ms"] <= UNDISTURBED_MS, "the guest was disturbed")

    def mends(self):
        tap.check(qmend.backend(self.client)["pid"] == self.passt.pid, "not the found one")
        kill = scene.Kill(self.scene, self.client, self.echo)
        self.passt.wait(5)
        tap.comment(kill)
        tap.check(qmend.backend(self.client)["starts"] == 1, "not started once")
        tap.check(scene.passt_pids() == [kill.new_pid], f"passt: {scene.passt_pids()}")

    def restart_qmend(self):
        """passt that qmend itself started goes on when qmend ends, and is found again."""
        pid = qmend.backend(self.client)["pid"]
        self.scene.guest.report()
        tap.check(self.scene.qmend.stop() == 0, "qmend did not end with 0 after SIGTERM")
        self.client.stream.wait_end(5)
        time.sleep(0.5)
        tap.check(scene.passt_pids() == [pid], f"passt {pid} did not stay: {scene.passt_pids()}")
        self.guest_is_undisturbed()
        self.scene.start_qmend()
        self.client = self.scene.client()
        entry = qmend.wait_ready(self.client)
        tap.check(entry["pid"] == pid, f"found {entry}, runs {pid}")
        self.guest_is_undisturbed()

    def mends_again(self):
        kill = scene.Kill(self.scene, self.client, self.echo)
        tap.comment(kill)
        tap.check(scene.passt_pids() == [kill.new_pid], f"passt: {scene.passt_pids()}")

    def killed_qmend(self):
        """Not even SIGKILL of qmend takes the network from the guest."""
        pid = qmend.backend(self.client)["pid"]
        self.scene.guest.report()
        self.scene.qmend.stop(9)
        time.sleep(0.5)
        tap.check(scene.passt_pids() == [pid], f"passt {pid} did not stay: {scene.passt_pids()}")
        self.guest_is_undisturbed()
        self.scene.start_qmend() # replaces the socket that the dead one left
        self.client = self.scene.client()
        entry = qmend.wait_ready(self.client)
        tap.check(entry["pid"] == pid, f"found {entry}, runs {pid}")


class FoundListening:
    """Reconnect: passt listens, and is found by its socket alone, without a pid file."""

    def __init__(self, echo):
        self.scene = scene.Scene("reconnect", name="vm2")
        self.echo = echo

    def finds_and_mends(self):
        passt = subprocess.Popen(["passt", "--foreground", "--socket", self.scene.net],
                                 stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL,
                                 stderr=subprocess.DEVNULL)
        stream.until(lambda: os.path.exists(self.scene.net), 5, "passt listens")
        self.scene.start_guest()
        self.scene.start_qmend()
        client = self.scene.client()
        entry = qmend.wait_ready(client)
        tap.check(entry["pid"] == passt.pid, f"found {entry}, runs {passt.pid}")
        self.scene.guest.wait_up()
        kill = scene.Kill(self.scene, client, self.echo)
        passt.wait(5)
        tap.comment(kill)
        tap.check(scene.passt_pids() == [kill.new_pid], f"passt: {scene.passt_pids()}")


def main():
    scene.prepare(need_qemu_10=True)
    test = Found()
    listening = FoundListening(test.echo)
    try:
        return tap.run([
            ("a passt that already runs is found, its guest undisturbed", test.finds),
            ("it is watched: killed, it is mended", test.mends),
            ("qmend ends and starts again, the guest undisturbed", test.restart_qmend),
            ("mended again by the new qmend", test.mends_again),
            ("qmend is killed, the guest undisturbed", test.killed_qmend),
            ("(the first VM ends)", test.scene.release),
            ("reconnect: a listening passt is found and mended", listening.finds_and_mends),
        ], lambda: test.scene.describe() + "\n" + listening.scene.describe())
    finally:
        test.scene.release()
        listening.scene.release()


if __name__ == "__main__":
    sys.exit(main())
