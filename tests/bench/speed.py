# SPDX-License-Identifier: GPL-2.0-or-later
"""Round trips and commands per second: direct, through socat, through HAProxy, through qmend.

One QEMU with four monitors, one for each way, so that all are measured at the same time, in short
blocks in turn: what else the machine does hits all alike.
"""

import time

import peers
from peers import median

WAYS = ("direct", "socat", "haproxy", "qmend")
WINDOW = 16


class Ways:
    """The four ways to one QEMU, and a bare echo server."""

    def __init__(self, stage):
        self.stage = stage
        self.qemu, monitors = stage.start_qemu(len(WAYS))
        self.process = {}
        self.path = {"direct": monitors[0]}
        self.process["socat"], self.path["socat"] = stage.start_socat(monitors[1])
        self.process["haproxy"], self.path["haproxy"] = stage.start_haproxy(monitors[2])
        self.process["qmend"], listens = stage.start_qmend([monitors[3]])
        self.path["qmend"] = listens[0]
        _, self.echo = stage.start_echo()

    def targets(self):
        return [f"{way}={self.path[way]}" for way in WAYS]

    def cpu(self):
        """Processor time of the relays so far; socat's works in a child for each client."""
        time.sleep(0.3)
        return {way: peers.cpu_seconds(process.pid) for way, process in self.process.items()}


def latency(ways, blocks, count):
    """Percentiles in us; what each relay added to direct in the same block, median of the blocks;
    and its processor time for each round trip."""
    before = ways.cpu()
    found = peers.load("latency", "-b", blocks, "-n", count, f"floor=raw:{ways.echo}",
                       *ways.targets())
    after = ways.cpu()
    for way in WAYS[1:]:
        for part in ("p50", "p99"):
            blocks_of = [found[name][f"blocks_{part}_us"] for name in (way, "direct")]
            found[way][f"added_{part}_us"] = median([mine - base for mine, base in zip(*blocks_of)])
        found[way]["cpu_us"] = (after[way] - before[way]) * 1e6 / found[way]["count"]
    return found


def schema(ways, blocks, count):
    """Like latency(), of query-qmp-schema; the first answer is not counted."""
    found = peers.load("latency", "-c", "query-qmp-schema", "-b", blocks, "-n", count,
                       *ways.targets())
    return {way: found[way]["p50_us"] / 1000 for way in WAYS}


def throughput(ways, rounds, milliseconds):
    """Commands per second, median of the rounds. QEMU, socat and HAProxy to it serve one client at
    a time, so 16 go through qmend alone."""
    runs = [(way, 1) for way in WAYS] + [("qmend", 16)]
    rates = {run: [] for run in runs}
    busy = {run: [] for run in runs}
    for _ in range(rounds):
        for way, clients in runs:
            cpu = peers.cpu_seconds(ways.qemu.pid)
            found = peers.load("throughput", "-k", clients, "-w", WINDOW, "-s", milliseconds,
                               ways.path[way])
            rates[way, clients].append(found["per_second"])
            used = peers.cpu_seconds(ways.qemu.pid) - cpu
            busy[way, clients].append(used * 1000 / milliseconds)
    return {f"{way}_{clients}": {"per_second": median(rates[way, clients]),
                                 "rounds": rates[way, clients],
                                 "qemu_cpu": median(busy[way, clients])}
            for way, clients in runs}
