#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""passt is killed again and again under a real guest: how long is the guest without network?

usage: outage.py handover|reconnect KILLS

A program of its own, because it runs in network and PID namespaces of its own. Prints JSON, times
in ms after the kill; "outage" is the guest's own view: its longest wait for an answer of a probe.
"""

import json
import os
import sys
import time

HERE = os.path.dirname(os.path.realpath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "real")]

from lib import guest, qmend, scene  # noqa: E402
import peers  # noqa: E402

IDLE_SECONDS = 10
BUDGET = {"budget": {"faults": 64, "period": "1m"}}


def version(client):
    numbers = client.greeting["QMP"]["version"]["qemu"]
    return "{major}.{minor}.{micro}".format(**numbers)


def idle(process, seconds=IDLE_SECONDS):
    """Wake-ups per second while nothing happens but that the guest runs."""
    time.sleep(1)
    before = peers.switches(process.pid)
    time.sleep(seconds)
    return (peers.switches(process.pid) - before) / seconds


def measure(stage, kills):
    echo = guest.Echo()
    stage.start_guest()
    stage.start_qmend()
    clients = [stage.client(name) for name in ("first", "second")]
    boot = stage.guest.wait_up()
    qmend.wait_ready(clients[0])
    result = {"qemu": version(clients[0]), "boot_seconds": boot,
              "memory": peers.memory(stage.qmend.process.pid)}
    done = [scene.Kill(stage, clients[0], echo) for _ in range(kills)]
    for what in ("connected", "traffic", "outage"):
        values = [getattr(kill, f"{what}_ms") for kill in done]
        result[f"{what}_ms"] = {"median": peers.median(values), "least": min(values),
                                "most": max(values), "all": values}
    result["mended"] = sum(kill.new_pid != kill.old_pid for kill in done)
    result["wakeups_per_second"] = idle(stage.qmend.process)
    result["memory_after"] = peers.memory(stage.qmend.process.pid)
    return result


def main():
    way, kills = sys.argv[1], int(sys.argv[2])
    scene.prepare(need_qemu_10=way == "reconnect")
    stage = scene.Scene(way, backend=BUDGET)
    try:
        print(json.dumps(measure(stage, kills)))
    except Exception as error:  # whatever it is, the log says more
        print(f"{type(error).__name__}: {error}\n{stage.describe()}", file=sys.stderr)
        return 1
    finally:
        stage.release()
    return 0


if __name__ == "__main__":
    sys.exit(main())
