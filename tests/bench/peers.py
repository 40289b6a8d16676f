# SPDX-License-Identifier: GPL-2.0-or-later
"""The processes that the bench starts and looks at: QEMU, relays, qmend, the measuring programs."""

import json
import os
import re
import shutil
import subprocess
import tempfile
import time

SOURCE = os.path.realpath(os.path.join(os.path.dirname(__file__), "..", ".."))
BUILD = os.environ.get("QMEND_BUILD", os.path.join(SOURCE, "build", "release"))
QMEND = os.environ.get("QMEND", os.path.join(BUILD, "qmend"))
QEMU = os.environ.get("QEMU", "qemu-system-x86_64")
LOAD = os.path.join(BUILD, "tests", "bench_load")
SCRIPTED_QEMU = os.path.join(BUILD, "tests", "bench_scripted_qemu")
TICKS = os.sysconf("SC_CLK_TCK")

HAPROXY = """\
global
    nbthread 1
    maxconn 4000
defaults
    mode tcp
    timeout connect 5s
    timeout client 1h
    timeout server 1h
listen qmp
    bind unix@{listen}
    server qemu unix@{connect}
"""


class CannotMeasure(Exception):
    """The reason, in one line."""


class Stage:
    """A temporary folder and the processes that work in it; all end with it."""

    def __init__(self):
        self.folder = tempfile.mkdtemp(prefix="qmend-bench-")
        self.processes = []

    def __enter__(self):
        return self

    def __exit__(self, *_):
        for process in reversed(self.processes):
            stop(process)
        shutil.rmtree(self.folder, ignore_errors=True)

    def path(self, name):
        return os.path.join(self.folder, name)

    def start(self, *command, **options):
        """Start a process in the folder; what it says on stderr goes to the file `log`."""
        with open(self.path("log"), "ab") as log:
            options = {"stdin": subprocess.DEVNULL, "stdout": log, **options}
            process = subprocess.Popen(command, cwd=self.folder, stderr=log, **options)
        self.processes.append(process)
        return process

    def log(self):
        with open(self.path("log"), encoding="utf-8", errors="replace") as log:
            return log.read()[-2000:]

    def wait_socket(self, process, path, seconds=20):
        """Until @process, or one it started, listens at @path (absolute, or as it was given)."""
        end = time.monotonic() + seconds
        while not listening(path) and not listening(self.path(path)):
            if process.poll() is not None or time.monotonic() > end:
                raise CannotMeasure(f"{process.args[0]} does not listen at {path}: {self.log()}")
            time.sleep(0.01)

    def start_qemu(self, count):
        """One QEMU with @count monitors; their paths."""
        names = [f"qemu{number}.qmp" for number in range(count)]
        monitors = [text for name in names
                    for text in ("-qmp", f"unix:{name},server=on,wait=off")]
        process = self.start(QEMU, "-accel", "tcg", "-M", "none", "-nodefaults", "-nographic",
                             *monitors)
        for name in names:
            self.wait_socket(process, name)
        return process, [self.path(name) for name in names]

    def start_socat(self, connect):
        path = self.path("socat.sock")
        process = self.start("socat", f"UNIX-LISTEN:{path},fork", f"UNIX-CONNECT:{connect}")
        self.wait_socket(process, path)
        return process, path

    def start_haproxy(self, connect):
        path, config = self.path("haproxy.sock"), self.path("haproxy.cfg")
        with open(config, "w", encoding="utf-8") as file:
            file.write(HAPROXY.format(listen=path, connect=connect))
        process = self.start("haproxy", "-db", "-q", "-f", config)
        # it binds under another name and renames, so /proc/net/unix does not tell
        end = time.monotonic() + 20
        while not os.path.exists(path):
            if process.poll() is not None or time.monotonic() > end:
                raise CannotMeasure(f"haproxy does not start: {self.log()}")
            time.sleep(0.01)
        return process, path

    def start_qmend(self, connect, clients=None, name="qmend"):
        """One process for the VMs whose monitors are @connect; the sockets it listens at. @clients
        is the limit of each VM, None: that of a policy that sets none."""
        policies, sockets = [], []
        for number, qemu in enumerate(connect):
            sockets.append(self.path(f"{name}{number}.sock"))
            policies.append(self.path(f"{name}{number}.json"))
            with open(policies[-1], "w", encoding="utf-8") as file:
                json.dump({"vm": f"vm{number}", "qemu": qemu, "listen": [sockets[-1]],
                           **({"limits": {"clients": clients}} if clients else {})}, file)
        process = self.start(QMEND, "run", "--recipes", os.path.join(SOURCE, "policies"),
                             *policies)
        for path in sockets:
            self.wait_socket(process, path)
        return process, sockets

    def start_echo(self):
        path = self.path("echo.sock")
        process = self.start(LOAD, "echo", path)
        self.wait_socket(process, path)
        return process, path

    def start_scripted(self, count):
        """Many QEMUs in one process; the paths of their monitors."""
        process = self.start(SCRIPTED_QEMU, self.folder, str(count), stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE)
        wait_ready(process, self)
        return process, [self.path(f"{number}.qemu") for number in range(count)]

    def hold(self, paths, clients):
        """Attach @clients clients to each of @paths, until let_go()."""
        process = self.start(LOAD, "hold", "-k", str(clients), *paths, stdin=subprocess.PIPE,
                             stdout=subprocess.PIPE)
        wait_ready(process, self)
        return process


def wait_ready(process, stage):
    if process.stdout.readline() != b"ready\n":
        raise CannotMeasure(f"{process.args[0]} {process.args[1]}: {stage.log()}")


def let_go(process):
    process.stdin.close()
    process.wait(20)


def stop(process):
    if process.poll() is None:
        process.terminate()
        try:
            process.wait(5)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
    for pipe in (process.stdin, process.stdout):
        if pipe:
            pipe.close()


def load(*arguments):
    """Run the load client to its end; what it measured."""
    done = subprocess.run([LOAD, *map(str, arguments)], capture_output=True, text=True,
                          stdin=subprocess.DEVNULL, check=False, timeout=600)
    if done.returncode != 0:
        raise CannotMeasure(f"load {arguments[0]}: {done.stderr.strip()}")
    return json.loads(done.stdout)


def listening(path):
    """Does somebody listen at @path, under that name?"""
    with open("/proc/net/unix", encoding="utf-8", errors="replace") as table:
        return any(line.split()[3] == "00010000" and line.rstrip("\n").endswith(" " + path)
                   for line in list(table)[1:])


def cpu_seconds(pid):
    """Processor time of a process and of its children that have ended."""
    with open(f"/proc/{pid}/stat", encoding="utf-8", errors="replace") as stat:
        fields = stat.read().rpartition(")")[2].split()
    return sum(map(int, fields[11:15])) / TICKS


def memory(pid):
    """Bytes that are resident, and of these the ones that nobody else has mapped."""
    with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as rollup:
        found = {key: int(value) * 1024
                 for key, value in re.findall(r"^(\w+): +(\d+) kB", rollup.read(), re.M)}
    return {"rss": found["Rss"], "pss": found["Pss"],
            "private": found["Private_Clean"] + found["Private_Dirty"]}


def switches(pid):
    """How often the threads of a process gave the processor away or lost it."""
    count = 0
    for thread in os.listdir(f"/proc/{pid}/task"):
        with open(f"/proc/{pid}/task/{thread}/status", encoding="utf-8") as status:
            count += sum(int(n) for n in re.findall(r"ctxt_switches:\s+(\d+)", status.read()))
    return count


def median(values):
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2
