# SPDX-License-Identifier: GPL-2.0-or-later
"""The same dialogue with QEMU directly and through qmend: what the client gets must be the same.

A dialogue is a function of a Talk. It runs once against a QEMU's own socket and once against
qmend in front of an identical QEMU; then every byte received is compared, with nothing changed
but the digits of time stamps, and numbers of QEMU's descriptors replaced by the file behind them.

With QMEND_TEST_SELF=1 both sides are direct: that proves that a dialogue says the same twice.
"""

import contextlib
import os
import re
import signal
import time

import daemon
import qemu
import tap
from client import Client, Ended
from tap import Failure

SELF = os.environ.get("QMEND_TEST_SELF") == "1"
STAMP = re.compile(rb'"timestamp": \{"seconds": \d+, "microseconds": \d+\}')
DESCRIPTOR = re.compile(rb'"fd": (\d+)')
HELLO = b'{"execute":"qmp_capabilities"}\n'
HELLO_OOB = b'{"execute":"qmp_capabilities","arguments":{"enable":["oob"]}}\n'


class Side:
    """One QEMU, and qmend in front of it when @through."""

    def __init__(self, through, machine=None, options=(), **policy):
        self.through = through
        self.qemu = qemu.Qemu(machine, options)
        self.qmend = None
        self.path = self.qemu.path
        if through:
            self.qmend = daemon.Qmend(self.qemu.path, **policy)
            self.path = self.qmend.path
            self._await_qemu()

    def _await_qemu(self):
        """A first client has its greeting: what follows meets a qmend that is settled."""
        first = Client(self.path, negotiate=True)
        first.close()


def sides(machine=None, options=(), **policy):
    """Two fresh, identical QEMUs: without and with qmend."""
    return (Side(False, machine, options, **policy), Side(not SELF, machine, options, **policy))


class Talk:
    """One run of a dialogue: a client with steps that are the same on both sides."""

    def __init__(self, side, hello=True, oob=False):
        self.side = side
        self.direct = not side.through
        self.client = Client(side.path)
        self.files = {}  # QEMU's descriptor numbers, as seen when they were told
        self.number = 0
        self.patience = None  # seconds; None: as usual
        self.wait()
        if hello:
            self.send(HELLO_OOB if oob else HELLO)
            self.wait()

    def send(self, data, fds=()):
        self.client.send(data, fds, self.patience)

    def split(self, data, size=1, delay=0.0):
        self.client.send_split(data, size, delay)

    def wait(self, lines=1):
        """Wait for so many more lines."""
        for line in self.client.lines(lines):
            self._learn(line)
        return lines

    def last(self):
        """The last line received."""
        return bytes(self.client.got[:self.client.position]).splitlines()[-1]

    def step(self, data, lines=1, fds=()):
        """Send and wait."""
        self.send(data, fds)
        self.wait(lines)

    def sync(self, before=b"\n"):
        """A command of our own, and everything that comes until its reply."""
        self.number += 1
        mark = b'"sync-%d"' % self.number
        self.send(before + b'{"execute":"query-status","id":' + mark + b"}\n")
        while True:
            line = self.client.line(self.patience)
            self._learn(line)
            if mark in line:
                return

    def finish(self):
        """Half-close where qmend must bear it (QEMU itself drops what it has not said), read on.

        The reply to the last command sent must have been asked for with lines or sync when talking
        to QEMU, so here it only waits for silence.
        """
        if self.direct:
            self.until_quiet()
            return
        self.client.half_close()
        self.client.drain()

    def until_quiet(self, seconds=0.2):
        while self.client.receive(seconds):
            pass
        self.client.position = len(self.client.got)

    @contextlib.contextmanager
    def glued(self):
        """What is sent inside is read by qmend in one go."""
        if not self.direct:
            os.kill(self.side.qmend.process.pid, signal.SIGSTOP)
        try:
            yield
        finally:
            if not self.direct:
                os.kill(self.side.qmend.process.pid, signal.SIGCONT)

    def until_end(self):
        self.client.drain()

    def pause(self, seconds=0.02):
        time.sleep(seconds)

    def _learn(self, line):
        for number in DESCRIPTOR.findall(line):
            if number not in self.files:
                target = self.side.qemu.descriptors().get(int(number), "closed")
                self.files[number] = os.path.basename(target).encode()

    def transcript(self):
        """Everything received, without what differs from run to run."""
        text = STAMP.sub(b'"timestamp": {}', bytes(self.client.got))

        def name(match):
            return b'"fd": ' + self.files.get(match[1], b"unknown")
        return DESCRIPTOR.sub(name, text)


def play(dialogue, side, hello=True, oob=False):
    """Run @dialogue on one side; what the client got, and whether the connection ended early."""
    talk = Talk(side, hello, oob)
    try:
        dialogue(talk)
    except Ended as why:
        return talk.transcript() + b"<ended: %s>" % str(why).encode()
    except Failure as why:
        where = "through qmend" if side.through else "direct"
        raise Failure(f"{where}: {why}\nso far: {tap.shorten(talk.transcript(), 1500)}") from why
    finally:
        talk.client.close()
    return talk.transcript()


def compare(direct, through):
    """Fail at the first line that differs."""
    if direct == through:
        return
    one, two = direct.splitlines(True), through.splitlines(True)
    for number, (left, right) in enumerate(zip(one, two)):
        if left != right:
            break
    else:
        number = min(len(one), len(two))
    left = one[number] if number < len(one) else b"<nothing>"
    right = two[number] if number < len(two) else b"<nothing>"
    raise Failure(f"line {number + 1} of {len(one)} and {len(two)}\n"
                  f"  QEMU:  {tap.shorten(left, 900)}\n  qmend: {tap.shorten(right, 900)}")


def same(dialogue, pair=None, hello=True, oob=False, machine=None, options=()):
    """Play on both sides of @pair (fresh ones without) and compare."""
    pair = pair or sides(machine, options)
    compare(play(dialogue, pair[0], hello, oob), play(dialogue, pair[1], hello, oob))


class Shared:
    """A pair kept for all cases of a file whose dialogues leave nothing behind."""

    def __init__(self, **options):
        self.options = options
        self.pair = None

    def get(self):
        """The pair; a fresh one when a process of it has died."""
        if self.pair is None or not all(self._usable(side) for side in self.pair):
            self.pair = tap.keep(lambda: sides(**self.options))
        return self.pair

    @staticmethod
    def _usable(side):
        return side.qemu.alive() and (side.qmend is None or side.qmend.alive())
