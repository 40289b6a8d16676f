#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""QEMU 7.2 listens for its network; passt is killed again and again under a running guest."""

import os
import random
import signal
import sys
import time

from lib import guest, qmend, scene, stream, tap

KILLS = 10
BURST = 6       # the backoff doubles with each passt that is killed before it is ready
TARGET_MS = 25  # of the product, on an idle machine and without sanitizers
BOUND_MS = 60   # that must hold even on a loaded machine and with sanitizers


class Handover:
    def __init__(self):
        self.scene = scene.Scene("handover", backend={"budget": {"faults": 50, "period": "1m"}})
        self.echo = guest.Echo()
        self.client = None
        self.second = None
        self.kills = []

    def boots(self):
        self.scene.start_guest()
        self.scene.start_qmend()
        self.client = self.scene.client("first")
        self.second = self.scene.client("second")
        seconds = self.scene.guest.wait_up()
        entry = qmend.wait_ready(self.client)
        tap.check(entry["starts"] == 1, f"one start, not {entry}")
        tap.check(scene.passt_pids() == [entry["pid"]], f"{scene.passt_pids()} are not {entry}")
        tap.comment(f"guest up after {seconds:.1f} s")

    def mends(self):
        for number in range(KILLS):
            self.kills.append(scene.Kill(self.scene, self.client, self.echo))
            tap.comment(f"kill {number + 1}: {self.kills[-1]}")
            tap.check(scene.passt_pids() == [self.kills[-1].new_pid],
                      f"passt processes: {scene.passt_pids()}")

    def is_fast(self):
        outage = [kill.outage_ms for kill in self.kills]
        tap.check(len(outage) == KILLS, f"{len(outage)} of {KILLS} kills were mended")
        tap.comment("guest outage: " + tap.summary(outage))
        tap.comment("connected: " + tap.summary([kill.connected_ms for kill in self.kills]))
        tap.comment("kill to traffic: " + tap.summary([kill.traffic_ms for kill in self.kills]))
        tap.comment(f"target {TARGET_MS} ms: " +
                    ("met" if tap.median(outage) <= TARGET_MS else "not met here"))
        tap.check(tap.median(outage) <= BOUND_MS, f"median above {BOUND_MS} ms")

    def hides_the_fault(self):
        for client in (self.client, self.second):
            names = [m["event"] for _, m in client.events()]
            tap.check(not [n for n in names if n.startswith("NETDEV_STREAM")],
                      f"{client.name} saw {names}")
        gone = self.scene.guest.witness.events(scene.EVENT_GONE)
        tap.check(len(gone) == KILLS, f"QEMU itself noticed {len(gone)} of {KILLS}")

    def counts(self):
        entry = qmend.backend(self.client)
        tap.check(entry["starts"] == 1 + KILLS, f"starts: {entry}")
        tap.check(entry["state"] == "ready", f"state: {entry}")
        tap.check(self.client.execute("query-status")["running"], "the guest does not run")
        tap.check(self.scene.qmend.alive() and self.scene.guest.alive(), "somebody ended")

    def survives_a_burst(self):
        """Each new passt is killed at some moment of its start, before it is ready or after."""
        killed = 0
        for _ in range(BURST):
            pid, *_ = stream.until(scene.passt_pids, 20, "a passt")
            time.sleep(random.uniform(0, 0.03))
            try:
                os.kill(pid, signal.SIGKILL)
                killed += 1
            except ProcessLookupError:
                continue
            stream.until(lambda gone=pid: gone not in scene.passt_pids(), 5, "end of passt")
        window = self.scene.guest.wait_traffic(30)
        entry = qmend.wait_ready(self.client)
        tap.comment(f"{killed} kills, longest wait for an answer {window['outage_ms']:.0f} ms")
        tap.check(scene.passt_pids() == [entry["pid"]], f"{scene.passt_pids()} are not {entry}")
        tap.check(not [m for _, m in self.client.events() if "NETDEV" in m["event"]],
                  "a client heard of it")

    def mends_while_paused(self):
        """Without a running guest QEMU may not notice; the process alone says it."""
        self.client.execute("stop")
        before = qmend.wait_ready(self.client)["pid"]
        os.kill(before, signal.SIGKILL)
        after = qmend.wait_ready(self.client, not_pid=before)["pid"]
        self.client.execute("cont")
        window = self.scene.guest.wait_traffic(10)
        tap.comment(f"longest wait for an answer {window['outage_ms']:.0f} ms (paused in it)")
        tap.check(scene.passt_pids() == [after], f"passt: {scene.passt_pids()}")

    def ends_cleanly(self):
        tap.check(self.scene.qmend.stop() == 0, "qmend did not end with 0 after SIGTERM")
        tap.check(self.scene.guest.alive(), "QEMU ended with qmend")

    def release(self):
        self.scene.release()


def main():
    scene.prepare()
    test = Handover()
    try:
        return tap.run([
            ("a guest boots behind a passt that qmend started", test.boots),
            (f"{KILLS} kills of passt are mended", test.mends),
            (f"median outage of the guest at most {BOUND_MS} ms", test.is_fast),
            ("clients do not hear of mended faults", test.hides_the_fault),
            ("starts are counted, guest and QEMU go on", test.counts),
            (f"{BURST} kills in a burst, at any moment of the start", test.survives_a_burst),
            ("a kill while the guest is paused", test.mends_while_paused),
            ("qmend ends, QEMU goes on", test.ends_cleanly),
        ], test.scene.describe)
    finally:
        test.release()


if __name__ == "__main__":
    sys.exit(main())
