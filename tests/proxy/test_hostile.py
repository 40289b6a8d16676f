#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Faults that review and attack have found in qmend, one case each, so that they stay mended."""

import json
import os
import signal
import socket
import sys
import threading
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
# pylint: disable=wrong-import-position
from qmptest import (ERROR, HOLD, Client, Ended, Failure, File, Qmend, ScriptedQemu, Skip, case,
                     check, cleanup, command, encode, equal, folder, run, stays_so, wait_until)

MIB = 1 << 20
TINY = {"clients": 8, "queue": "1MiB", "memory": "4MiB"}
ROOMY = {"clients": 64, "queue": "32MiB", "memory": "256MiB"}


def start(handler=None, **options):
    """A scripted QEMU and a qmend that has negotiated with it."""
    qemu = ScriptedQemu(handler=handler)
    qmend = Qmend(qemu.path, **options)
    qemu.await_negotiated()
    return qemu, qmend


def hold(*names):
    """A handler that leaves the commands @names unanswered."""
    return lambda _qemu, command_: HOLD if command_.name in names else None


def prove_alive(client, times=5):
    for _ in range(times):
        check("return" in client.execute("query-block", timeout=5), "the other client suffers")


def stays_idle(qmend, what, seconds=0.6):
    """qmend takes next to no processor time while nothing happens."""
    before = qmend.cpu()
    time.sleep(seconds)
    used = qmend.cpu() - before
    check(used < seconds / 4, f"{what}: {used:.2f} s of processor time in {seconds} s")


def descriptors_drop(qmend, below):
    wait_until(lambda: qmend.descriptor_count() < below, "qmend sees that a client has left")


# ---- texts and queues

@case("a command of 60 KB with 20,000 blanks is answered")
def _():
    qemu, qmend = start()
    client = Client(qmend.path, negotiate=True)
    client.send(b'{"execute":"query-block","id":1,"arguments":{"a":[' + b"1, " * 20000 + b"1]}}\n")
    equal(client.reply(1), {"return": [], "id": 1}, "the reply")
    equal(qemu.named("query-block")[0].arguments, {"a": [1] * 20001}, "what QEMU got")
    prove_alive(client)


HOLDING = {"recipe": "holding", "parameters": {}, "rules": [
    {"name": "gone", "on": [{"backend": "${backend}", "is": "exited"}], "verdict": "pass",
     "do": [{"start": "${backend}"}]},
    {"name": "lost", "on": [{"event": "LOST"}], "verdict": "hold",
     "do": [{"await": {"event": "BACK"}, "for": "${patience}"}]}]}


def is_backend(pid):
    try:
        with open(f"/proc/{pid}/cmdline", encoding="ascii") as text:
            return text.read() == "sleep\0" + "1000\0"
    except OSError:
        return False


def with_backend(recipe, parameters=None, **options):
    """A qmend with one backend, `sleep`, under @recipe; and a way to look at the backend."""
    recipe = {**recipe, "parameters": {name: {} for name in parameters or ()}}
    recipes = folder("r")
    with open(os.path.join(recipes, f"{recipe['recipe']}.json"), "w", encoding="ascii") as out:
        json.dump(recipe, out)
    backend = {"recipe": recipe["recipe"], "command": ["sleep", "1000"], "ready": "started",
               **(parameters or {}), **options.pop("backend", {})}
    qemu, qmend = start(recipes=[recipes], backends={"b": backend}, **options)

    last = {}

    def look():
        last.update(qmend.status()["backends"][0])
        return dict(last)

    def end():  # the backend outlives qmend, also one that has aborted
        pid = look()["pid"] if qmend.alive() else last.get("pid")
        try:
            qmend.stop()
        finally:
            if pid and is_backend(pid):
                os.kill(pid, signal.SIGKILL)
    cleanup(end)
    wait_until(lambda: look()["state"] == "ready", "the backend's first start")
    return qemu, qmend, look


def lose_much(qemu):
    """1 MiB of events that the rule holds; what the clients must get in the end."""
    lost = [encode({"timestamp": {"seconds": 1, "microseconds": 0}, "event": "LOST",
                    "data": {"n": n, "padding": "x" * 950}})[:-1] + b"\r\n" for n in range(1024)]
    for line in lost:
        qemu.say(line)
    return b"".join(lost)


