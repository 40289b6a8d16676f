#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""QEMU 10.0 connects to passt by itself (reconnect-ms); passt is killed under a running guest."""

import sys

from lib import guest, qmend, scene, tap

KILLS = 10
INTERVALS_MS = (10, 50)
TARGET_MS = 60  # of the product, for both intervals, on an idle machine and without sanitizers
BOUND_MS = 150  # that must hold even on a loaded machine and with sanitizers


class Reconnect:
    def __init__(self, interval_ms, echo):
        self.scene = scene.Scene("reconnect", interval_ms=interval_ms,
                                 backend={"budget": {"faults": 50, "period": "1m"}})
        self.echo = echo
        self.interval_ms = interval_ms
        self.client = None

    def boots(self):
        self.scene.start_guest()
        self.scene.start_qmend()
        self.client = self.scene.client()
        seconds = self.scene.guest.wait_up()
        version = self.client.greeting["QMP"]["version"]["qemu"]
        tap.comment(f"QEMU {version['major']}.{version['minor']}.{version['micro']}, "
                    f"guest up after {seconds:.1f} s")
        tap.check(version["major"] >= 10, "not the QEMU that was asked for")
        tap.check(qmend.wait_ready(self.client)["starts"] == 1, "more than one start")

    def mends(self):
        outage, traffic = [], []
        for number in range(KILLS):
            kill = scene.Kill(self.scene, self.client, self.echo)
            tap.comment(f"kill {number + 1}: {kill}")
            outage.append(kill.outage_ms)
            traffic.append(kill.traffic_ms)
        tap.comment(f"reconnect-ms={self.interval_ms}, guest outage: " + tap.summary(outage))
        tap.comment("kill to traffic: " + tap.summary(traffic))
        tap.comment(f"target {TARGET_MS} ms: " +
                    ("met" if tap.median(outage) <= TARGET_MS else "not met here"))
        tap.check(tap.median(outage) <= BOUND_MS, f"median above {BOUND_MS} ms")
        tap.check(qmend.backend(self.client)["starts"] == 1 + KILLS, "starts are miscounted")


def main():
    scene.prepare(need_qemu_10=True)
    echo = guest.Echo()
    tests = []
    all_of_them = [Reconnect(interval, echo) for interval in INTERVALS_MS]
    for test in all_of_them:
        tests += [
            (f"reconnect-ms={test.interval_ms}: a guest boots", test.boots),
            (f"reconnect-ms={test.interval_ms}: {KILLS} kills are mended, median outage at most "
             f"{BOUND_MS} ms", test.mends),
            (f"reconnect-ms={test.interval_ms}: ends", test.scene.release),
        ]
    try:
        return tap.run(tests, lambda: "\n".join(t.scene.describe() for t in all_of_them))
    finally:
        for test in all_of_them:
            test.scene.release()


if __name__ == "__main__":
    sys.exit(main())
