#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Measure qmend beside its alternatives, in one run and one table. Called by scripts/bench."""

import argparse
import json
import os
import subprocess
import sys
import time

import memory
import peers
import report
import speed

SECTIONS = ("latency", "throughput", "schema", "outage", "memory", "idle")
OUTAGE_SECONDS = 300


def arguments():
    parser = argparse.ArgumentParser(prog="scripts/bench", description=__doc__)
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    parser.add_argument("--quick", action="store_true", help="fewer repetitions: a look, no proof")
    parser.add_argument("--only", metavar="SECTION,...", default=",".join(SECTIONS),
                        help=f"these sections alone: {', '.join(SECTIONS)}")
    chosen = parser.parse_args()
    chosen.only = chosen.only.split(",")
    unknown = set(chosen.only) - set(SECTIONS)
    if unknown:
        parser.error(f"no section {', '.join(sorted(unknown))}; there are {', '.join(SECTIONS)}")
    return chosen


def machine():
    """What the figures depend on."""
    def first_line(*command):
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        return ((done.stdout or done.stderr).splitlines() or ["unknown"])[0].strip()

    return {
        "processors": os.cpu_count(),
        "load": os.getloadavg()[0],
        "kernel": os.uname().release,
        "qmend": first_line(peers.QMEND, "--version"),
        "qemu": first_line(peers.QEMU, "--version"),
        "haproxy": first_line("haproxy", "-v"),
        "socat": first_line("bash", "-c", "socat -V | sed -n 2p"),
    }


def run_outage(way, kills):
    program = os.path.join(os.path.dirname(os.path.realpath(__file__)), "outage.py")
    done = subprocess.run([sys.executable, program, way, str(kills)], capture_output=True,
                          text=True, stdin=subprocess.DEVNULL, check=False,
                          env={**os.environ, "QMEND": peers.QMEND}, timeout=OUTAGE_SECONDS)
    lines = done.stdout.splitlines()
    if done.returncode == 77:  # the way in which tests are skipped
        raise peers.CannotMeasure(done.stdout.partition("SKIP")[2].strip())
    if done.returncode != 0 or not lines:
        raise peers.CannotMeasure(done.stderr.strip()[-3000:])
    return json.loads(lines[-1])


class Bench:
    def __init__(self, quick):
        self.quick = quick
        self.result = {}
        self.failures = []

    def measure(self, section, name, function, *args):
        """Put what function(*args) finds at result[section][name]."""
        print(f"{time.strftime('%H:%M:%S')}  {section}: {name}", file=sys.stderr, flush=True)
        try:
            self.result.setdefault(section, {})[name] = function(*args)
        except (peers.CannotMeasure, OSError, subprocess.SubprocessError, ValueError) as error:
            self.failures.append(f"{section}, {name}: {error}")

    def speed(self, only):
        """All of it with the same QEMU and relays."""
        quick = self.quick
        wanted = [name for name in ("latency", "throughput", "schema") if name in only]
        if not wanted:
            return
        try:
            with peers.Stage() as stage:
                ways = speed.Ways(stage)
                sizes = {"latency": (10, 100) if quick else (60, 150),
                         "throughput": (3, 300) if quick else (9, 700),
                         "schema": (3, 4) if quick else (10, 10)}
                for name in wanted:
                    self.measure("speed", name, getattr(speed, name), ways, *sizes[name])
        except (peers.CannotMeasure, OSError) as error:
            self.failures.append(f"{', '.join(wanted)}: {error}")

    def run(self, only):
        self.speed(only)
        if "outage" in only:
            for way in ("handover", "reconnect"):
                self.measure("outage", way, run_outage, way, 3 if self.quick else 10)
        if "memory" in only:
            self.measure("memory", "clients", memory.clients)
            self.measure("memory", "vms", memory.vms)
        if "idle" in only:
            self.measure("idle", "wakeups_per_second", memory.idle,
                         3 if self.quick else 10)


def main():
    chosen = arguments()
    about = machine()
    bench = Bench(chosen.quick)
    bench.run(chosen.only)
    rows = report.rows(bench.result)
    if chosen.json:
        print(json.dumps({"machine": about, "quick": chosen.quick, "figures": rows,
                          "measured": bench.result, "failures": bench.failures}, indent=1))
    else:
        report.print_table(about, rows, chosen.quick)
    for failure in bench.failures:
        print(f"bench: not measured: {failure}", file=sys.stderr)
    return 1 if bench.failures else 0


if __name__ == "__main__":
    sys.exit(main())