@case("1 MiB of held events, 40 clients, QEMU dies: everybody gets whole lines in order")
def _():
    qemu, qmend, _ = with_backend(HOLDING, {"patience": "60s"}, limits=ROOMY)
    clients = [Client(qmend.path, negotiate=True) for _ in range(40)]
    expected = lose_much(qemu)
    qemu.hang_up()
    for client in clients:
        equal(client.drain(20), expected, "events")
    check(qmend.alive(), qmend.tail())


@case("1 MiB of held events, 40 clients, given up: everybody gets whole lines in order")
def _():
    qemu, qmend, _ = with_backend(
        HOLDING, {"patience": "1s"}, limits=ROOMY,
        backend={"budget": {"faults": 1, "period": "60s"},
                 "backoff": {"first": "1ms", "max": "1ms"}})
    clients = [Client(qmend.path, negotiate=True) for _ in range(40)]
    expected = lose_much(qemu)
    for client in clients:
        end = time.monotonic() + 10
        while len(client.pending()) < len(expected):
            check(time.monotonic() < end, f"{len(client.pending())} bytes of {len(expected)}")
            client.receive(1)
        equal(client.pending(), expected, "events")
    check(qmend.alive(), qmend.tail())


@case("a reply above limits.queue reaches a client that reads slowly, and the event behind it")
def _():
    qemu, qmend = start(hold("query-pci"), limits=ROOMY)
    slow = Client(qmend.path, negotiate=True)
    ident = slow.ask("query-pci")
    qemu.reply_raw(qemu.await_command("query-pci"), b'"' + b"x" * (40 * MIB) + b'"')
    qemu.event("RTC_CHANGE", {"n": 1})
    while slow.receive(5, 1 << 19):  # 512 KiB each 8 ms
        if slow.got.endswith(b"}\r\n") and b"RTC_CHANGE" in slow.got[-200:]:
            break
        time.sleep(0.008)
    line = slow.line(5)
    equal(len(line), len(b'{"return": "", "id": %d}' % ident) + 40 * MIB, "bytes of the reply")
    equal(slow.event("RTC_CHANGE", 5)["data"], {"n": 1}, "the event behind it")


@case("250 pipelined cached queries are all answered to a client that reads late")
def _():
    schema = "s" * 200000
    qemu, qmend = start(lambda _q, c: schema if c.name == "query-qmp-schema" else None,
                        limits=ROOMY)
    client, other = (Client(qmend.path, negotiate=True) for _ in range(2))
    equal(other.value("query-qmp-schema"), schema, "the first answer")
    client.send(b"".join(b'{"execute":"query-qmp-schema","id":%d}\n' % n for n in range(250)))
    time.sleep(0.7)
    prove_alive(other)
    for number in range(250):
        answer = client.message(5)
        equal(answer["id"], number, "order")
        check(answer["return"] == schema, "the body")
    equal(len(qemu.named("query-qmp-schema")), 1, "asked at QEMU")


@case("a huge id that cannot fit closes only the asker, in-band and OOB")
def _():
    _, qmend = start(limits=TINY)
    other = Client(qmend.path, negotiate=True)
    ident = b"[" * 1023 + b'"' + b"\x7f" * (600 << 10) + b'"' + b"]" * 1023
    for kind in (b"execute", b"exec-oob"):
        asker = Client(qmend.path, oob=True)
        try:
            asker.send(b'{"' + kind + b'":"query-block","id":' + ident + b"}\n", timeout=5)
        except Ended:
            pass
        equal(asker.drain(5), b"", "what the asker got")
        prove_alive(other)


@case("an event of 8 MiB to 60 clients within 256 MiB: who is not closed gets it whole")
def _():
    qemu, qmend = start(limits=ROOMY)
    clients = [Client(qmend.path, negotiate=True) for _ in range(60)]
    sent = encode({"timestamp": {"seconds": 1, "microseconds": 0}, "event": "BIG",
                   "data": {"a": "x" * (8 * MIB)}})[:-1]
    qemu.say(sent + b"\r\n")
    whole = 0
    for client in clients:
        try:
            check(client.line(10) == sent, "the event is not as QEMU sent it")
            whole += 1
        except Ended:
            pass
        client.close()
        client.got = bytearray()
    check(whole >= 20, f"only {whole} of 60 got it")
    prove_alive(Client(qmend.path, negotiate=True))


