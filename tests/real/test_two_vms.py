#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Two VMs in one qmend: what happens to one does not touch the other."""

import os
import signal
import socket
import sys
import threading
import time

from lib import guest, qmend, scene, stream, tap

UNDISTURBED_MS = 250  # a guest that has nothing to do with it, on a loaded machine under TCG
REPLY_MS = 250        # the longest wait for query-status beside a dying VM


class Pulse:
    """Asks query-status all the time and notes the longest wait."""

    def __init__(self, client):
        self.client = client
        self.longest = 0
        self.count = 0
        self.error = None
        self.stop = threading.Event()
        self.thread = threading.Thread(target=self._run, daemon=True)
        self.thread.start()

    def _run(self):
        try:
            while not self.stop.wait(0.005):
                begin = time.monotonic()
                self.client.execute("query-status")
                self.longest = max(self.longest, (time.monotonic() - begin) * 1000)
                self.count += 1
        except Exception as error:  # pylint: disable=broad-except
            self.error = error

    def end(self):
        self.stop.set()
        self.thread.join(15)
        tap.check(self.error is None, f"the other VM's client: {self.error}")
        tap.comment(f"{self.count} query-status, the longest took {self.longest:.1f} ms")
        tap.check(self.longest <= REPLY_MS, "the other VM's client had to wait")


class TwoVms:
    def __init__(self):
        budget = {"budget": {"faults": 50, "period": "1m"}}
        self.good = scene.Scene("handover", name="good", backend=budget)
        self.bad = scene.Scene("handover", name="bad", backend=budget)
        self.echo = guest.Echo()
        self.good_client = self.bad_client = None
        self.good_pid = 0

    def runs(self):
        self.good.start_guest()
        self.bad.start_guest(paused=True)
        self.good.qmend = qmend.Qmend(self.good.write_policy(), self.bad.write_policy())
        self.good_client = self.good.client("good")
        self.bad_client = self.bad.client("bad")
        self.good.guest.wait_up()
        self.good_pid = qmend.wait_ready(self.good_client)["pid"]
        bad_pid = qmend.wait_ready(self.bad_client)["pid"]
        tap.check(scene.passt_pids() == sorted([self.good_pid, bad_pid]), "not one passt each")
        tap.check(self.good_client.execute("query-status")["running"], "good does not run")
        tap.check(not self.bad_client.execute("query-status")["running"], "bad runs")

    def undisturbed(self, act):
        self.good.guest.report()
        mark = self.good_client.mark()
        pulse = Pulse(self.good_client)
        act()
        time.sleep(0.5)
        pulse.end()
        window = self.good.guest.wait_traffic(5)
        tap.comment(f"good guest: longest wait for an answer {window['outage_ms']:.1f} ms")
        tap.check(window["outage_ms"] <= UNDISTURBED_MS, "the good guest was disturbed")
        entry = qmend.backend(self.good_client)
        tap.check(entry["pid"] == self.good_pid and entry["starts"] == 1, f"good: {entry}")
        tap.check(not self.good_client.events(mark=mark), "events of the other VM")

    def other_passt(self):
        def act():
            before = qmend.backend(self.bad_client)
            os.kill(before["pid"], signal.SIGKILL)
            after = qmend.wait_ready(self.bad_client, not_pid=before["pid"])
            tap.check(after["starts"] == 2, f"bad: {after}")
        self.undisturbed(act)

    def other_garbage(self):
        """Its answers are read, but not looked at: what is measured is qmend, not this process."""
        def act():
            with stream.connect(self.bad.listen, 10, socket.SOCK_STREAM) as garbage:
                garbage.settimeout(0.01)
                rest = memoryview(b"}" * 100000 + b"\xff" + b'{"execute":' * 10000)
                end = time.monotonic() + 1
                while time.monotonic() < end:
                    try:
                        rest = rest[garbage.send(rest):] if rest else rest
                        garbage.recv(1 << 20)
                    except TimeoutError:
                        pass
                    except OSError:
                        break  # qmend has had enough of it
            tap.check(self.bad_client.execute("query-status"), "its neighbour is not served")
        self.undisturbed(act)

    def other_qemu(self):
        def act():
            late = self.bad.client("late")
            self.bad.guest.kill()
            late.stream.wait_end(5)
            stream.until(lambda: scene.passt_pids() == [self.good_pid], 5,
                         "the passt of the dead QEMU is gone and no other came")
            time.sleep(1)
            tap.check(scene.passt_pids() == [self.good_pid], f"passt: {scene.passt_pids()}")
        self.undisturbed(act)

    def still_mends(self):
        kill = scene.Kill(self.good, self.good_client, self.echo)
        tap.comment(kill)

    def other_comes_back(self):
        self.bad.next_guest(paused=True)
        again = self.bad.client("again")
        qmend.wait_ready(again)
        tap.check(again.execute("query-status")["status"] == "prelaunch", "not the new QEMU")


def main():
    scene.prepare()
    test = TwoVms()
    try:
        return tap.run([
            ("two VMs run behind one qmend", test.runs),
            ("the other's passt is killed", test.other_passt),
            ("the other's client sends garbage", test.other_garbage),
            ("the other's QEMU is killed", test.other_qemu),
            ("a kill of the first one's passt is mended after that", test.still_mends),
            ("the other's next QEMU is served", test.other_comes_back),
        ], lambda: test.good.describe() + "\n" + test.bad.describe())
    finally:
        test.good.release()
        test.bad.release()


if __name__ == "__main__":
    sys.exit(main())
