#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Descriptors reach QEMU with the command they were sent with, and nothing else does.

Most cases are played on both sides and compared (lib/same.py); which files QEMU really holds is
read from /proc. Where qmend must differ from QEMU (a descriptor that no command takes is closed at
once), it alone is asked.
"""

import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
# pylint: disable=wrong-import-position
import same
from client import Client, File
from tap import case, check, equal, folder, run, wait_until

GETFD = b'{"execute":"getfd","arguments":{"fdname":"%s"},"id":"%s"}'
NO_FILE = "No file descriptor supplied via SCM_RIGHTS"


class Files:
    """Files made for one side, and what QEMU holds of them at the end."""

    def __init__(self, talk):
        self.talk = talk
        self.directory = folder("f")
        self.made = []

    def new(self, name, content=b""):
        made = File(self.directory, name, content)
        self.made.append(made)
        return made.fd

    def held(self):
        """How often QEMU holds each file, once nothing changes any more."""
        def look():
            return {os.path.basename(f.path): self.talk.side.qemu.holds(f.path) for f in self.made}
        before, now = None, look()
        while before != now:  # qmend's own closefd may still be on its way
            time.sleep(0.3)
            before, now = now, look()
        return now


def dialogue(name, oob=False, **machine):
    """Register a dialogue with files; also compare what QEMU holds in the end."""
    def register(function):
        def play_both():
            held = []

            def play(talk):
                files = Files(talk)
                function(talk, files)
                held.append(files.held())
            same.same(play, oob=oob, **machine)
            equal(held[1], held[0], "files held by QEMU (qmend, then direct)")
        case(name)(play_both)
        return function
    return register


def getfd(name):
    return GETFD % (name, name)


@dialogue("getfd with the first byte, closefd")
def _(talk, files):
    talk.step(getfd(b"a"), fds=[files.new("a")])
    check(files.held() == {"a": 1}, "QEMU does not hold it")
    talk.step(b'{"execute":"closefd","arguments":{"fdname":"a"},"id":1}')
    talk.step(b'{"execute":"closefd","arguments":{"fdname":"a"},"id":2}')


@dialogue("getfd without a descriptor")
def _(talk, _files):
    talk.step(getfd(b"a"))
    talk.sync()


@dialogue("getfd with the first byte, oob enabled", oob=True)
def _(talk, files):
    for name in (b"a", b"b", b"c"):
        talk.step(getfd(name), fds=[files.new(name.decode())])


@dialogue("one blank ahead, as qemu.qmp does")
def _(talk, files):
    for name in (b"a", b"b"):
        talk.send(b" ", [files.new(name.decode())])
        talk.step(getfd(name))


@dialogue("a line end ahead")
def _(talk, files):
    talk.send(b'{"execute":"query-name"}')
    talk.wait()
    talk.send(b"\r\n", [files.new("a")])
    talk.step(getfd(b"a"))


@dialogue("in the middle of the command")
def _(talk, files):
    line = getfd(b"a")
    for at in (1, 10, len(line) - 1):
        fd = files.new(f"at{at}")
        talk.send(line[:at])
        talk.pause()
        talk.step(line[at:], fds=[fd])


@dialogue("in the middle, not the first chunk and not the last")
def _(talk, files):
    line = getfd(b"a")
    talk.send(line[:5])
    talk.send(line[5:20], [files.new("a")])
    talk.pause()
    talk.send(line[20:30])
    talk.step(line[30:])


@dialogue("two descriptors in one message, one getfd")
def _(talk, files):
    talk.step(getfd(b"a"), fds=[files.new("a"), files.new("b")])
    talk.step(getfd(b"b"))


@dialogue("two getfd and two descriptors in one message")
def _(talk, files):
    talk.step(getfd(b"a") + getfd(b"b"), 2, [files.new("a"), files.new("b")])


@dialogue("two messages, one descriptor each, pipelined")
def _(talk, files):
    talk.send(getfd(b"a"), [files.new("a")])
    talk.send(getfd(b"b"), [files.new("b")])
    talk.wait(2)


@dialogue("eight messages with descriptors, pipelined, commands without in between")
def _(talk, files):
    for number in range(8):
        name = f"n{number}"
        talk.send(getfd(name.encode()), [files.new(name)])
        talk.send(b'{"execute":"query-name","id":%d}' % number)
    talk.sync()


@dialogue("getfd without a descriptor just ahead of one with")
def _(talk, files):
    for number in range(5):
        with talk.glued():
            talk.send(getfd(b"none") + getfd(b"none"))
            talk.send(getfd(b"with"), [files.new(f"w{number}")])
    talk.sync()


@dialogue("getfd without a descriptor, then one with: forty times, QEMU must not be able to mix them up")
def _(talk, files):
    fd = files.new("w")
    for _ in range(40):
        talk.send(getfd(b"none"))
        talk.send(getfd(b"with"), [fd])
    talk.sync()


@dialogue("three messages in one go: with, without, with")
def _(talk, files):
    with talk.glued():
        talk.send(getfd(b"a"), [files.new("a")])
        talk.send(getfd(b"b"))
        talk.send(getfd(b"c"), [files.new("c")])
    talk.sync()


@dialogue("commands just ahead of a getfd with its descriptor")
def _(talk, files):
    for number in range(5):
        with talk.glued():
            talk.send(b'{"execute":"query-name","id":1}{"execute":"query-version","id":2}' * 3)
            talk.send(getfd(b"with"), [files.new(f"w{number}")])
    talk.sync()


@dialogue("the same descriptor on both chunks of a command, as libvirt does")
def _(talk, files):
    line = getfd(b"migrate")
    fd = files.new("a")
    talk.send(line[:30], [fd])
    talk.step(line[30:], fds=[fd])
    talk.step(b'{"execute":"closefd","arguments":{"fdname":"migrate"},"id":1}')
    talk.step(getfd(b"again"))


@dialogue("the same name twice: the later one counts")
def _(talk, files):
    talk.step(getfd(b"a"), fds=[files.new("old")])
    talk.step(getfd(b"a"), fds=[files.new("new")])


@dialogue("getfd that fails, with a descriptor")
def _(talk, files):
    talk.step(b'{"execute":"getfd","arguments":{"fdname":"1digit"},"id":1}', fds=[files.new("a")])
    talk.step(b'{"execute":"getfd","arguments":{"fdname":"x","y":1},"id":2}', fds=[files.new("b")])
    talk.step(b'{"execute":"getfd","arguments":{"fdname":"c"},"id":3}', fds=[files.new("c")])


@dialogue("add-fd, query-fdsets, remove-fd")
def _(talk, files):
    talk.step(b'{"execute":"add-fd","id":1}', fds=[files.new("a")])
    talk.step(b'{"execute":"add-fd","arguments":{"fdset-id":5,"opaque":"o"},"id":2}',
              fds=[files.new("b")])
    talk.step(b'{"execute":"add-fd","arguments":{"fdset-id":5},"id":3}', fds=[files.new("c")])
    talk.step(b'{"execute":"query-fdsets","id":4}')
    talk.step(b'{"execute":"add-fd","arguments":{"fdset-id":5},"id":5}')
    talk.step(b'{"execute":"remove-fd","arguments":{"fdset-id":5},"id":6}')
    talk.step(b'{"execute":"remove-fd","arguments":{"fdset-id":77},"id":7}')
    talk.step(b'{"execute":"query-fdsets","id":8}')


@dialogue("add-fd by single quotes and escapes")
def _(talk, files):
    talk.step(b"{'execute':'add-fd','id':1}", fds=[files.new("a")])
    talk.step(b'{"\\u0065xecute":"get\\u0066d","arguments":{"fdname":"x"},"id":2}',
              fds=[files.new("b")])


@dialogue("a block device on an fdset: written and read through the descriptor")
def _(talk, files):
    fd = files.new("disk", b"A" * 4096)
    talk.step(b'{"execute":"add-fd","arguments":{"fdset-id":1},"id":1}', fds=[fd])
    talk.step(b'{"execute":"blockdev-add","arguments":{"driver":"file","node-name":"d",'
              b'"filename":"/dev/fdset/1"},"id":2}')
    for line in (b"read -P 0x41 0 4096", b"write -P 0x42 512 1024", b"flush",
                 b"read -P 0x42 512 1024"):
        talk.step(b'{"execute":"human-monitor-command","id":3,"arguments":{"command-line":'
                  b'"qemu-io d \\"%s\\""}}' % line)
    check(files.made[0].content() == b"A" * 512 + b"B" * 1024 + b"A" * 2560,
          "the file does not hold what QEMU wrote", files.made[0].content()[:1600])
    talk.step(b'{"execute":"query-named-block-nodes","id":4}')
    talk.step(b'{"execute":"blockdev-del","arguments":{"node-name":"d"},"id":5}')


@dialogue("a character device on an fdset")
def _(talk, files):
    talk.step(b'{"execute":"add-fd","arguments":{"fdset-id":1},"id":1}', fds=[files.new("log")])
    talk.step(b'{"execute":"chardev-add","arguments":{"id":"c0","backend":{"type":"file","data":'
              b'{"out":"/dev/fdset/1"}}},"id":2}')
    talk.step(b'{"execute":"query-chardev","id":3}')
    talk.step(b'{"execute":"chardev-remove","arguments":{"id":"c0"},"id":4}')


@dialogue("migrate into a pipe: the stream comes out at the other end", machine=["-M", "q35", "-m",
                                                                                "16"])
def _(talk, _files):
    reader, writer = os.pipe()
    talk.send(b'{"execute":"getfd","arguments":{"fdname":"migrate"},"id":1}', [writer])
    os.close(writer)
    talk.wait()
    talk.step(b'{"execute":"migrate","arguments":{"uri":"fd:migrate"},"id":2}')
    magic = os.read(reader, 4)
    check(magic == b"QEVM", "no migration stream", magic)
    size = 4
    while data := os.read(reader, 1 << 16):  # to the end: nobody else holds the writing end
        size += len(data)
    os.close(reader)
    check(size > 10000, f"only {size} bytes")
    wait_until(lambda: status(talk) == b"completed", "the end of the migration")


def status(talk):
    """Ask without leaving a trace in the transcript: how often is a matter of time."""
    kept = len(talk.client.got)
    talk.client.send(b'{"execute":"query-migrate"}')
    line = talk.client.line()
    while b'"return"' not in line:
        line = talk.client.line()
    talk.client.position = kept
    del talk.client.got[kept:]
    return b"completed" if b'"status": "completed"' in line else b""


# ---- qmend alone

def client_and_side():
    """A client alone, whatever the harness had connected before."""
    side = same.Side(True)
    client = Client(side.path, negotiate=True)
    wait_until(lambda: len(client.value("x-qmend-status")["clients"]) == 1, "one client")
    return client, side


@case("a descriptor on a command that takes none is closed, the next getfd has none")
def _():
    client, side = client_and_side()
    file = File(folder("f"), "stray")
    before = side.qmend.descriptor_count()
    for name in ("query-name", "query-version", "nosuch", "query-block"):
        client.execute(name, fds=[file.fd])
        answer = client.execute("getfd", {"fdname": "x"})
        equal(answer.get("error", {}).get("desc"), NO_FILE, f"getfd after {name} with a descriptor")
    client.send(b"nul [1] ", [file.fd])
    client.lines(2)
    answer = client.execute("getfd", {"fdname": "x"})
    equal(answer.get("error", {}).get("desc"), NO_FILE, "getfd after garbage with a descriptor")
    equal(side.qemu.holds(file.path), 0, "QEMU holds it")
    check(file.path not in side.qmend.descriptors().values(), "qmend holds it")
    wait_until(lambda: side.qmend.descriptor_count() == before, "qmend's descriptors closed")


@case("a descriptor of one client is never taken by another's getfd")
def _():
    one, side = client_and_side()
    two = Client(side.path, negotiate=True)
    file = File(folder("f"), "mine")
    one.send(b" ", [file.fd])
    one.send(b'{"execute":"getfd","arguments":')  # not complete yet
    answer = two.execute("getfd", {"fdname": "x"})
    equal(answer.get("error", {}).get("desc"), NO_FILE, "the other client's getfd")
    one.send(b'{"fdname":"mine"},"id":"late"}')
    check("return" in one.reply("late"), "the owner's getfd failed")
    equal(side.qemu.holds(file.path), 1, "QEMU's descriptors of the file")


@case("the descriptor of a getfd that QEMU refused is not taken by another client's")
def _():
    one, side = client_and_side()
    two = Client(side.path, negotiate=True)
    file = File(folder("f"), "refused")
    for name, arguments in (("getfd", {"fdname": "x", "y": 1}), ("getfd", None),
                            ("add-fd", {"fdset-id": "x"}), ("getfd", {"fdname": 5})):
        check("error" in one.execute(name, arguments, fds=[file.fd]), f"{name} was accepted")
        answer = two.execute("getfd", {"fdname": "theirs"})
        equal(answer.get("error", {}).get("desc"), NO_FILE, f"the other's getfd after {arguments}")
        answer = two.execute("add-fd")
        equal(answer.get("error", {}).get("desc"), NO_FILE, f"the other's add-fd after {arguments}")


@case("a pending descriptor is closed when its client leaves")
def _():
    one, side = client_and_side()
    before = side.qmend.descriptor_count() - 1
    file = File(folder("f"), "left")
    one.send(b' {"execute":"getfd"', [file.fd])
    wait_until(lambda: file.path in side.qmend.descriptors().values(), "qmend took the descriptor")
    one.close()
    wait_until(lambda: side.qmend.descriptor_count() == before, "qmend closed it")
    equal(side.qemu.holds(file.path), 0, "QEMU's descriptors of the file")


@case("getfd names of a client that left are closed in QEMU")
def _():
    one, side = client_and_side()
    two = Client(side.path, negotiate=True)
    mine, other = File(folder("f"), "mine"), File(folder("f"), "other")
    check("return" in one.execute("getfd", {"fdname": "mine"}, fds=[mine.fd]), "getfd failed")
    check("return" in two.execute("getfd", {"fdname": "other"}, fds=[other.fd]), "getfd failed")
    equal((side.qemu.holds(mine.path), side.qemu.holds(other.path)), (1, 1), "held")
    one.close()
    wait_until(lambda: side.qemu.holds(mine.path) == 0, "QEMU closed what the client left")
    equal(side.qemu.holds(other.path), 1, "the other client's")
    check("error" in two.execute("closefd", {"fdname": "mine"}), "the name outlived its client")
    two.close()
    wait_until(lambda: side.qemu.holds(other.path) == 0, "QEMU closed the other one too")


@case("fdsets outlive the client that made them")
def _():
    one, side = client_and_side()
    file = File(folder("f"), "set")
    check("return" in one.execute("add-fd", {"fdset-id": 3}, fds=[file.fd]), "add-fd failed")
    one.close()
    two = Client(side.path, negotiate=True)
    equal([s["fdset-id"] for s in two.value("query-fdsets")], [3], "fdsets")
    equal(side.qemu.holds(file.path), 1, "QEMU's descriptors of the file")


if __name__ == "__main__":
    run()
