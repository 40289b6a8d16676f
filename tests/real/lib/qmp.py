# SPDX-License-Identifier: GPL-2.0-or-later
"""A QMP client: what it gets is kept in the order in which it came, with the time."""

import itertools
import json
import socket

from lib import stream


class QmpError(Exception):
    """An error that was answered to a command."""

    def __init__(self, error):
        super().__init__(f"{error['class']}: {error['desc']}")
        self.error = error


class Qmp:
    """@first_id: where this client's ids begin. With @negotiate it is ready for commands."""

    def __init__(self, path, name="qmp", first_id=1, timeout=10, negotiate=True):
        self.name = name
        self.ids = itertools.count(first_id)
        self.socket = stream.connect(path, timeout, socket.SOCK_STREAM)
        self.stream = stream.Stream(name, lambda: self.socket.recv(65536), json.loads)
        self.greeting = None
        if negotiate:
            self.greeting = self.stream.wait(lambda m: "QMP" in m, timeout, what="greeting")[1]
            self.execute("qmp_capabilities", timeout=timeout)

    def send(self, message, fds=()):
        data = json.dumps(message).encode() + b"\n"
        if fds:
            sent = socket.send_fds(self.socket, [data], list(fds))
            data = data[sent:]
        self.socket.sendall(data)

    def execute(self, command, arguments=None, fds=(), timeout=10, ident=None):
        """Send a command and return what it returns; the reply must carry exactly our id."""
        ident = next(self.ids) if ident is None else ident
        message = {"execute": command, "id": ident}
        if arguments is not None:
            message["arguments"] = arguments
        mark = self.stream.mark()
        self.send(message, fds)
        _, reply = self.stream.wait(lambda m: "id" in m and m["id"] == ident, timeout, mark,
                                    f"reply to {command}")
        if "error" in reply:
            raise QmpError(reply["error"])
        return reply["return"]

    def mark(self):
        return self.stream.mark()

    def events(self, name=None, mark=0):
        return [(at, m) for at, m in self.stream.since(mark)
                if "event" in m and name in (None, m["event"])]

    def wait_event(self, name, timeout=10, mark=0):
        return self.stream.wait(lambda m: m.get("event") == name, timeout, mark, f"event {name}")

    def close(self):
        try:
            self.socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            pass
        self.socket.close()
