#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A backend that cannot be started again: backoff, budget, given up, and the clients are told."""

import os
import signal
import sys
import time

from lib import qmend, scene, tap

FAULTS = 5
FIRST_MS = 100
MAX_MS = 400
JITTER = 0.25
SLACK_MS = 1000  # how much later than planned a try may come on a loaded machine

# Stands in for passt and notes each start; once "broken" is there it can only fail.
WRAPPER = """#!/bin/sh
date +%s%N >> {folder}/starts
[ -e {folder}/broken ] && exit 7
exec passt "$@"
"""


class GivenUp:
    def __init__(self):
        self.scene = scene.Scene("handover")
        self.folder = self.scene.folder
        wrapper = os.path.join(self.folder, "wrapper")
        with open(wrapper, "w", encoding="utf-8") as file:
            file.write(WRAPPER.format(folder=self.folder))
        os.chmod(wrapper, 0o755)
        command = self.scene.policy()["backends"]["net0"]["command"]
        self.scene.backend = {
            "command": [wrapper, *command[1:]],
            "backoff": {"first": f"{FIRST_MS}ms", "max": f"{MAX_MS}ms"},
            "budget": {"faults": FAULTS, "period": "1m"},
        }
        self.client = None
        self.killed_at = 0
        self.told_at = 0
        self.client_mark = self.witness_mark = 0

    def starts_ms(self):
        with open(os.path.join(self.folder, "starts"), encoding="utf-8") as file:
            return [int(line) / 1e6 for line in file]

    def runs(self):
        self.scene.start_guest()
        self.scene.start_qmend()
        self.client = self.scene.client()
        entry = qmend.wait_ready(self.client)
        tap.check(entry["starts"] == 1, f"backend: {entry}")
        tap.check(len(self.starts_ms()) == 1, "the wrapper was not started once")

    def gives_up(self):
        pid = qmend.backend(self.client)["pid"]
        with open(os.path.join(self.folder, "broken"), "w", encoding="utf-8"):
            pass
        self.client_mark, self.witness_mark = self.client.mark(), self.scene.guest.witness.mark()
        self.killed_at = time.monotonic()
        os.kill(pid, signal.SIGKILL)
        entry = qmend.wait_backend(self.client, lambda b: b["state"] == "given-up", 20, "given up")
        tap.comment(f"given up after {time.monotonic() - self.killed_at:.2f} s: {entry}")
        tap.check(entry["cause"] not in (None, "", "none"), f"no cause: {entry}")

    def backs_off(self):
        starts = self.starts_ms()[1:]
        waits = [after - before for before, after in zip(starts, starts[1:])]
        tap.comment("tries: " + str(len(starts)) + ", waits: " +
                    " ".join(f"{wait:.0f}" for wait in waits) + " ms")
        # the kill is the first fault of the budget, each failed try is one more
        tap.check(len(starts) == FAULTS - 1, f"{len(starts)} tries, not {FAULTS - 1}")
        planned = FIRST_MS
        for wait in waits:
            tap.check(planned * (1 - JITTER) - 5 <= wait <= planned * (1 + JITTER) + SLACK_MS,
                      f"a wait of {wait:.0f} ms where {planned} was planned")
            planned = min(planned * 2, MAX_MS)

    def tells_the_clients(self):
        """Held while there was hope, released with the giving up."""
        self.told_at = self.client.wait_event(scene.EVENT_GONE, 5)[0]
        starts = self.starts_ms()
        last_try = self.killed_at + (starts[-1] - starts[1]) / 1000
        tap.check(self.told_at >= last_try, "the event came before the last try")
        # each failed try is accepted by QEMU, and lost again: what it said, all of it, in its order
        said = [m for _, m in self.scene.guest.witness.events(mark=self.witness_mark)]
        heard = [m for _, m in self.client.events(mark=self.client_mark)]
        tap.check(heard == said, f"QEMU said {said}, the client heard {heard}")
        late = self.scene.client("late")
        tap.check(late.execute("query-status"), "a new client is not served")
        entry = qmend.backend(late)
        tap.check(entry["state"] == "given-up", f"a new client sees {entry}")

    def leaves_it(self):
        count = len(self.starts_ms())
        time.sleep(1.5)
        tap.check(len(self.starts_ms()) == count, "it was tried again after giving up")
        tap.check(not scene.passt_pids(), "there is a passt")
        tap.check(self.scene.guest.alive() and self.scene.qmend.alive(), "somebody ended")


class NeverStarts:
    """A command that is not there at all."""

    def __init__(self):
        self.scene = scene.Scene("handover", name="vm2", backend={
            "command": ["/nonexistent/passt", "--fd", "${fd}", "--pid", "${pidfile}"],
            "budget": {"faults": 3, "period": "1m"},
            "backoff": {"first": "50ms", "max": "100ms"},
        })

    def gives_up(self):
        self.scene.start_guest(paused=True)
        self.scene.start_qmend()
        client = self.scene.client()
        entry = qmend.wait_backend(client, lambda b: b["state"] == "given-up", 10, "given up")
        tap.comment(entry)
        tap.check(client.execute("query-status"), "the client is not served")
        log = [line for _, line in self.scene.qmend.log.since()]
        tap.check(any("net0" in line and "/nonexistent/passt" in line or
                      "net0" in line and "No such file" in line for line in log),
                  "the log does not say why")


def main():
    scene.prepare()
    test = GivenUp()
    never = NeverStarts()
    try:
        return tap.run([
            ("a wrapper of passt runs", test.runs),
            ("a backend that cannot start is given up", test.gives_up),
            ("tries are spaced by the backoff", test.backs_off),
            ("the held events reach the clients then", test.tells_the_clients),
            ("nothing is tried after that", test.leaves_it),
            ("a command that does not exist is given up, clients are served", never.gives_up),
        ], lambda: test.scene.describe() + "\n" + never.scene.describe())
    finally:
        test.scene.release()
        never.scene.release()


if __name__ == "__main__":
    sys.exit(main())