@case("300,000 events at once and little memory: QEMU is read only as fast as they are handed out")
def _():
    qemu, qmend = start(limits={"clients": 8, "queue": "4MiB", "memory": "8MiB"})
    client = Client(qmend.path, negotiate=True)
    flood = b"".join(b'{"timestamp": {"seconds": 1, "microseconds": 0}, "event": "E", '
                     b'"data": {"n": %d}}\r\n' % n for n in range(300000))
    sender = threading.Thread(target=qemu.say, args=(flood,), daemon=True)
    sender.start()
    for number in range(300000):
        line = client.line(20)
        if number % 1000 == 0 or number > 299990:
            equal(json.loads(line)["data"]["n"], number, "the event")
    sender.join(10)
    prove_alive(client)
    equal(qemu.connections, 1, "connections to QEMU")


@case("a reply above limits.memory ends that connection to QEMU; the next one is served")
def _():
    qemu, qmend = start(lambda _q, c: "x" * (6 * MIB) if c.name == "query-pci" else None,
                        limits=TINY)
    asker = Client(qmend.path, negotiate=True)
    asker.ask("query-pci")
    asker.drain()
    wait_until(lambda: qemu.connections == 2 and qemu.negotiated, "a new connection to QEMU")
    stays_idle(qmend, "after the reply")
    prove_alive(Client(qmend.path, negotiate=True))
    equal(qemu.connections, 2, "connections to QEMU")


# ---- places

@case("read-only clients cannot take all places")
def _():
    directory = folder("l")
    full, watch = (os.path.join(directory, name) for name in ("full", "watch"))
    _, qmend = start(limits=TINY, listen=[full, {"path": watch, "access": "read-only"}])
    watchers = [Client(watch) for _ in range(12)]
    check("QMP" in watchers[0].message(), "the first one that watches is served")
    for _ in range(2):
        prove_alive(Client(full, negotiate=True))
    del qmend


def crowd(qmend, places, greeted):
    """As many clients as there are places pipeline 12 commands and leave."""
    clients = [Client(qmend.path, negotiate=greeted) for _ in range(places)]
    for client in clients:
        client.send(b'{"execute":"query-pci"}' * 12)
    time.sleep(0.2)
    for client in clients:
        client.close()


@case("12 pipelined commands, then gone, from every place, QEMU silent: a new client is served")
def _():
    qemu, qmend = start(hold("query-pci"), limits={**TINY, "clients": 6})
    crowd(qmend, 6, True)
    new = Client(qmend.path)
    check("QMP" in new.message(3), "no greeting")
    new.ask("x-qmend-status", ident="s")
    check("return" in new.reply("s", 3), "no status")
    stays_idle(qmend, "after the crowd", 0.4)
    del qemu


@case("12 pipelined commands, then gone, from every place, no QEMU: a new client is served")
def _():
    qmend = Qmend(os.path.join(folder("n"), "none"), limits={**TINY, "clients": 6})
    crowd(qmend, 6, False)
    new = Client(qmend.path)
    new.ask("x-qmend-status", ident="s")
    check("return" in new.reply("s", 3), "no status")


# ---- descriptors and their names

@case("70 names for descriptors of one client do not make another client's getfd fail")
def _():
    qemu, qmend = start()
    file = File(folder("f"), "file")
    greedy, other = (Client(qmend.path, negotiate=True) for _ in range(2))
    for number in range(70):
        answer = greedy.execute("getfd", {"fdname": f"n{number}"}, fds=[file.fd])
        equal(answer.get("return"), {}, f"getfd number {number}")
    equal(other.execute("getfd", {"fdname": "mine"}, fds=[file.fd]).get("return"), {}, "getfd")
    equal(len(qemu.named("getfd")), 71, "at QEMU")


@case("a name asked for anew is not closed when its first owner leaves meanwhile")
def _():
    held = []

    def handler(_qemu, asked):
        if asked.name == "getfd":
            held.append(asked)
        return HOLD if asked.name == "getfd" and len(held) == 2 else None
    qemu, qmend = start(handler)
    file = File(folder("f"), "file")
    first, second = (Client(qmend.path, negotiate=True) for _ in range(2))
    first.execute("getfd", {"fdname": "migrate"}, fds=[file.fd])
    ident = second.ask("getfd", {"fdname": "migrate"}, fds=[file.fd])
    asked = qemu.await_command("getfd", 2)
    count = qmend.descriptor_count()
    first.close()
    descriptors_drop(qmend, count)
    stays_so(lambda: not qemu.named("closefd"), "closefd while the name is asked for", 0.2)
    qemu.reply(asked)
    equal(second.reply(ident).get("return"), {}, "the second getfd")
    prove_alive(second)
    stays_so(lambda: not qemu.named("closefd"), "the second owner's descriptor is closed", 0.3)
    second.close()
    equal(qemu.await_command("closefd").arguments, {"fdname": "migrate"}, "closed in the end")


