# SPDX-License-Identifier: GPL-2.0-or-later
"""A QMP server that answers from a script and checks what arrives.

It stands where QEMU stands: one connection at a time, greeting, negotiation, then commands. What
no script answers is answered as QEMU would, in short. A handler may hold a command; the test
answers it later. Everything that arrived is kept in `commands`, everything that QEMU's monitor
would not have liked in `violations`.
"""

import array
import json
import os
import re
import socket
import threading

import tap
from tap import Failure

HOLD = object()  # returned by a handler: no answer yet
TAKES_DESCRIPTOR = ("getfd", "add-fd")
QUEUE = 8  # in-band commands at which QEMU stops reading


class ERROR:
    """Returned by a handler: the command fails."""

    def __init__(self, text, kind="GenericError"):
        self.text = text
        self.kind = kind


class Command:
    """One command as it arrived."""

    def __init__(self, raw, message, files):
        self.raw = raw
        self.oob = "exec-oob" in message
        self.name = message.get("exec-oob" if self.oob else "execute")
        self.arguments = message.get("arguments", {})
        self.has_id = "id" in message
        self.id = message.get("id")
        self.files = files  # (device, inode) of the descriptors it took
        self.answered = False
        self.connection = 0

    def __repr__(self):
        return f"<{self.name} {self.arguments} id {self.id}>"


class Splitter:
    """Cuts a stream into JSON texts; enough of QEMU's lexer for what a proxy may send."""

    marks = re.compile(rb"[\"'{}\[\]\xff]")
    inside = {0x22: re.compile(rb'[^"\\\xff]*(?:\\.[^"\\\xff]*)*', re.S),
              0x27: re.compile(rb"[^'\\\xff]*(?:\\.[^'\\\xff]*)*", re.S)}

    def __init__(self):
        self.kept = bytearray()

    def feed(self, data):
        """The texts that are complete now: (bytes, None), or (bytes, error)."""
        self.kept += data
        found = []
        if len(data) == 1 and data not in b"}]\xff":
            return found  # nothing ends here
        while self.kept:
            stop, error = self._next()
            if stop == 0:
                break
            text = bytes(self.kept[:stop])
            del self.kept[:stop]
            if text.strip(b" \t\r\n"):
                found.append((text, error))
        return found

    def _next(self):
        """Length of the first text (0: not complete) and what is wrong with it."""
        depth, at = 0, 0
        while True:
            mark = self.marks.search(self.kept, at)
            if mark is None:
                return 0, None
            kind, at = mark[0], mark.end()
            if kind == b"\xff":
                return at, "stray"
            if kind in b"\"'":
                at = self.inside[kind[0]].match(self.kept, at).end()
                if at >= len(self.kept):
                    return 0, None
                if self.kept[at] == 0xff:
                    return at + 1, "stray"
                at += 1
                continue
            depth += 1 if kind in b"{[" else -1
            if depth < 0:
                return at, "stray"
            if depth == 0:
                return at, None


def decode(text):
    """JSON with QEMU's single-quoted strings."""
    def double(match):
        if match[0].startswith(b'"'):
            return match[0]
        inner = match[0][1:-1].replace(b"\\'", b"'")
        return b'"' + re.sub(rb'(?<!\\)"', rb'\\"', inner) + b'"'
    quoted = rb'"(?:[^"\\]|\\.)*"|\'(?:[^\'\\]|\\.)*\''
    return json.loads(re.sub(quoted, double, text, flags=re.S))


