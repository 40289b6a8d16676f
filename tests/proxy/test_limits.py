#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A client that is slow, stuck, flooding or malicious costs only itself.

Memory is looked at from outside (VmRSS); a build with sanitizers is allowed more of it.
"""

import os
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
# pylint: disable=wrong-import-position
from qmptest import (HOLD, Client, Ended, Failure, File, Qmend, Qemu, ScriptedQemu, case, check,
                     equal, folder, run, sanitized, wait_until)

MIB = 1 << 20
SMALL = {"clients": 64, "queue": "1MiB", "memory": "8MiB"}


def start(handler=None, **options):
    """A scripted QEMU and a qmend that has negotiated with it."""
    qemu = ScriptedQemu(handler=handler)
    qmend = Qmend(qemu.path, **options)
    qemu.await_negotiated()
    return qemu, qmend


def bounded(qmend, before, mebibytes, what):
    """The memory that @what took stays below a bound."""
    allowed = mebibytes * (4 if sanitized() else 1)
    took = (qmend.memory() - before) / MIB
    check(took < allowed, f"{what}: {took:.0f} MiB more, {allowed} allowed")


def prove_alive(client, times=20):
    for _ in range(times):
        check("return" in client.execute("query-block", timeout=5), "the other client suffers")


@case("a client that does not read events is closed; the others get all of them")
def _():
    qemu, qmend = start(limits=SMALL)
    slow, fast = (Client(qmend.path, negotiate=True) for _ in range(2))
    before = qmend.memory()
    padding = "x" * 10000
    for number in range(1000):  # 10 MB
        qemu.event("RTC_CHANGE", {"n": number, "padding": padding})
        if number % 20 == 0:
            fast.receive(0)
    got = [fast.event("RTC_CHANGE")["data"]["n"] for _ in range(1000)]
    equal(got, list(range(1000)), "events of the client that reads")
    bounded(qmend, before, 16, "the slow client")
    rest = slow.drain()
    check(len(rest) < 5 * MIB, f"the slow client still got {len(rest)} bytes")
    prove_alive(fast)


@case("a slow client that was closed is told nothing half: what it got are whole messages in order")
def _():
    qemu, qmend = start(limits=SMALL)
    slow = Client(qmend.path, negotiate=True)
    fast = Client(qmend.path, negotiate=True)
    for number in range(600):
        qemu.event("RTC_CHANGE", {"n": number, "padding": "x" * 10000})
        fast.receive(0)
    fast.reply(fast.ask("query-block"))
    got = []
    try:
        while True:
            got.append(slow.message()["data"]["n"])
    except Ended:
        pass
    equal(got, list(range(len(got))), "events before the end")
    check(5 < len(got) < 500, f"{len(got)} events")


@case("replies unread beyond the queue's limit: backpressure or the end, for that client alone")
def _():
    qemu, qmend = start(lambda _q, c: ["z" * 50000] if c.name == "query-pci" else None,
                        limits=SMALL)
    slow, fast = (Client(qmend.path, negotiate=True) for _ in range(2))
    before = qmend.memory()
    try:
        slow.send(b'{"execute":"query-pci"}' * 2000, timeout=1)  # 100 MB of answers
    except (Ended, Failure):
        pass
    prove_alive(fast, 200)
    bounded(qmend, before, 24, "the slow client")
    del qemu


@case("10,000 commands before the first reply is read: all answered, in order")
def _():
    qemu, qmend = start()
    client, other = (Client(qmend.path, negotiate=True) for _ in range(2))
    before = qmend.memory()
    data = b"".join(b'{"execute":"query-block","id":%d}\n' % n for n in range(10000))
    client.send(data, timeout=30)
    prove_alive(other, 5)
    equal([client.message(30)["id"] for _ in range(10000)], list(range(10000)), "ids")
    bounded(qmend, before, 48, "10,000 commands")
    del qemu


@case("10,000 commands, never read, then closed: the others go on")
def _():
    qemu, qmend = start()
    client, other = (Client(qmend.path, negotiate=True) for _ in range(2))
    client.send(b'{"execute":"query-block","id":1}\n' * 10000, timeout=30)
    prove_alive(other, 5)
    client.close()
    prove_alive(other, 5)
    wait_until(lambda: qemu.outstanding == 0, "QEMU is idle again")


def endless(prefix, unit, total=65 * MIB):
    """Send @total bytes of one text that does not end; what came back, and who is hurt."""
    qemu, qmend = start()
    bad, other = (Client(qmend.path, negotiate=True) for _ in range(2))
    before = qmend.memory()
    sent = len(prefix)
    closed = False
    bad.send(prefix)
    block = unit * (MIB // len(unit))
    try:
        while sent < total:
            bad.send(block, timeout=20)
            sent += len(block)
            if sent // len(block) % 16 == 0:
                prove_alive(other, 1)
                bounded(qmend, before, 160, "an endless text")
        bad.receive(5)
    except Ended:
        closed = True
    prove_alive(other)
    bounded(qmend, before, 160, "an endless text")
    try:
        while bad.receive(0.1):
            pass
    except Failure:
        pass
    garbage = [text for text in qemu.garbage if len(text) > 100]
    check(not garbage, "garbage was forwarded", garbage[:1])
    return bytes(bad.got[bad.position:]), closed, qmend, other


@case("65 MiB in one string without an end: the size limit, as QEMU words it")
def _():
    got, _, qmend, other = endless(b'{"execute":"', b"x")
    check(got.startswith(b'{"error": {"class": "GenericError", "desc": '
                         b'"JSON token size limit exceeded"}}\r\n'), "answer", got[:300])
    check(qmend.alive(), "qmend is gone")
    prove_alive(other)


@case("65 MiB of short strings in one array: the token or the size limit")
def _():
    unit = b'"' + b"s" * 125 + b'",'
    got, _, qmend, _ = endless(b'{"execute":"x","arguments":{"a":[', unit)
    check(b"limit exceeded" in got, "answer", got[:300])
    check(qmend.alive(), "qmend is gone")


@case("commands at QEMU's very limits are answered, and do not take QEMU's places for ever")
def _():
    qemu = Qemu()
    qmend = Qmend(qemu.path)
    client, other = (Client(qmend.path, negotiate=True) for _ in range(2))
    deep = "[" * 1022 + "]" * 1022
    deepest = "[" * 1023 + "]" * 1023
    for number in range(10):
        for made in (f'"id":{deep}', f'"id":{deepest}', f'"id":{number},"arguments":{deepest}',
                     f'"id":{number},"arguments":{{"a":{deep}}}', '"id":-1e400', '"id":1e400'):
            client.send(b'{"execute":"query-status",%s}' % made.encode())
            client.line()
    equal(other.value("query-status")["status"], "prelaunch", "the other client")
    many = b"1," * ((1 << 20) - 8)
    for spare in range(3, -1, -1):  # around 2 Mi tokens in all
        client.send(b'{"execute":"query-status","id":5,"arguments":{"a":[' + many
                    + b"1," * spare + b"1]}}", timeout=60)
        check(b'"error"' in client.line(60), "the long command was accepted")
    equal(other.value("query-status")["status"], "prelaunch", "the other client")


@case("70 MiB of blanks are nothing: the next command is answered, no memory is taken")
def _():
    qemu, qmend = start()
    client = Client(qmend.path, negotiate=True)
    before = qmend.memory()
    for _ in range(70):
        client.send(b" \t\r\n" * (MIB // 4), timeout=20)
    check("return" in client.execute("query-block", timeout=20), "command after blanks")
    bounded(qmend, before, 8, "blanks")
    del qemu


@case("a megabyte of noise: errors for that client alone, nothing of it at QEMU")
def _():
    qemu, qmend = start()
    bad, other = (Client(qmend.path, negotiate=True) for _ in range(2))
    before = qmend.memory()
    noise = bytes((n * 7919 + n // 251) % 256 for n in range(1 << 16))
    known = len(qemu.garbage)
    end = time.monotonic() + 4
    sent = 0
    while sent < MIB and time.monotonic() < end:
        try:
            bad.send(noise, timeout=2)
        except (Ended, Failure):
            break
        sent += len(noise)
        bad.receive(0)
        prove_alive(other, 1)
    prove_alive(other)
    equal(len(qemu.garbage), known, "garbage at QEMU")
    bounded(qmend, before, 64, "noise")


@case("errors unread: a million closing brackets are no memory bomb")
def _():
    qemu, qmend = start(limits=SMALL)
    bad, other = (Client(qmend.path, negotiate=True) for _ in range(2))
    before = qmend.memory()
    try:
        bad.send(b"]" * MIB, timeout=2)  # one error of 90 bytes each
    except (Ended, Failure):
        pass
    prove_alive(other)
    bounded(qmend, before, 24, "unread errors")
    del qemu


# ---- descriptors

def no_leak(qmend, act):
    """Run @act on a client; afterwards qmend has as many descriptors as before."""
    before = qmend.descriptor_count()
    client = Client(qmend.path, negotiate=True)
    other = Client(qmend.path, negotiate=True)
    act(client)
    prove_alive(other, 5)
    client.close()
    other.close()
    wait_until(lambda: qmend.descriptor_count() == before,
               f"{before} descriptors; now {sorted(qmend.descriptors().values())}")


def with_descriptors(count):
    def play():
        qemu, qmend = start()
        file = File(folder("f"), "x")

        def act(client):
            for name, key in (("query-block", None), ("getfd", {"fdname": "a"}), ("add-fd", None)):
                check(client.execute(name, key, fds=[file.fd] * count), name)
            client.send(b" ", [file.fd] * count)
            client.send(b'{"exec', [file.fd] * count)
        no_leak(qmend, act)
        check(all(len(c.files) <= 1 for c in qemu.named("getfd")), "more than one was passed on")
    return play


for _count in (2, 100, 253):
    case(f"{_count} descriptors in one message: none leaks")(with_descriptors(_count))


@case("a descriptor on every byte: none leaks, the command is answered")
def _():
    qemu, qmend = start()
    file = File(folder("f"), "x")

    def act(client):
        for line in (b'{"execute":"query-block","id":1}', b'{"execute":"getfd","arguments":'
                     b'{"fdname":"a"},"id":2}', b"nul [1] \xff"):
            for byte in line:
                client.send(bytes([byte]), [file.fd])
        check("return" in client.reply(1) and "return" in client.reply(2), "answers")
    no_leak(qmend, act)
    del qemu


@case("a hundred messages of 100 descriptors, unread and incomplete: none leaks")
def _():
    qemu, qmend = start(lambda _q, c: HOLD if c.name == "query-pci" else None)
    file = File(folder("f"), "x")

    def act(client):
        try:
            client.send(b'{"execute":"query-pci"}' * 20)
            for _ in range(100):
                client.send(b'{"execute":"getfd","arguments":{"fdname":"a"}}', [file.fd] * 100,
                            timeout=1)
        except (Ended, Failure):
            pass
    act_before = qmend.descriptor_count()
    client, other = (Client(qmend.path, negotiate=True) for _ in range(2))
    act(client)
    check(qmend.descriptor_count() < act_before + 300, "queued descriptors are unbounded")
    client.close()
    with qemu.lock:
        qemu.handler = None  # what still comes is answered at once
        for command in qemu.named("query-pci"):
            if not command.answered:
                qemu.reply(command)
    prove_alive(other, 5)
    other.close()
    wait_until(lambda: qmend.descriptor_count() == act_before, "all closed")


@case("descriptors of a client that is gone before they are read: none leaks")
def _():
    qemu, qmend = start()
    file = File(folder("f"), "x")
    before = qmend.descriptor_count()
    for _ in range(50):
        client = Client(qmend.path)
        client.send(b'{"execute":"qmp_capabilities"}{"execute":"getfd","arguments":{"fdname":"q"}}',
                    [file.fd] * 10)
        client.close()
    other = Client(qmend.path, negotiate=True)
    prove_alive(other, 5)
    other.close()
    wait_until(lambda: qmend.descriptor_count() == before, "all closed")
    del qemu


# ---- connections

@case("more clients than the policy allows: the rest are turned away, the others work")
def _():
    qemu, qmend = start(limits={"clients": 4, "queue": "1MiB", "memory": "8MiB"})
    inside = [Client(qmend.path, negotiate=True) for _ in range(4)]
    outside = [Client(qmend.path) for _ in range(3)]
    for client in outside:
        try:
            client.message(0.2)
            raise Failure("a fifth client was served")
        except Ended:
            pass
        except Failure as why:
            check("no line" in str(why), str(why))
    for client in inside:
        prove_alive(client, 2)
    for client in outside + inside[:1]:
        client.close()
    wait_until(lambda: len(inside[1].value("x-qmend-status")["clients"]) == 3, "a free place")
    prove_alive(Client(qmend.path, negotiate=True), 2)
    del qemu


@case("out of descriptors: nobody is harmed who is there, and it ends when some are free again")
def _():
    qemu = ScriptedQemu()
    qmend = Qmend(qemu.path, files=32)
    first = Client(qmend.path, negotiate=True)
    file = File(folder("f"), "x")
    crowd = [Client(qmend.path) for _ in range(40)]
    time.sleep(0.1)
    before = qmend.cpu()
    prove_alive(first, 5)
    check("return" in first.execute("query-block", fds=[file.fd] * 50), "with 50 descriptors")
    time.sleep(1)
    check(qmend.cpu() - before < 0.5, f"{qmend.cpu() - before} s of processor time in 1 s")
    prove_alive(first, 5)
    for client in crowd:
        client.close()
    prove_alive(Client(qmend.path, negotiate=True), 5)
    check("return" in first.execute("getfd", {"fdname": "a"}, fds=[file.fd]), "getfd afterwards")


@case("a thousand short connections: nothing is left of them")
def _():
    qemu, qmend = start()
    before = qmend.descriptor_count()
    memory = qmend.memory()
    for number in range(1000):
        client = Client(qmend.path)
        if number % 3 == 0:
            client.send(b'{"execute":"qmp_capabilities"}{"execute":"query-block"}')
        elif number % 3 == 1:
            client.message()
        client.close()
    last = Client(qmend.path, negotiate=True)
    prove_alive(last, 5)
    last.close()
    wait_until(lambda: qmend.descriptor_count() == before, "all closed")
    bounded(qmend, memory, 8, "short connections")
    del qemu


@case("slow clients together cannot exceed the VM's memory")
def _():
    qemu, qmend = start(limits={"clients": 40, "queue": "4MiB", "memory": "8MiB"})
    slow = [Client(qmend.path, negotiate=True) for _ in range(20)]
    fast = Client(qmend.path, negotiate=True)
    before = qmend.memory()
    for number in range(300):
        qemu.event("RTC_CHANGE", {"n": number, "padding": "x" * 10000})
        fast.receive(0)
    prove_alive(fast)
    bounded(qmend, before, 20, "twenty slow clients")
    del slow


@case("a million bytes of commands to a real QEMU, never read: another is served meanwhile")
def _():
    qemu = Qemu()
    qmend = Qmend(qemu.path)
    flood, other = (Client(qmend.path, negotiate=True) for _ in range(2))
    try:
        flood.send(b'{"execute":"query-qmp-schema"}{"execute":"qom-list-types"}' * 4000, timeout=1)
    except (Ended, Failure):
        pass
    start_ = time.monotonic()
    for _ in range(10):
        check("return" in other.execute("query-name"), "the other client failed")
    check(time.monotonic() - start_ < 5, "the other client waited too long")
    flood.close()
    check("return" in other.execute("query-name"), "after the flood")


@case("nothing is done while nothing happens")
def _():
    qemu, qmend = start()
    clients = [Client(qmend.path, negotiate=True) for _ in range(5)]
    time.sleep(0.1)
    before = switches(qmend)
    time.sleep(1)
    equal(switches(qmend) - before, 0, "wake-ups in a second")
    del qemu, clients


def switches(qmend):
    with open(f"/proc/{qmend.process.pid}/status", encoding="ascii") as status:
        return sum(int(line.split()[1]) for line in status if "ctxt_switches" in line)


if __name__ == "__main__":
    run()