def seen(qemu):
    """The names of the commands so far; without the lock, which a busy QEMU hardly lets go."""
    return [asked.name for asked in list(qemu.commands)]


@case("the name of a client that left is closed although 10 clients keep QEMU busy")
def _():
    over = []

    def handler(_qemu, asked):
        if asked.name == "query-status" and not over:
            time.sleep(0.003)
    qemu, qmend = start(handler)
    file = File(folder("f"), "file")
    busy = [Client(qmend.path, negotiate=True) for _ in range(10)]
    owner = Client(qmend.path, negotiate=True)
    for client in busy:
        client.send(b'{"execute":"query-status"}\n' * 400)  # 12 s of QEMU's time
    wait_until(lambda: seen(qemu).count("query-status") > 20, "QEMU is busy")
    owner.execute("getfd", {"fdname": "x"}, fds=[file.fd])
    owner.close()
    cleanup(lambda: over.append(True))
    wait_until(lambda: "closefd" in seen(qemu), "closefd at QEMU", 2)
    check(seen(qemu).count("query-status") < 3500, "the others were nearly done")
    over.append(True)
    for client in busy:
        client.close()


@case("a descriptor that QEMU did not take, and QEMU dies: getfd works at the next QEMU")
def _():
    qemu, qmend = start(hold("getfd", "query-pci"))
    file = File(folder("f"), "file")
    many, giver = (Client(qmend.path, negotiate=True) for _ in range(2))
    bad = giver.ask("getfd", {"fdname": "0bad"}, fds=[file.fd])
    asked = qemu.await_command("getfd")
    many.send(b'{"execute":"query-pci"}' * 12)  # every place taken, and commands that wait for one
    qemu.await_command("query-pci", 6)
    qemu.reply(asked, ERROR("Parameter 'fdname' expects a name not starting with a digit"))
    check("error" in giver.reply(bad), "the bad getfd")
    qemu.hang_up()
    for client in (many, giver):
        client.drain()
    again = ScriptedQemu(qemu.path)
    again.await_negotiated()
    client = Client(qmend.path, negotiate=True)
    answer = client.execute("getfd", {"fdname": "good"}, fds=[file.fd], timeout=5)
    equal(answer.get("return"), {}, "getfd at the next QEMU")
    about = os.fstat(file.fd)
    equal(again.named("getfd")[0].files, [(about.st_dev, about.st_ino)], "its descriptor")


def glued(qmend, file, text):
    """Processor time for @text and a getfd whose descriptor comes glued behind it."""
    client = Client(qmend.path, negotiate=True)
    client.socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, MIB)
    before = qmend.cpu()
    qmend.process.send_signal(signal.SIGSTOP)
    try:
        client.send(text, timeout=2)
        client.send(command("getfd", {"fdname": "f"}, "fd"), [file.fd])
    finally:
        qmend.process.send_signal(signal.SIGCONT)
    equal(client.reply("text").get("return"), [], "the long text")
    equal(client.reply("fd").get("return"), {}, "getfd")
    client.close()
    return qmend.cpu() - before


