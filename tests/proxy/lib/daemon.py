# SPDX-License-Identifier: GPL-2.0-or-later
"""qmend itself: its policy files, its process, its log."""

import json
import os
import re
import signal
import socket
import subprocess
import time

import qemu
import tap
from tap import Failure

BINARY = os.environ.get("QMEND", "")
SOURCE = os.environ.get("QMEND_SOURCE", os.path.normpath(
    os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "..")))
SANITIZER = re.compile(r"ERROR: \w*Sanitizer|runtime error:|Sanitizer: ")


def environment(extra=None):
    """The environment qmend runs in: sanitizers stop at the first fault and keep little back."""
    return {**os.environ, "ASAN_OPTIONS": "quarantine_size_mb=8:detect_leaks=1:abort_on_error=0",
            "UBSAN_OPTIONS": "halt_on_error=1:print_stacktrace=1", **(extra or {})}


def need_binary():
    if not BINARY or not os.access(BINARY, os.X_OK):
        raise Failure(f"QMEND is not the path of a qmend binary: {BINARY!r}")


def command_line(*arguments, timeout=None, env=None):
    """Run qmend with @arguments to its end."""
    need_binary()
    try:
        done = subprocess.run([BINARY, *arguments], capture_output=True, text=True,
                              errors="backslashreplace", stdin=subprocess.DEVNULL,
                              timeout=timeout or tap.PATIENCE, env=environment(env), check=False)
    except subprocess.TimeoutExpired as error:
        raise Failure(f"qmend {' '.join(arguments)} did not end") from error
    if SANITIZER.search(done.stderr):
        raise Failure(f"qmend {' '.join(arguments)}:\n{done.stderr}")
    return done


def sanitized():
    """Is this binary built with a sanitizer? Then its memory says little."""
    with open(BINARY, "rb") as binary:
        return b"__asan_init" in binary.read()


def write_policy(directory, qemu_path, listen=None, name="t", **more):
    """Write a policy file; its path and that of its first listener."""
    default = os.path.join(directory, "qmp.sock")
    policy = {"vm": name, "qemu": qemu_path, "listen": listen or [default]}
    policy.update(more)
    policy.setdefault("limits", {"clients": 64, "queue": "32MiB", "memory": "256MiB"})
    path = os.path.join(directory, f"{name}.json")
    with open(path, "w", encoding="utf-8") as out:
        json.dump(policy, out, indent=1)
    first = policy["listen"][0]
    return path, first if isinstance(first, str) else first["path"]


class Qmend:
    """A running qmend, serving @policies or one made from @qemu_path and @options.

    After the case it is ended with SIGTERM, and the case fails when its status is not 0, a socket
    file is left behind or a sanitizer spoke.
    """

    def __init__(self, qemu_path=None, policies=None, level=None, env=None, recipes=(),
                 files=None, **options):
        need_binary()
        self.directory = tap.folder("m")
        if policies is None:
            policy, path = write_policy(self.directory, qemu_path, **options)
            policies = [(policy, path)]
        self.policies = [policy for policy, _ in policies]
        self.path = policies[0][1]
        self.log_path = os.path.join(self.directory, "log")
        self.process = None
        self.stopped = False
        self.level = level
        self.env = env
        self.files = files  # how many descriptors it may have open
        self.recipes = [*recipes, os.path.join(SOURCE, "policies")]
        self.start()
        tap.cleanup(self.stop)

    def start(self):
        level = ["--log-level", self.level] if self.level else []
        recipes = [text for path in self.recipes for text in ("--recipes", path)]
        # both limits: qmend raises the soft one to the hard one
        limit = ["prlimit", f"--nofile={self.files}:{self.files}"] if self.files else []
        with open(self.log_path, "ab") as log:
            self.process = tap.child(subprocess.Popen(
                [*limit, BINARY, "run", *recipes, *level, *self.policies],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment(self.env)))
        self.stopped = False
        for path in self.listeners():
            self._wait_for(path)

    def listeners(self):
        found = []
        for policy in self.policies:
            with open(policy, encoding="utf-8") as text:
                for listen in json.load(text)["listen"]:
                    found.append(listen if isinstance(listen, str) else listen["path"])
        return found

    def _wait_for(self, path):
        end = time.monotonic() + tap.PATIENCE
        while True:
            if self.process.poll() is not None:
                raise Failure(f"qmend ended at once with {self.process.returncode}: {self.log()}")
            if listening(path):
                return
            if time.monotonic() > end:
                raise Failure(f"qmend does not listen on {path}: {self.log()}")
            time.sleep(0.01)

    def log(self):
        with open(self.log_path, encoding="utf-8", errors="backslashreplace") as text:
            return text.read()

    def alive(self):
        return self.process.poll() is None

    def descriptors(self):
        return qemu.descriptors(self.process.pid)

    def descriptor_count(self):
        return len(self.descriptors())

    def memory(self):
        """Resident bytes."""
        with open(f"/proc/{self.process.pid}/status", encoding="ascii") as status:
            return int(re.search(r"VmRSS:\s+(\d+) kB", status.read())[1]) * 1024

    def cpu(self):
        """Seconds of processor time used so far."""
        with open(f"/proc/{self.process.pid}/stat", encoding="ascii") as stat:
            fields = stat.read().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def status(self, socket_path=None):
        done = command_line("status", "--json", socket_path or self.path)
        if done.returncode != 0:
            raise Failure(f"qmend status: {done.returncode} {done.stderr}")
        return json.loads(done.stdout)

    def stop(self, number=signal.SIGTERM):
        """End it and check how it ended. Does nothing the second time."""
        if self.stopped:
            return
        self.stopped = True
        early = self.process.poll()
        if early is None:
            self.process.send_signal(number)
            try:
                self.process.wait(tap.PATIENCE)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
                raise Failure(f"qmend did not end on signal {number}:\n{self.tail()}") from None
        log = self.log()
        if SANITIZER.search(log):
            raise Failure(f"a sanitizer spoke:\n{log[SANITIZER.search(log).start():][:5000]}")
        if early is not None:
            raise Failure(f"qmend had ended with {early}:\n{self.tail()}")
        if self.process.returncode != 0:
            raise Failure(f"qmend ended with {self.process.returncode}:\n{self.tail()}")
        left = [path for path in self.listeners() if os.path.lexists(path)]
        if left:
            raise Failure(f"left behind: {left}")

    def tail(self):
        return self.log()[-3000:]


def listening(path):
    """Does somebody listen on @path? Asked of the kernel, without connecting."""
    try:
        inode = os.stat(path).st_ino
    except OSError:
        return False
    with open("/proc/net/unix", encoding="utf-8", errors="replace") as table:
        for line in table:
            fields = line.split()
            if len(fields) == 8 and fields[7] == path and int(fields[3], 16) & 0x10000:
                return inode > 0
    return False


def stale_socket(path):
    """Leave a socket file at @path that nobody listens on."""
    sock = socket.socket(socket.AF_UNIX)
    sock.bind(path)
    sock.close()
