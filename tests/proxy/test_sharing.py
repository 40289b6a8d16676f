#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Many clients, one QEMU: whose reply is whose, who comes next, what overtakes what.

QEMU is a script here (lib/scripted.py), so that a test decides when a command is answered. The
script itself watches that ids are unique, that never more than 7 in-band commands are outstanding,
and that one descriptor is under way at a time; what it saw fails the case.
"""

import json
import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
# pylint: disable=wrong-import-position
from qmptest import (ERROR, HOLD, Client, File, Qmend, ScriptedQemu, case, check, equal, folder, run,
                     stays_so, wait_until)

OUTSTANDING = 7


def hold(*names):
    """A handler that answers these commands only when the test says so."""
    return lambda _qemu, command: HOLD if command.name in names else None


def start(handler=None, exact=False, serial=False, **options):
    """A scripted QEMU and a qmend that has negotiated with it."""
    qemu = ScriptedQemu(handler=handler, exact=exact, serial=serial)
    qmend = Qmend(qemu.path, **options)
    qemu.await_negotiated()
    return qemu, qmend


def ready(qmend, count, oob=False):
    return [Client(qmend.path, negotiate=True, oob=oob) for _ in range(count)]


@case("the greeting is QEMU's, byte for byte")
def _():
    odd = {"qemu": {"micro": 50, "minor": 99, "major": 12}, "package": "\u00e9 [odd] \"x\" {}"}
    qemu = ScriptedQemu(micro=1)
    qemu.version = odd
    qmend = Qmend(qemu.path)
    expected = json.dumps({"QMP": {"version": odd, "capabilities": ["oob"]}}).encode()
    for _ in range(3):
        equal(Client(qmend.path).line(), expected, "greeting")


@case("two clients use the same ids at once")
def _():
    qemu, qmend = start(hold("query-block"))
    one, two = ready(qmend, 2)
    for ident in (1, "x", None, {"a": [1]}):
        message = {"execute": "query-block", "id": ident}
        before = len(qemu.named("query-block"))
        one.send({**message, "arguments": {"who": 1}})
        two.send({**message, "arguments": {"who": 2}})
        qemu.await_command("query-block", before + 2)
        for command in reversed(qemu.named("query-block")[before:]):
            qemu.reply(command, [command.arguments["who"]])
        for client, who in ((one, 1), (two, 2)):
            equal(client.message(), {"return": [who], "id": ident}, "reply")
    one.quiet()
    two.quiet(0)


@case("without an id there is none in the reply")
def _():
    qemu, qmend = start(lambda _q, c: ERROR("no") if c.name == "eject" else None)
    client, = ready(qmend, 1)
    client.send(b'{"execute":"query-block"}{"execute":"eject"}{"execute":"query-block","id":null}')
    equal(client.line(), b'{"return": []}', "reply")
    equal(client.line(), b'{"error": {"class": "GenericError", "desc": "no"}}', "error")
    equal(client.line(), b'{"return": [], "id": null}', "reply to null")
    del qemu


@case("replies go through byte for byte")
def _():
    body = b'{"a":1.50, "b" : [ 18446744073709551615 , -0, 1e400], "c": "\\u00E9\\/ \\ud83d", "id": 5}'

    def handler(qemu, command):
        if command.name != "query-block":
            return None
        qemu.reply_raw(command, body)
        return HOLD
    _, qmend = start(handler)
    client, = ready(qmend, 1)
    client.send({"execute": "query-block", "id": "i"})
    equal(client.line(), b'{"return": ' + body + b', "id": "i"}', "reply")
    client.send({"execute": "query-block"})
    equal(client.line(), b'{"return": ' + body + b'}', "reply without id")


@case("pretty-printed replies, over several lines")
def _():
    def handler(qemu, command):
        if command.name != "query-block":
            return None
        ident = json.dumps(command.id).encode()
        qemu.say(b'{\r\n    "return": [\r\n        1\r\n    ],\r\n    "id": ' + ident + b'\r\n}\r\n')
        return HOLD
    _, qmend = start(handler)
    client, = ready(qmend, 1)
    client.send({"execute": "query-block", "id": 3})
    text = b"\r\n".join(client.lines(6))
    equal(json.loads(text), {"return": [1], "id": 3}, "reply")


@case("events go to all who negotiated, in one order, and to nobody else")
def _():
    qemu, qmend = start()
    clients = ready(qmend, 3)
    waiting = Client(qmend.path)
    waiting.message()
    for number in range(500):
        qemu.event("RTC_CHANGE", {"offset": number, "qom-path": "/x"}, number)
    for client in clients:
        got = [client.message()["data"]["offset"] for _ in range(500)]
        equal(got, list(range(500)), "order of events")
    waiting.quiet()
    waiting.send({"execute": "qmp_capabilities"})
    equal(waiting.message(), {"return": {}}, "negotiation")
    qemu.event("STOP")
    for client in clients + [waiting]:
        equal(client.message()["event"], "STOP", "event after negotiation")


@case("events go through byte for byte")
def _():
    qemu, qmend = start()
    one, two = ready(qmend, 2)
    text = (b'{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "X_NEW", "data": '
            b'{"id": 5, "n": 1.50, "s": "\\u00E9\\/", "return": {}, "error": [ ]}}')
    qemu.say(text + b"\r\n")
    equal((one.line(), two.line()), (text, text), "event")


@case("events and replies keep QEMU's order at each client")
def _():
    def handler(qemu, command):
        if command.name == "stop":
            qemu.event("STOP", {"n": command.arguments["n"]})
            qemu.reply(command)
            qemu.event("RESUME", {"n": command.arguments["n"]})
            return HOLD
        return None
    _, qmend = start(handler)
    one, two = ready(qmend, 2)
    for number in range(100):
        one.ask("stop", {"n": number}, ident=number)
        two.ask("query-block", ident=number)
    for number in range(100):
        equal([one.message() for _ in range(3)][1], {"return": {}, "id": number}, "reply")
    two.reply(99)
    wait_until(lambda: len(two.events) == 200 or two.events.append(two.message()), "events")
    equal([e["data"]["n"] for e in two.events], [n for n in range(100) for _ in "ab"], "events")


@case("a blocking command of one client does not stop the other")
def _():
    qemu, qmend = start(hold("human-monitor-command"))
    one, two = ready(qmend, 2)
    ident = one.ask("human-monitor-command", {"command-line": "x"})
    command = qemu.await_command("human-monitor-command")
    for _ in range(50):
        check("return" in two.execute("query-block"), "the other client failed")
    one.quiet(0)
    qemu.reply(command, "late")
    equal(one.message(), {"return": "late", "id": ident}, "late reply")


@case("never more than 7 in-band commands outstanding, and all 7 are used")
def _():
    qemu, qmend = start(hold("query-block"))
    clients = ready(qmend, 4)
    for client in clients:
        client.send(b"".join(b'{"execute":"query-block","id":%d}' % n for n in range(25)))
    qemu.await_command("query-block", OUTSTANDING)
    stays_so(lambda: len(qemu.named("query-block")) == OUTSTANDING, "more than 7 were sent")
    done = 0
    while done < 100:
        qemu.reply(qemu.await_command("query-block", done + 1))
        done += 1
    for client in clients:
        equal([client.message()["id"] for _ in range(25)], list(range(25)), "order of replies")
    equal(qemu.most_outstanding, OUTSTANDING, "most outstanding")


@case("one client with 1000 pipelined commands delays another's by no more than 7")
def _():
    qemu, qmend = start(hold("query-block"))
    greedy, modest = ready(qmend, 2)
    greedy.send(b"".join(b'{"execute":"query-block","id":%d}' % n for n in range(1000)))
    qemu.await_command("query-block", OUTSTANDING)
    answered = 0
    for turn in range(5):
        modest.ask("query-block", {"modest": turn}, ident=f"m{turn}")
        stays_so(lambda: True, "", 0.05)  # for qmend to have read it
        before = answered
        while not modest.pending() and answered < before + 40:
            qemu.reply(qemu.await_command("query-block", answered + 1))
            answered += 1
            modest.receive(0.02)
        equal(modest.message()["id"], f"m{turn}", "reply")
        check(answered - before <= OUTSTANDING + 3, f"{answered - before} others came first")
    for number in range(answered, 1005):
        qemu.reply(qemu.await_command("query-block", number + 1))
    equal([greedy.message()["id"] for _ in range(1000)], list(range(1000)), "the other's replies")


@case("turns go round: three clients with queues are served alike")
def _():
    qemu, qmend = start(hold("query-block", "query-pci"))
    clients = ready(qmend, 3)
    plugs = []
    for number in range(OUTSTANDING):  # all places are taken while the three fill their queues
        clients[0].ask("query-pci")
        plugs.append(qemu.await_command("query-pci", number + 1))
    for number, client in enumerate(clients):
        client.send(b"".join(b'{"execute":"query-block","arguments":{"who":%d},"id":%d}'
                             % (number, n) for n in range(40)))
    stays_so(lambda: not qemu.named("query-block"), "a command went beyond 7")
    for plug in plugs:
        qemu.reply(plug)
    for number in range(120):
        qemu.reply(qemu.await_command("query-block", number + 1))
    order = [c.arguments["who"] for c in qemu.named("query-block")]
    for start_ in range(0, 90, 3):
        equal(sorted(order[start_:start_ + 3]), [0, 1, 2], f"turn at {start_}: {order[:90]}")
    for client in clients:
        client.reply(39)


@case("out of band overtakes: others' queues are full")
def _():
    qemu, qmend = start(hold("query-block"))
    other, = ready(qmend, 1)
    oob, = ready(qmend, 1, True)
    other.send(b'{"execute":"query-block"}' * 100)
    qemu.await_command("query-block", OUTSTANDING)
    for _ in range(20):
        equal(oob.execute("query-yank", oob=True)["return"], [], "query-yank")
    check(all(c.oob for c in qemu.named("query-yank")), "sent in band")


@case("out of band overtakes: the client's own queue, up to QEMU's 8")
def _():
    qemu, qmend = start(hold("query-block"))
    oob, = ready(qmend, 1, True)
    for count in range(1, 8):
        oob.ask("query-block", ident=f"in{count}")
        answer = oob.execute("query-yank", oob=True)
        equal(answer.get("return"), [], f"with {count} in band")
    equal(oob.others, [], "replies")
    for count in range(1, 8):
        qemu.reply(qemu.await_command("query-block", count), [count])
        equal(oob.message(), {"return": [count], "id": f"in{count}"}, "in-band reply")


@case("out of band overtakes: own queue and another's full one at once")
def _():
    qemu, qmend = start(hold("query-block"))
    other, = ready(qmend, 1)
    oob, = ready(qmend, 1, True)
    other.send(b'{"execute":"query-block"}' * 50)
    qemu.await_command("query-block", OUTSTANDING)
    for count in range(5):
        oob.ask("query-block", ident=f"in{count}")
    equal(oob.execute("yank", {"instances": []}, oob=True).get("return"), {}, "yank")
    equal(oob.others, [], "nothing overtaken was answered")
    for number in range(55):
        qemu.reply(qemu.await_command("query-block", number + 1))
    equal([oob.message()["id"] for _ in range(5)], [f"in{n}" for n in range(5)], "order in band")


@case("oob only for those who enabled it")
def _():
    qemu, qmend = start()
    plain, = ready(qmend, 1)
    oob, = ready(qmend, 1, True)
    answer = plain.execute("query-yank", oob=True)
    equal(answer["error"]["desc"], "QMP input member 'exec-oob' is unexpected", "not enabled")
    equal(oob.execute("query-yank", oob=True)["return"], [], "enabled")
    equal(len(qemu.named("query-yank")), 1, "how often QEMU was asked")


@case("a QEMU without oob: not offered, not accepted, commands still flow")
def _():
    qemu = ScriptedQemu(oob=False)
    qmend = Qmend(qemu.path)
    client = Client(qmend.path)
    equal(client.message()["QMP"]["capabilities"], [], "capabilities")
    client.send({"execute": "qmp_capabilities", "arguments": {"enable": ["oob"]}})
    answer = client.message()
    check("error" in answer, "oob was accepted", answer)
    client.send({"execute": "qmp_capabilities"})
    equal(client.message(), {"return": {}}, "negotiation")
    check("return" in client.execute("query-block"), "command")


# ---- memory of answers

@case("answers that cannot change are asked for once, and are the same bytes with the own id")
def _():
    qemu, qmend = start()
    one, two = ready(qmend, 2)
    for name in ("query-version", "query-commands", "query-qmp-schema"):
        first = ask_raw(one, name, b"1")
        asked = len(qemu.named(name))
        check(asked <= 1, f"{name} was asked {asked} times")
        for client in (one, two):
            for ident in (b'"x"', b"1.5", b'{"a": [1, null]}', b"null"):
                got = ask_raw(client, name, ident)
                equal(got, first.replace(b'"id": 1}', b'"id": ' + ident + b"}"), name)
            client.send(b'{"execute":"%s"}' % name.encode())
            equal(client.line(), first.replace(b', "id": 1}', b"}"), name)
        equal(len(qemu.named(name)), max(asked, 1) if asked else 0, f"{name} at QEMU")


def ask_raw(client, name, ident):
    client.send(b'{"execute":"%s","id":%s}\n' % (name.encode(), ident))
    return client.line()


@case("answers from memory keep their place in the client's order")
def _():
    qemu, qmend = start(hold("query-block"), serial=True)
    client, = ready(qmend, 1)
    client.value("query-version")
    client.send(b'{"execute":"query-block","id":1}{"execute":"query-version","id":2}'
                b'{"execute":"nosuch","id":3}[1]{"execute":"query-commands","id":4}'
                b'{"execute":"query-block","id":5}{"x":1,"id":6}')
    held = qemu.await_command("query-block")
    client.quiet()
    qemu.reply(held)
    qemu.reply(qemu.await_command("query-block", 2))
    got = [client.message().get("id", "none") for _ in range(7)]
    equal(got, [1, 2, 3, "none", 4, 5, 6], "order")


@case("wrong questions are not answered from memory")
def _():
    qemu, qmend = start()
    client, = ready(qmend, 1)
    client.value("query-version")
    client.execute("query-version", {"x": 1})
    equal(qemu.named("query-version")[-1].arguments, {"x": 1}, "arguments at QEMU")


@case("an error is not remembered")
def _():
    answers = iter([ERROR("not yet"), [{"name": "a"}]])
    qemu, qmend = start(lambda _q, c: next(answers, None) if c.name == "query-commands" else None)
    client, = ready(qmend, 1)
    replies = [client.execute("query-commands") for _ in range(3)]
    check("return" in replies[-1], "the error was remembered", replies)
    del qemu


@case("policy: the same query by several at once is asked once")
def _():
    qemu, qmend = start(hold("query-block"), coalesce=True)
    clients = ready(qmend, 4)
    for number, client in enumerate(clients):
        client.send({"execute": "query-block", "id": f"c{number}"})
    held = qemu.await_command("query-block")
    stays_so(lambda: len(qemu.named("query-block")) == 1, "asked more than once")
    clients[0].close()
    qemu.reply(held, [1.5])
    for number, client in enumerate(clients[1:], 1):
        equal(client.message(), {"return": [1.5], "id": f"c{number}"}, "reply")
    clients[1].ask("query-block", ident="later")
    qemu.reply(qemu.await_command("query-block", 2), ["new"])
    equal(clients[1].message(), {"return": ["new"], "id": "later"}, "a later question is asked anew")


@case("without that policy each is asked")
def _():
    qemu, qmend = start(hold("query-block"))
    for client in ready(qmend, 3):
        client.ask("query-block")
    qemu.await_command("query-block", 3)


# ---- descriptors

@case("descriptors: a command larger than a socket buffer carries its own once")
def _():
    qemu, qmend = start(exact=True)
    one, two = ready(qmend, 2)
    directory = folder("f")
    for number in range(3):
        file = File(directory, str(number))
        about = os.fstat(file.fd)
        ident = [number, "i" * 200000]
        one.ask("getfd", {"fdname": f"n{number}"}, fds=[file.fd], ident=ident)
        two.ask("query-block", ident=number)
        check("return" in one.reply(ident), "getfd failed")
        equal(qemu.named("getfd")[number].files, [(about.st_dev, about.st_ino)], "files")
        two.reply(number)


@case("a descriptor with an out-of-band command goes nowhere")
def _():
    qemu, qmend = start(exact=True)
    oob, = ready(qmend, 1, True)
    before = qmend.descriptor_count()
    file = File(folder("f"), "x")
    check("return" in oob.execute("query-yank", oob=True, fds=[file.fd]), "query-yank")
    check("error" in oob.execute("getfd", {"fdname": "x"}), "getfd took it")
    wait_until(lambda: qmend.descriptor_count() == before, "closed")
    del qemu


@case("descriptors: each with its command, one under way at a time, from three clients at once")
def _():
    qemu, qmend = start(exact=True)
    clients = ready(qmend, 3, False)
    directory = folder("f")
    expected = {}
    for number in range(20):
        for who, client in enumerate(clients):
            name = f"n{who}-{number}"
            file = File(directory, name)
            about = os.fstat(file.fd)
            expected[name] = [(about.st_dev, about.st_ino)]
            client.ask("query-block")
            client.ask("getfd", {"fdname": name}, fds=[file.fd], ident=name)
    for who, client in enumerate(clients):
        for number in range(20):
            check("return" in client.reply(f"n{who}-{number}"), "getfd failed")
    got = {c.arguments["fdname"]: c.files for c in qemu.named("getfd")}
    equal(got, expected, "which file came with which name")


@case("a held getfd keeps the next one back, and nothing else")
def _():
    qemu, qmend = start(hold("getfd"), exact=True)
    one, two = ready(qmend, 2)
    files = [File(folder("f"), str(n)) for n in range(2)]
    one.ask("getfd", {"fdname": "a"}, fds=[files[0].fd], ident="a")
    first = qemu.await_command("getfd")
    two.ask("getfd", {"fdname": "b"}, fds=[files[1].fd], ident="b")
    three, = ready(qmend, 1)
    check("return" in three.execute("query-block"), "others must go on")
    stays_so(lambda: len(qemu.named("getfd")) == 1, "two descriptors under way")
    qemu.reply(first)
    qemu.reply(qemu.await_command("getfd", 2))
    check("return" in one.reply("a") and "return" in two.reply("b"), "getfd failed")


@case("closefd for the names of a client that left, and for no others")
def _():
    qemu, qmend = start(exact=True)
    one, two, three = ready(qmend, 3)
    file = File(folder("f"), "x")

    def getfd(client, name):
        return client.execute("getfd", {"fdname": name}, fds=[file.fd])
    for client, name in ((one, "mine"), (one, "shared"), (one, "closed"), (one, "it's \"odd\" \u00e9"),
                         (two, "shared"), (two, "theirs")):
        check("return" in getfd(client, name), name)
    one.execute("closefd", {"fdname": "closed"})
    check("error" in three.execute("getfd", {"fdname": "theirs"}), "getfd without a descriptor")
    three.close()
    one.close()
    qemu.await_command("closefd", 3)  # the first was the client's own
    stays_so(lambda: len(qemu.named("closefd")) == 3, "a name too many was closed")
    names = sorted(c.arguments["fdname"] for c in qemu.named("closefd")[1:])
    equal(names, ["it's \"odd\" \u00e9", "mine"], "closefd")
    two.close()
    qemu.await_command("closefd", 5)
    names = sorted(c.arguments["fdname"] for c in qemu.named("closefd")[3:])
    equal(names, ["shared", "theirs"], "closefd")


@case("a client leaves while its getfd is under way: the name is closed all the same")
def _():
    qemu, qmend = start(hold("getfd"), exact=True)
    one, two = ready(qmend, 2)
    file = File(folder("f"), "x")
    one.ask("getfd", {"fdname": "late"}, fds=[file.fd])
    held = qemu.await_command("getfd")
    one.close()
    two.value("query-block")
    qemu.reply(held)
    equal(qemu.await_command("closefd").arguments, {"fdname": "late"}, "closefd")


@case("policy: names of descriptors may outlive the client")
def _():
    qemu, qmend = start(exact=True, **{"keep-fd-names": True})
    one, two = ready(qmend, 2)
    file = File(folder("f"), "x")
    one.execute("getfd", {"fdname": "kept"}, fds=[file.fd])
    one.close()
    stays_so(lambda: not qemu.named("closefd"), "closed against the policy", 0.2)
    check("return" in two.execute("closefd", {"fdname": "kept"}), "closefd")


# ---- a client that leaves

@case("a client leaves with commands under way: the others' replies stay theirs")
def _():
    qemu, qmend = start(hold("query-block"))
    leaving, staying = ready(qmend, 2)
    for number in range(3):
        leaving.ask("query-block", ident="same")
        staying.ask("query-block", {"n": number}, ident="same")
    qemu.await_command("query-block", 6)
    leaving.close()
    new = Client(qmend.path, negotiate=True)
    new.ask("query-block", {"n": "new"}, ident="same")
    qemu.await_command("query-block", 7)
    for command in qemu.named("query-block"):
        qemu.reply(command, [command.arguments.get("n")])
    equal([staying.message()["return"] for _ in range(3)], [[0], [1], [2]], "the other's replies")
    equal(new.message(), {"return": ["new"], "id": "same"}, "the new client's reply")
    new.quiet()


@case("a client leaves with commands still queued: they are not sent any more")
def _():
    qemu, qmend = start(hold("query-block"))
    leaving, staying = ready(qmend, 2)
    leaving.send(b"".join(b'{"execute":"query-block","arguments":{"n":%d}}' % n for n in range(50)))
    qemu.await_command("query-block", OUTSTANDING)
    leaving.close()
    staying.ask("query-status", ident="s")
    stays_so(lambda: True, "", 0.1)
    for command in qemu.named("query-block"):
        qemu.reply(command)
    equal(staying.message()["id"], "s", "reply")
    stays_so(lambda: True, "", 0.1)
    sent = len(qemu.named("query-block")) - OUTSTANDING
    equal(sent, 0, "commands of the client that is gone, sent after its end")


@case("half-closed: everything already sent is answered, then the end")
def _():
    qemu, qmend = start(hold("query-block"))
    client = Client(qmend.path)
    client.send(b'{"execute":"qmp_capabilities"}{"execute":"query-version","id":1}'
                + b"".join(b'{"execute":"query-block","id":%d}' % n for n in range(30)))
    client.half_close()
    for number in range(30):
        qemu.reply(qemu.await_command("query-block", number + 1), [number])
    qemu.event("STOP")
    lines = client.drain().splitlines()
    replies = [json.loads(text) for text in lines]
    equal([r["id"] for r in replies if "id" in r], [1] + list(range(30)), "answers")


@case("half-closed: an event in between does not cut the answers off")
def _():
    qemu, qmend = start(hold("query-block"))
    client, = ready(qmend, 1)
    client.ask("query-block", ident="x")
    client.half_close()
    held = qemu.await_command("query-block")
    qemu.event("STOP")
    client.event("STOP")
    qemu.reply(held)
    equal(json.loads(client.drain())["id"], "x", "the answer after the event")


# ---- QEMU misbehaves

@case("stale bytes before the greeting are skipped")
def _():
    stale = (b'"type": "788"}, {"name": "x"}]}\r\n{"return": {}, "id": 5}\r\n'
             b'{"timestamp": {"seconds": 1, "microseconds": 2}, "event": "STOP"}\r\n')
    qemu = ScriptedQemu(before=stale)
    qmend = Qmend(qemu.path)
    client = Client(qmend.path, negotiate=True)
    equal(client.greeting["QMP"]["version"]["package"], "scripted", "greeting")
    check("return" in client.execute("query-block"), "command")
    equal(client.others + client.events, [], "nothing else came")


@case("an event before the greeting harms nobody")
def _():
    qemu = ScriptedQemu(before=b'{"timestamp": {"seconds": 1, "microseconds": 2}, "event": '
                               b'"NETDEV_STREAM_CONNECTED", "data": {"netdev-id": "n"}}\r\n')
    qmend = Qmend(qemu.path)
    client = Client(qmend.path, negotiate=True)
    check("return" in client.execute("query-block"), "command")
    qemu.event("STOP")
    equal(client.event("STOP")["event"], "STOP", "event")


@case("replies with unknown ids, or without one, reach nobody")
def _():
    qemu, qmend = start(hold("query-block"))
    one, two = ready(qmend, 2)
    one.ask("query-block", ident=1)
    held = qemu.await_command("query-block")
    for stray in (b'{"return": {}, "id": 1}', b'{"return": {}, "id": [999999, 1]}',
                  b'{"return": {}}', b'{"return": {}, "id": "libvirt-1"}',
                  b'{"id": [0], "error": {"class": "GenericError", "desc": "stray"}}',
                  b'{"error": {"class": "GenericError", "desc": "stray"}}',
                  b'{"return": {}, "id": [1.5]}', b'{"return": {}, "id": []}',
                  b'{"return": {}, "id": null}'):
        qemu.say(stray + b"\r\n")
    two.quiet()
    one.quiet(0)
    check(qmend.alive(), "qmend is gone")
    qemu.reply(held, ["mine"])
    equal(one.message(), {"return": ["mine"], "id": 1}, "the true reply")
    check("return" in two.execute("query-name"), "the other client")


@case("a reply comes in pieces of one byte")
def _():
    def handler(qemu, command):
        if command.name != "query-block":
            return None
        text = json.dumps({"return": ["x" * 50], "id": command.id}).encode() + b"\r\n"
        for at in range(len(text)):
            qemu.say(text[at:at + 1])
        return HOLD
    _, qmend = start(handler)
    client, = ready(qmend, 1)
    for _ in range(5):
        equal(client.value("query-block"), ["x" * 50], "reply")


@case("a reply of 20 MiB, and others meanwhile")
def _():
    large = "y" * (20 << 20)
    qemu, qmend = start(lambda _q, c: [large] if c.name == "query-block" else None)
    one, two = ready(qmend, 2)
    one.ask("query-block", ident="large")
    two.value("query-name")
    equal(len(one.reply("large", 20)["return"][0]), len(large), "size")
    del qemu


@case("replies that are no strict JSON still reach the client, and keep no place at QEMU taken")
def _():
    def handler(qemu, command):
        if command.name != "query-block":
            return None
        qemu.reply_raw(command, command.arguments["as"].encode())
        return HOLD
    _, qmend = start(handler)
    client, = ready(qmend, 1)
    for number, body in enumerate(("inf", "-inf", "nan", "-nan") * 4):
        client.send({"execute": "query-block", "id": number, "arguments": {"as": body}})
        equal(client.line(), b'{"return": %s, "id": %d}' % (body.encode(), number), "reply")


if __name__ == "__main__":
    run()
