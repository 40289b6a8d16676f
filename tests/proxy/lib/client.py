# SPDX-License-Identifier: GPL-2.0-or-later
"""A QMP client that keeps every byte it got, sends descriptors and never waits for ever."""

import array
import json
import os
import select
import socket
import time

import tap
from tap import Failure


class Ended(Failure):
    """The other side closed the connection."""


class Client:
    """One connection to a QMP server. `got` holds every byte received so far."""

    def __init__(self, path, negotiate=False, oob=False, receive_buffer=None):
        self.path = path
        self.got = bytearray()
        self.position = 0  # up to where lines were taken out of `got`
        self.ended = False
        self.events = []  # what reply() passed over
        self.others = []
        self.number = 0
        self.greeting = None
        self.socket = self._connect(receive_buffer)
        tap.cleanup(self.close)
        if negotiate or oob:
            self.negotiate(oob)

    def _connect(self, receive_buffer):
        end = time.monotonic() + tap.PATIENCE
        while True:
            sock = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            if receive_buffer:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_buffer)
            try:
                sock.setblocking(False)
                sock.connect(self.path)
                return sock
            except OSError as error:
                sock.close()
                if time.monotonic() > end:
                    raise Failure(f"cannot connect to {self.path}: {error}") from error
                time.sleep(0.005)

    def close(self):
        self.socket.close()

    def half_close(self):
        self.socket.shutdown(socket.SHUT_WR)

    # ---- sending

    def send(self, data, fds=(), timeout=None):
        """Send all of @data (bytes, or an object to be printed), reading nothing meanwhile."""
        data = encode(data)
        end = time.monotonic() + (tap.PATIENCE if timeout is None else timeout)
        view = memoryview(data)
        while view:
            sent = self.send_some(view, fds)
            fds = () if sent else fds
            view = view[sent:]
            if sent:
                continue
            left = end - time.monotonic()
            if left <= 0:
                raise Failure(f"{len(view)} bytes of {len(data)} could not be sent")
            select.select([], [self.socket], [], left)

    def send_some(self, view, fds=()):
        """Send what fits without waiting; how many bytes went."""
        ancillary = []
        if fds:
            ancillary = [(socket.SOL_SOCKET, socket.SCM_RIGHTS, array.array("i", fds))]
        try:
            return self.socket.sendmsg([view], ancillary)
        except BlockingIOError:
            return 0
        except OSError as error:
            raise Ended(f"cannot send: {error}") from error

    def send_split(self, data, size=1, delay=0.0):
        """Send @data in pieces of @size bytes."""
        for start in range(0, len(data), size):
            self.send(data[start:start + size])
            if delay:
                time.sleep(delay)

    # ---- receiving

    def receive(self, timeout=0.0, size=1 << 18):
        """Take what is there, waiting at most @timeout for it; true when something came."""
        if self.ended:
            return False
        try:
            if not select.select([self.socket], [], [], max(timeout, 0))[0]:
                return False
            data = self.socket.recv(size)
        except BlockingIOError:
            return False
        except ConnectionResetError:
            data = b""
        self.ended = not data
        self.got += data
        return bool(data)

    def line(self, timeout=None):
        """The next line without its CR LF. A line that ends otherwise is a Failure."""
        end = time.monotonic() + (tap.PATIENCE if timeout is None else timeout)
        scanned = self.position
        while True:
            stop = self.got.find(b"\n", scanned)
            if stop >= 0:
                break
            scanned = len(self.got)
            if self.ended:
                raise Ended("the connection ended", bytes(self.got[self.position:]))
            left = end - time.monotonic()
            if left <= 0:
                raise Failure(f"no line in time; last was {tap.shorten(bytes(self.got[-400:]))}")
            self.receive(left)
        line = bytes(self.got[self.position:stop + 1])
        self.position = stop + 1
        if not line.endswith(b"\r\n"):
            raise Failure(f"a line without CR LF: {tap.shorten(line)}")
        return line[:-2]

    def lines(self, count, timeout=None):
        return [self.line(timeout) for _ in range(count)]

    def message(self, timeout=None):
        return json.loads(self.line(timeout))

    def reply(self, wanted, timeout=None):
        """The reply with the id @wanted. What comes before it goes to `events` and `others`."""
        end = time.monotonic() + (tap.PATIENCE if timeout is None else timeout)
        while True:
            message = self.message(end - time.monotonic())
            if message.get("id", self) == wanted and "event" not in message:
                return message
            (self.events if "event" in message else self.others).append(message)

    def event(self, name, timeout=None):
        """The next event @name, from those passed over or those to come."""
        for known in self.events:
            if known["event"] == name:
                self.events.remove(known)
                return known
        end = time.monotonic() + (tap.PATIENCE if timeout is None else timeout)
        while True:
            message = self.message(end - time.monotonic())
            if message.get("event") == name:
                return message
            (self.events if "event" in message else self.others).append(message)

    def quiet(self, seconds=None):
        """Nothing may come within @seconds."""
        if self.receive(tap.QUIET if seconds is None else seconds) or self.pending():
            raise Failure(f"unexpected: {tap.shorten(self.pending())}")

    def pending(self):
        return bytes(self.got[self.position:])

    def drain(self, timeout=None):
        """Read until the other side closes; all bytes not yet taken."""
        end = time.monotonic() + (tap.PATIENCE if timeout is None else timeout)
        while not self.ended:
            left = end - time.monotonic()
            if left <= 0:
                raise Failure(f"not closed; last was {tap.shorten(bytes(self.got[-400:]))}")
            self.receive(left)
        rest = self.pending()
        self.position = len(self.got)
        return rest

    # ---- whole exchanges

    def negotiate(self, oob=False):
        self.greeting = self.message()
        if "QMP" not in self.greeting:
            raise Failure(f"no greeting: {self.greeting}")
        self.negotiate_greeted(oob)

    def negotiate_greeted(self, oob=False):
        """Negotiate after the greeting was read."""
        arguments = {"enable": ["oob"]} if oob else None
        answer = self.execute("qmp_capabilities", arguments)
        if "return" not in answer:
            raise Failure(f"negotiation refused: {answer}")

    def ask(self, name, arguments=None, oob=False, fds=(), ident=None):
        """Send a command; its id."""
        self.number += 1
        ident = self.number if ident is None else ident
        self.send(command(name, arguments, ident, oob), fds)
        return ident

    def execute(self, name, arguments=None, oob=False, fds=(), timeout=None):
        """Send a command and wait for its reply."""
        return self.reply(self.ask(name, arguments, oob, fds), timeout)

    def value(self, name, arguments=None, timeout=None):
        """What a command returns; an error is a Failure."""
        answer = self.execute(name, arguments, timeout=timeout)
        if "return" not in answer:
            raise Failure(f"{name}: {answer}")
        return answer["return"]


def command(name, arguments=None, ident=None, oob=False):
    """A command as an object."""
    made = {"exec-oob" if oob else "execute": name}
    if arguments is not None:
        made["arguments"] = arguments
    if ident is not None:
        made["id"] = ident
    return made


def encode(data):
    return data if isinstance(data, (bytes, bytearray)) else json.dumps(data).encode() + b"\n"


class File:
    """A temporary file with known content, to be handed over."""

    def __init__(self, directory, name, content=b""):
        self.path = os.path.join(directory, name)
        with open(self.path, "wb") as out:
            out.write(content)
        self.fd = os.open(self.path, os.O_RDWR | os.O_CLOEXEC)
        tap.cleanup(self.close)

    def close(self):
        if self.fd >= 0:
            os.close(self.fd)
            self.fd = -1

    def content(self):
        with open(self.path, "rb") as text:
            return text.read()