class ScriptedQemu:
    """A scripted QEMU listening on @path."""

    def __init__(self, path=None, handler=None, before=b"", after=b"", micro=22, oob=True,
                 exact=False, serial=False):
        self.path = path or os.path.join(tap.folder("s"), "qemu.sock")
        self.handler = handler
        self.before = before  # sent ahead of the greeting
        self.after = after  # sent behind it
        self.exact = exact  # read byte by byte, so that descriptors have an exact place
        self.serial = serial  # as QEMU: no in-band command begins before the last one has ended
        self.running = None
        self.waiting = []
        self.version = {"qemu": {"micro": micro, "minor": 2, "major": 7}, "package": "scripted"}
        self.oob = oob
        self.lock = threading.RLock()
        self.commands = []
        self.violations = []
        self.garbage = []
        self.connections = 0
        self.connection = None
        self.negotiated = False
        self.outstanding = self.most_outstanding = 0
        self.descriptors_outstanding = 0
        self.ids = set()
        self.pending = []
        self.stopped = False
        self.listener = self._listen()
        threading.Thread(target=self._serve, daemon=True).start()
        tap.cleanup(self.stop)

    # ---- what a test does

    def named(self, name):
        """The commands @name that have arrived."""
        with self.lock:
            return [c for c in self.commands if c.name == name]

    def await_command(self, name, count=1, timeout=None):
        """Wait for @count commands @name; the last of them."""
        tap.wait_until(lambda: len(self.named(name)) >= count,
                       f"{count} x {name} at QEMU", timeout)
        return self.named(name)[count - 1]

    def await_negotiated(self):
        tap.wait_until(lambda: self.negotiated, "negotiation with QEMU")

    def reply(self, command, value=None):
        """Answer a command that was held."""
        with self.lock:
            self._finish(command, {} if value is None else value)

    def reply_raw(self, command, body):
        """Answer a command that was held with @body, bytes that need not be JSON."""
        with self.lock:
            self._settle(command)
            ident = json.dumps(command.id).encode()
            self.say(b'{"return": ' + body + b', "id": ' + ident + b"}\r\n")

    def event(self, name, data=None, stamp=1):
        """Send an event."""
        event = {"timestamp": {"seconds": stamp, "microseconds": 0}, "event": name}
        if data is not None:
            event["data"] = data
        self.say(event)

    def say(self, what):
        """Send an object or raw bytes."""
        data = what if isinstance(what, bytes) else json.dumps(what).encode() + b"\r\n"
        with self.lock:
            if self.connection is None:
                raise Failure("the scripted QEMU has no connection")
            self.connection.sendall(data)

    def hang_up(self, unlink=True):
        """End as QEMU does: connection and listener are gone; the path too unless it was killed."""
        with self.lock:
            self.stopped = True
            self.negotiated = False
            # shutdown() wakes the serving thread, which close() alone would not
            for sock in (self.connection, self.listener):
                if sock is not None:
                    try:
                        sock.shutdown(socket.SHUT_RDWR)
                    except OSError:
                        pass
                    sock.close()
            self.connection = None
        if unlink and os.path.lexists(self.path):
            os.unlink(self.path)

    def stop(self):
        """Clean up; a Failure when something arrived that a monitor must not get."""
        if not self.stopped:
            self.hang_up()
        if self.violations:
            raise Failure("the scripted QEMU saw: " + "; ".join(self.violations[:5]))

    # ---- the server

    def _listen(self):
        if os.path.lexists(self.path):
            os.unlink(self.path)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        listener.bind(self.path)
        listener.listen(1)
        return listener

    def _serve(self):
        while not self.stopped:
            try:
                connection = self.listener.accept()[0]
                connection.settimeout(tap.PATIENCE)
                self._one_client(connection)
            except OSError:
                pass
            except Exception as error:  # pylint: disable=broad-except
                self.violations.append(f"the script failed: {error!r}")
            finally:
                self._forget()

    def _forget(self):
        with self.lock:
            for descriptor in self.pending:
                os.close(descriptor)
            self.pending = []
            self.negotiated = False
            self.outstanding = self.descriptors_outstanding = 0
            self.running = None
            self.waiting = []
            if self.connection is not None:
                self.connection.close()
                self.connection = None

    def _one_client(self, connection):
        with self.lock:
            self.connection = connection
            self.connections += 1
            self.ids = set()
            greeting = {"QMP": {"version": self.version,
                                "capabilities": ["oob"] if self.oob else []}}
            self.say(self.before + json.dumps(greeting).encode() + b"\r\n" + self.after)
        splitter = Splitter()
        while not self.stopped:
            data, descriptors = self._receive(connection)
            if not data:
                return
            with self.lock:
                self._pend(descriptors)
                for text, error in splitter.feed(data):
                    if not self.stopped:  # a handler may have hung up
                        self._text(text, error)

    def _receive(self, connection):
        space = socket.CMSG_SPACE(253 * 4)
        while True:
            try:
                size = 1 if self.exact else 1 << 16
                data, ancillary, flags, _ = connection.recvmsg(size, space)
                break
            except TimeoutError:
                if self.stopped:
                    return b"", []
        descriptors = array.array("i")
        for level, kind, content in ancillary:
            if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS:
                descriptors.frombytes(content[:len(content) - len(content) % 4])
        if flags & socket.MSG_CTRUNC:
            self.violations.append("descriptors were cut off")
        return data, list(descriptors)

    def _pend(self, descriptors):
        """As QEMU: newer descriptors close older ones that nobody took."""
        if not descriptors:
            return
        if self.pending:
            self.violations.append("descriptors came that no command took")
        for old in self.pending:
            os.close(old)
        self.pending = descriptors

    def _text(self, text, error):
        try:
            message = decode(text) if error is None else None
        except ValueError:
            message = None
        if not isinstance(message, dict):
            # the probe of the error texts is allowed, a client's garbage is not: tests look
            self.garbage.append(text)
            self.say({"error": {"class": "GenericError",
                                "desc": "JSON parse error, stray '\ufffd'"}})
            return
        self._command(Command(text, message, self._take(message)))

    def _take(self, message):
        """The descriptors that this command takes: the first counts, all are closed."""
        name = message.get("execute", message.get("exec-oob"))
        if name not in TAKES_DESCRIPTOR:
            if self.pending and self.exact:
                self.violations.append(f"a descriptor came with {name}")
            return []
        files = []
        for descriptor in self.pending:
            about = os.fstat(descriptor)
            files.append((about.st_dev, about.st_ino))
            os.close(descriptor)
        self.pending = []
        return files

    def _command(self, command):
        command.connection = self.connections
        self.commands.append(command)
        if not self.negotiated:
            self._negotiate(command)
            return
        ident = json.dumps(command.id)
        if not command.has_id or ident in self.ids:
            self.violations.append(f"id missing or used by a command under way: {command}")
        self.ids.add(ident)
        if not command.oob:
            self.outstanding += 1
            self.most_outstanding = max(self.most_outstanding, self.outstanding)
            if self.outstanding >= QUEUE:
                self.violations.append(f"{self.outstanding} in-band commands outstanding")
        if command.files:
            self.descriptors_outstanding += 1
            if self.descriptors_outstanding > 1:
                self.violations.append("two commands with descriptors outstanding")
        if self.serial and self.running and not command.oob:
            self.waiting.append(command)
        else:
            self._execute(command)

    def _execute(self, command):
        if not command.oob:
            self.running = command
        value = self.handler(self, command) if self.handler else None
        if value is None:
            value = self._default(command)
        if value is not HOLD:
            self._finish(command, value)

    def _finish(self, command, value):
        self._settle(command)
        self._answer(command, value)
        if command is not self.running:
            return
        self.running = None
        while self.waiting and not self.running:
            self._execute(self.waiting.pop(0))

    def _negotiate(self, command):
        if command.name != "qmp_capabilities":
            self._answer(command, ERROR("Expecting capabilities negotiation with "
                                        "'qmp_capabilities'", "CommandNotFound"))
            return
        self.negotiated = True
        self._answer(command, {})

    def _settle(self, command):
        if command.answered or command.connection != self.connections:
            return
        command.answered = True
        self.ids.discard(json.dumps(command.id))
        if not command.oob:
            self.outstanding -= 1
        if command.files:
            self.descriptors_outstanding -= 1

    def _answer(self, command, value):
        ident = {"id": command.id} if command.has_id else {}
        if isinstance(value, ERROR):
            self.say({**ident, "error": {"class": value.kind, "desc": value.text}})
        else:
            self.say({"return": value, **ident})

    def _default(self, command):
        name = command.name
        if name in TAKES_DESCRIPTOR and not command.files:
            return ERROR("No file descriptor supplied via SCM_RIGHTS")
        answers = {
            "query-version": self.version,
            "query-name": {}, "query-kvm": {"enabled": False, "present": True},
            "query-status": {"status": "running", "singlestep": False, "running": True},
            "query-commands": [{"name": "query-name"}, {"name": "query-status"}],
            "query-qmp-schema": [{"name": "0", "meta-type": "object", "members": []}],
            "query-yank": [], "query-block": [], "query-chardev": [], "query-uuid": {"UUID": "0"},
            "add-fd": {"fdset-id": 0, "fd": 10},
        }
        if name in answers:
            return answers[name]
        if name in ("getfd", "closefd", "remove-fd", "stop", "cont", "yank", "quit",
                    "set_password", "object-add", "netdev_add", "netdev_del"):
            return {}
        if name == "qmp_capabilities":
            return ERROR("Capabilities negotiation is already complete, command ignored",
                         "CommandNotFound")
        return ERROR(f"The command {name} has not been found", "CommandNotFound")
