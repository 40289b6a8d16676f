# SPDX-License-Identifier: GPL-2.0-or-later
"""Lines with the time at which they came, read by a thread, waited for with a deadline."""

import threading
import time


class Timeout(Exception):
    pass


class Ended(Exception):
    pass


class Stream:
    """@read returns bytes, b"" at the end. @parse makes an item of each line (default: text)."""

    def __init__(self, name, read, parse=None):
        self.name = name
        self.items = []  # (time.monotonic(), item)
        self.ended = False
        self.changed = threading.Condition()
        self.parse = parse or (lambda line: line.decode("utf-8", "replace"))
        self.hooks = []
        threading.Thread(target=self._pump, args=(read,), daemon=True, name=name).start()

    def _pump(self, read):
        rest = b""
        while True:
            try:
                data = read()
            except OSError:
                data = b""
            now = time.monotonic()
            *lines, rest = (rest + data).split(b"\n")
            items = [(now, self.parse(line.rstrip(b"\r"))) for line in lines if line.strip()]
            with self.changed:
                self.items += items
                self.ended = not data
                self.changed.notify_all()
            for at, item in items:
                for hook in self.hooks:
                    hook(at, item)
            if not data:
                return

    def mark(self):
        """The place that wait() may begin at: after everything that has come so far."""
        with self.changed:
            return len(self.items)

    def since(self, mark=0):
        with self.changed:
            return self.items[mark:]

    def wait(self, wanted, timeout, mark=0, what="something"):
        """The first (time, item) from @mark on with wanted(item) true."""
        deadline = time.monotonic() + timeout
        with self.changed:
            while True:
                for at, item in self.items[mark:]:
                    if wanted(item):
                        return at, item
                mark = len(self.items)
                left = deadline - time.monotonic()
                if self.ended:
                    raise Ended(f"{self.name}: ended before {what}")
                if left <= 0:
                    raise Timeout(f"{self.name}: no {what} within {timeout} s")
                self.changed.wait(left)

    def wait_end(self, timeout):
        deadline = time.monotonic() + timeout
        with self.changed:
            while not self.ended:
                left = deadline - time.monotonic()
                if left <= 0:
                    raise Timeout(f"{self.name}: not ended within {timeout} s")
                self.changed.wait(left)

    def tail(self, count=15):
        return "\n".join(f"{self.name}: {item}" for _, item in self.since()[-count:])


def until(condition, timeout, what):
    """Poll for what gives no notice. The value of @condition once it is true."""
    deadline = time.monotonic() + timeout
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() >= deadline:
            raise Timeout(f"not within {timeout} s: {what}")
        time.sleep(0.005)


def connect(path, timeout, kind):
    """Connect to a Unix socket that may not be there yet."""
    import socket

    deadline = time.monotonic() + timeout
    while True:
        sock = socket.socket(socket.AF_UNIX, kind)
        try:
            sock.connect(path)
            return sock
        except (FileNotFoundError, ConnectionRefusedError) as error:
            sock.close()
            if time.monotonic() >= deadline:
                raise Timeout(f"{path}: {error} for {timeout} s") from error
            time.sleep(0.01)