@case("150 kB and a descriptor glued behind them take little time")
def _():
    _, qmend = start()
    file = File(folder("f"), "file")
    for filling, limit in (("y", 0.5), ("{", 0.5), ("\\\\", 0.5), ("é", 0.5), ("}", 1.5)):
        long = filling * (150000 // len(filling.encode()))
        text = f'{{"execute":"query-block","id":"text","arguments":{{"b":"{long}"}}}}'
        used = glued(qmend, file, text.encode())
        check(used < limit, f"{used:.2f} s of processor time for {filling!r}")


@case("a byte sent out of band at the socket does not keep qmend busy")
def _():
    _, qmend = start()
    client, other = (Client(qmend.path, negotiate=True) for _ in range(2))
    for urgent in (b" ", b'{"execute":"query-block"}'):
        try:
            client.socket.send(urgent, socket.MSG_OOB)
        except OSError as error:
            raise Skip(f"no MSG_OOB here: {error}") from error
        stays_idle(qmend, "after an urgent byte")
    prove_alive(other)
    client.close()
    stays_idle(qmend, "after its sender left", 0.4)


# ---- backends and QEMU's sessions

UNPLUG = {"recipe": "unplug",
          "ends": [{"execute": "netdev_del", "arguments": {"id": "n"}}],
          "begins": [{"execute": "netdev_add", "arguments": {"id": "n"}}],
          "rules": HOLDING["rules"][:1]}


def gone(look):
    """Kill the backend; it must not come back."""
    os.kill(look()["pid"], signal.SIGKILL)
    wait_until(lambda: look()["pid"] == 0, "the backend's end")
    stays_down(look)


def stays_down(look):
    end = time.monotonic() + 0.4
    while time.monotonic() < end:
        about = look()
        equal((about["starts"], about["unwanted"]), (1, True), "starts, unwanted")


@case("netdev_del, then QEMU ends: at the next QEMU the backend is started again")
def _():
    qemu, qmend, look = with_backend(UNPLUG)
    client = Client(qmend.path, negotiate=True)
    client.value("netdev_del", {"id": "n"})
    gone(look)
    qemu.hang_up()
    client.drain()
    ScriptedQemu(qemu.path).await_negotiated()
    wait_until(lambda: look()["starts"] == 2 and look()["state"] == "ready", "its second start")


@case("a second netdev_del that QEMU refuses leaves the backend unwanted")
def _():
    deleted = []

    def handler(_qemu, asked):
        if asked.name == "netdev_del":
            deleted.append(asked)
            return ERROR("Device 'n' not found") if len(deleted) > 1 else None
        return None
    _, qmend, look = with_backend(UNPLUG, handler=handler)
    client = Client(qmend.path, negotiate=True)
    client.value("netdev_del", {"id": "n"})
    gone(look)
    check("error" in client.execute("netdev_del", {"id": "n"}), "the second netdev_del")
    stays_down(look)


# ---- coalesced queries

@case("coalesce: the asker leaves, those who wait get the answer")
def _():
    qemu, qmend = start(hold("query-pci"), coalesce=True)
    asker, *others = (Client(qmend.path, negotiate=True) for _ in range(4))
    asker.ask("query-pci")
    asked = qemu.await_command("query-pci")
    waiting = [(client, client.ask("query-pci")) for client in others]
    stays_so(lambda: len(qemu.named("query-pci")) == 1, "asked more than once")
    count = qmend.descriptor_count()
    asker.close()
    descriptors_drop(qmend, count)
    qemu.reply(asked, ["the answer"])
    for client, ident in waiting:
        equal(client.reply(ident, 5).get("return"), ["the answer"], "the answer")
    equal(len(qemu.named("query-pci")), 1, "asked at QEMU")


@case("coalesce: an answer that is an error is not shared")
def _():
    seen = []

    def handler(_qemu, asked):
        if asked.name != "query-pci":
            return None
        seen.append(asked)
        return HOLD if len(seen) == 1 else ["fine"]
    qemu, qmend = start(handler, coalesce=True)
    asker, *others = (Client(qmend.path, negotiate=True) for _ in range(3))
    first = asker.ask("query-pci")
    asked = qemu.await_command("query-pci")
    waiting = [(client, client.ask("query-pci")) for client in others]
    stays_so(lambda: len(seen) == 1, "asked more than once")
    qemu.reply(asked, ERROR("not now"))
    equal(asker.reply(first)["error"]["desc"], "not now", "the asker's answer")
    for client, ident in waiting:
        equal(client.reply(ident, 5).get("return"), ["fine"], "what the others get")
    check(len(seen) in (2, 3), f"asked {len(seen)} times")


@case("coalesce: a large answer and little memory: who is not closed gets it whole")
def _():
    large = "x" * (700 << 10)
    qemu, qmend = start(hold("query-pci"), coalesce=True,
                        limits={"clients": 16, "queue": "4MiB", "memory": "4MiB"})
    clients = [Client(qmend.path, negotiate=True) for _ in range(5)]
    idents = [client.ask("query-pci", ident=f"c{n}") for n, client in enumerate(clients)]
    asked = qemu.await_command("query-pci")
    stays_so(lambda: len(qemu.named("query-pci")) == 1, "asked more than once")
    qemu.reply(asked, large)
    whole = 0
    for client, ident in zip(clients, idents):
        try:
            check(client.message(5) == {"return": large, "id": ident}, "not the answer")
            whole += 1
        except Ended:
            pass
    check(whole >= 2, f"only {whole} of 5 got it")
    prove_alive(Client(qmend.path, negotiate=True))


if __name__ == "__main__":
    run()
