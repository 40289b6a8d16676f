#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""An end that somebody wanted is no fault: no passt is started after it."""

import signal
import sys
import time

from lib import guest, qmend, scene, stream, tap

WATCH_SECONDS = 1.5  # a start would come at once, a second try after 100 ms


class Case:
    """A VM of its own, ready with its passt; for most of them no guest needs to run in it."""

    def __init__(self, way="handover", boot=False, paused=False):
        self.scene = scene.Scene(way)
        CURRENT.append(self.scene)
        self.scene.start_guest(paused=paused)
        self.scene.start_qmend()
        self.client = self.scene.client()
        if boot:
            self.scene.guest.wait_up()
        self.pid = qmend.wait_ready(self.client)["pid"]

    def no_new_passt(self, old_may_stay=False):
        end = time.monotonic() + WATCH_SECONDS
        while time.monotonic() < end:
            new = [pid for pid in scene.passt_pids() if pid != self.pid]
            tap.check(not new, f"a passt was started: {new}, the old one was {self.pid}")
            time.sleep(0.02)
        tap.check(old_may_stay or not scene.passt_pids(), "the old passt did not end")
        tap.check(self.scene.qmend.alive(), "qmend ended")

    def qemu_ends(self, timeout=30):
        self.scene.guest.wait_end(timeout)
        self.client.stream.wait_end(5)


CURRENT = []


def quit_by_client():
    case = Case()
    case.client.execute("quit")
    case.qemu_ends()
    tap.check(case.client.events("SHUTDOWN"), "the client was not told of the end")
    case.no_new_passt()


def quit_with_reconnect():
    case = Case("reconnect")
    case.client.execute("quit")
    case.qemu_ends()
    case.no_new_passt(old_may_stay=True)


def powerdown():
    case = Case(boot=True)
    case.client.execute("system_powerdown")
    case.qemu_ends(60)
    names = [m["event"] for _, m in case.client.events()]
    tap.check("POWERDOWN" in names and "SHUTDOWN" in names, f"events: {names}")
    case.no_new_passt()


def guest_ends_itself():
    case = Case(boot=True)
    case.scene.guest.end_from_inside()
    case.qemu_ends(60)
    case.no_new_passt()


def sigterm_of_qemu():
    case = Case()
    case.scene.guest.process.send_signal(signal.SIGTERM)
    case.qemu_ends()
    case.no_new_passt()


def sigkill_of_qemu():
    case = Case()
    case.scene.guest.kill()
    case.qemu_ends()
    case.no_new_passt()


def sigkill_of_paused_qemu():
    case = Case(paused=True)
    case.scene.guest.kill()
    case.qemu_ends()
    case.no_new_passt()


def netdev_del_by_client():
    case = Case()
    case.client.execute("netdev_del", {"id": "net0"})
    stream.until(lambda: case.pid not in scene.passt_pids(), 5, "passt ends with its netdev")
    case.no_new_passt()
    entry = qmend.backend(case.client)
    tap.check(entry["starts"] == 1 and entry["state"] == "stopped", f"backend: {entry}")
    tap.check(case.client.execute("query-status"), "no answers any more")


def next_qemu_is_served():
    """After a wanted end the same qmend serves the next QEMU on the same path, passt included."""
    case = Case()
    case.client.execute("quit")
    case.qemu_ends()
    case.scene.next_guest()
    again = case.scene.client("second", timeout=20)
    entry = qmend.wait_ready(again, not_pid=case.pid)
    tap.check(scene.passt_pids() == [entry["pid"]], f"{scene.passt_pids()} are not {entry}")


def isolated(function):
    def test():
        try:
            function()
        except Exception:
            for one in CURRENT:
                tap.comment(one.describe())
            raise
        finally:
            for one in CURRENT:
                one.release()
            CURRENT.clear()
    return test


def main():
    scene.prepare(need_qemu_10=True)
    echo = guest.Echo()
    tests = [
        ("quit by a client", quit_by_client),
        ("quit by a client, reconnect", quit_with_reconnect),
        ("system_powerdown", powerdown),
        ("the guest ends by itself", guest_ends_itself),
        ("SIGTERM of QEMU", sigterm_of_qemu),
        ("SIGKILL of QEMU", sigkill_of_qemu),
        ("SIGKILL of a paused QEMU", sigkill_of_paused_qemu),
        ("netdev_del by a client", netdev_del_by_client),
        ("the next QEMU on the same path is served", next_qemu_is_served),
    ]
    tap.comment(f"server for the guest on port {echo.port}")
    return tap.run([(title, isolated(function)) for title, function in tests])


if __name__ == "__main__":
    sys.exit(main())
