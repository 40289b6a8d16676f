#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""A whole machine behind qmend: order of replies and events, devices, half-close, the end of QEMU.

Each dialogue is played against a q35 without a guest, directly and through qmend (lib/same.py).
"""

import os
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
# pylint: disable=wrong-import-position
import json
import subprocess
import signal

import same
from client import Client
from qemu import Q35
from tap import case, check, equal, run, wait_until

SHARED = same.Shared(machine=Q35)


def dialogue(name, fresh=False, **options):
    """Register a dialogue with a machine: @fresh when it leaves something behind."""
    def register(function):
        def play():
            pair = None if fresh else SHARED.get()
            same.same(function, pair, machine=Q35, **options)
        case(name)(play)
        return function
    return register


def line(command, ident, /, **arguments):
    made = {"execute": command, "id": ident}
    if arguments:
        made["arguments"] = {key.replace("_", "-"): value for key, value in arguments.items()}
    return json.dumps(made).encode() + b"\r\n"


@dialogue("questions about the machine")
def _(talk):
    for number, name in enumerate((
            "query-status", "query-version", "query-name", "query-kvm", "query-uuid",
            "query-machines", "query-chardev", "query-chardev-backends", "query-block",
            "query-blockstats", "query-block-jobs", "query-jobs", "query-named-block-nodes",
            "query-pci", "query-iothreads", "query-hotpluggable-cpus",
            "query-memory-devices", "query-memdev", "query-memory-size-summary", "query-mice",
            "query-migrate", "query-migrate-capabilities", "query-migrate-parameters",
            "query-rx-filter", "query-target", "query-tpm", "query-tpm-models", "query-vnc",
            "query-balloon", "query-command-line-options", "query-cpu-definitions",
            "query-current-machine", "query-acpi-ospm-status", "query-replay", "query-yank",
            "query-commands", "query-qmp-schema", "query-events", "query-fdsets", "query-sev",
            "query-dump", "query-gic-capabilities", "qom-list-types", "query-display-options")):
        talk.send(line(name, number))
    talk.sync()


@dialogue("questions with arguments")
def _(talk):
    for number, (name, arguments) in enumerate((
            ("qom-list", {"path": "/machine/peripheral"}),
            ("qom-list", {"path": "/machine/peripheral/nic0"}),
            ("qom-get", {"path": "/machine/peripheral/nic0", "property": "mac"}),
            ("qom-get", {"path": "/chardevs/rb0", "property": "nosuch"}),
            ("qom-get", {"path": "/nosuch", "property": "x"}),
            ("qom-list-properties", {"typename": "virtio-net-pci"}),
            ("device-list-properties", {"typename": "virtio-net-pci"}),
            ("query-rx-filter", {"name": "nic0"}), ("query-rx-filter", {"name": "no"}),
            ("ringbuf-read", {"device": "rb0", "size": 10}),
            ("ringbuf-write", {"device": "rb0", "data": "\u00e9\u6f22 x"}),
            ("ringbuf-read", {"device": "rb0", "size": 100}),
            ("human-monitor-command", {"command-line": "info network"}),
            ("human-monitor-command", {"command-line": "info qtree"}),
            ("query-cpu-model-expansion", {"type": "static", "model": {"name": "qemu64"}}))):
        talk.step(line(name, number, **arguments))


@dialogue("stop and cont: the event before the reply", fresh=True)
def _(talk):
    for number in range(5):
        talk.step(line("cont", number), 2)
        talk.step(line("stop", number), 2)
    talk.step(line("stop", "again"))
    talk.step(line("query-status", "status"))


@dialogue("stop and cont pipelined", fresh=True)
def _(talk):
    talk.send(b"".join(line("cont", n) + line("query-status", n) + line("stop", n)
                       + line("query-status", n) for n in range(10)))
    talk.sync()


@dialogue("stop and cont pipelined, oob enabled", fresh=True, oob=True)
def _(talk):
    talk.send(line("cont", 1) + line("query-status", 2) + line("stop", 3) + line("query-status", 4))
    talk.sync()


@dialogue("system_reset: RESET before the reply", fresh=True)
def _(talk):
    talk.step(line("system_reset", 1), 2)
    talk.step(line("system_powerdown", 2), 2)
    talk.step(line("query-status", 3))


@dialogue("set_link, balloon, passwords: errors and silence")
def _(talk):
    talk.step(line("set_link", 1, name="nic0", up=False))
    talk.step(line("set_link", 2, name="nosuch", up=False))
    talk.step(line("set_link", 3, name="nic0", up=True))
    talk.step(line("balloon", 4, value=1000000))
    talk.step(line("set_password", 5, protocol="vnc", password="p"))
    talk.step(line("eject", 6, device="nosuch"))
    talk.step(line("inject-nmi", 7))
    talk.step(line("screendump", 8, filename="/nonexistent/x"))


@dialogue("devices come and go: DEVICE_DELETED in its place", fresh=True)
def _(talk):
    talk.step(line("netdev_add", 1, type="hubport", id="n1", hubid=1))
    talk.step(line("netdev_add", 2, type="hubport", id="n1", hubid=1))
    talk.step(line("device_add", 3, driver="virtio-net-pci", id="nic1", netdev="n1", bus="rp0",
                   mac="52:54:00:12:34:57"))
    talk.step(line("device_add", 4, driver="virtio-net-pci", id="nic1", netdev="n1", bus="rp0"))
    talk.step(line("device_add", 5, driver="virtio-net-pci", id="nic2", bus="pcie.0"))
    talk.step(line("query-pci", 6))
    talk.step(line("device_del", 7, id="nic1"))
    talk.step(line("device_del", 8, id="nosuch"))
    talk.send(line("system_reset", 9))
    talk.sync()
    talk.send(line("netdev_del", 10, id="n1"))
    talk.sync()
    talk.send(line("query-pci", 11))
    talk.sync()


@dialogue("objects and block devices", fresh=True)
def _(talk):
    talk.step(line("object-add", 1, qom_type="secret", id="s0", data="hidden"))
    talk.step(line("object-add", 2, qom_type="secret", id="s0", data="hidden"))
    talk.step(line("object-add", 3, qom_type="iothread", id="io0"))
    talk.step(line("object-del", 4, id="s0"))
    talk.step(line("object-del", 5, id="s0"))
    talk.step(line("blockdev-add", 6, driver="null-co", node_name="d0", size=1 << 20))
    talk.step(line("query-named-block-nodes", 7))
    talk.step(line("blockdev-add", 8, driver="null-co", node_name="d0"))
    talk.step(line("blockdev-del", 9, node_name="d0"))


@dialogue("a block job: job events in their places", fresh=True)
def _(talk):
    talk.step(line("blockdev-add", 1, driver="null-co", node_name="d0", size=65536))
    talk.send(line("blockdev-create", 2, job_id="j0", options={
        "driver": "file", "filename": "image", "size": 4096}))
    talk.wait(1)
    while b"concluded" not in talk.last():
        talk.wait(1)
    talk.step(line("query-jobs", 3))
    talk.send(line("job-dismiss", 4, id="j0"))
    talk.sync()


@dialogue("a chardev with a socket: query-chardev and removal", fresh=True)
def _(talk):
    talk.step(line("chardev-add", 1, id="c1", backend={"type": "socket", "data": {
        "addr": {"type": "unix", "data": {"path": "none"}}, "server": False}}))
    talk.step(line("chardev-add", 2, id="c2", backend={"type": "socket", "data": {
        "addr": {"type": "unix", "data": {"path": "serve"}}, "server": True, "wait": False}}))
    talk.step(line("query-chardev", 3))
    talk.step(line("chardev-remove", 4, id="c2"))
    talk.step(line("chardev-remove", 5, id="rb0"))


@dialogue("transactions, qom-set, trace: large arguments come through unchanged")
def _(talk):
    talk.step(line("qom-set", 1, path="/machine/peripheral/nic0", property="nosuch", value=1e3))
    talk.step(line("transaction", 2, actions=[{"type": "abort", "data": {}}]))
    talk.step(b'{"execute":"qom-set","arguments":{"path":"/machine/peripheral/vs0",'
              b'"property":"max_ports","value":18446744073709551615},"id":3}')
    talk.step(b'{"execute":"blockdev-add","arguments":{"driver":"null-co","node-name":"z",'
              b'"size":9223372036854775807},"id":4}')
    talk.step(b'{"execute":"blockdev-del","arguments":{"node-name":"z"},"id":5}')


@case("events before its negotiation do not reach a client, not even later")
def _():
    side = same.Side(True, Q35)
    late, other = Client(side.path), Client(side.path, negotiate=True)
    late.message()
    for name in ("cont", "stop"):
        check("return" in other.execute(name), name)
    late.negotiate_greeted()
    check("return" in late.execute("query-status"), "query-status")
    equal((late.events, late.others), ([], []), "what came unasked")


# ---- the end

@dialogue("quit: SHUTDOWN, the reply, the end", fresh=True)
def _(talk):
    talk.step(line("query-status", 1))
    talk.send(line("quit", "q"))
    talk.until_end()


@dialogue("quit with commands behind it", fresh=True)
def _(talk):
    talk.send(line("quit", "q") + line("query-name", 1) * 3)
    talk.until_end()


@dialogue("quit without an id", fresh=True)
def _(talk):
    talk.send(b'{"execute":"quit"}')
    talk.until_end()


@dialogue("QEMU ends by SIGTERM", fresh=True)
def _(talk):
    talk.sync()
    talk.pause(0.1)
    talk.side.qemu.process.send_signal(signal.SIGTERM)
    talk.until_end()


@dialogue("QEMU is killed", fresh=True)
def _(talk):
    talk.sync()
    talk.side.qemu.kill()
    talk.until_end()


@dialogue("QEMU is killed with a large reply just delivered", fresh=True)
def _(talk):
    talk.send(line("query-qmp-schema", 1))
    talk.sync()
    talk.side.qemu.kill()
    talk.until_end()


# ---- half-close: qmend answers, where QEMU itself would drop the answers

@dialogue("half-close after one command")
def _(talk):
    talk.send(line("query-status", 1))
    if talk.direct:
        talk.wait()
    talk.finish()


@dialogue("half-close after negotiation and twenty commands in one write", hello=False)
def _(talk):
    names = ["query-status", "query-name", "qom-list-types", "nosuch", "query-qmp-schema"] * 4
    talk.send(same.HELLO + b"".join(line(name, n) for n, name in enumerate(names)))
    if talk.direct:
        talk.wait(21)
    talk.finish()


@dialogue("half-close inside a command")
def _(talk):
    talk.send(line("query-status", 1) + b'{"execute":"query-name"')
    if talk.direct:
        talk.wait()
    talk.finish()


@dialogue("half-close without a word", hello=False)
def _(talk):
    talk.finish()


@case("printf | socat gets its answers")
def _():
    side = same.Side(True, Q35)
    text = same.HELLO + line("query-status", 1) + line("query-qmp-schema", 2)
    done = subprocess.run(["socat", "-t5", "-", f"UNIX-CONNECT:{side.path}"], input=text,
                          capture_output=True, timeout=20, check=False)
    lines = done.stdout.split(b"\r\n")
    equal(len(lines), 5, "lines")
    equal([json.loads(text).get("id") for text in lines[:-1]], [None, None, 1, 2], "ids")


# ---- sharing a real QEMU

@case("two clients of one QEMU: replies to their own, the same events in the same order")
def _():
    side = same.Side(True, Q35)
    clients = [Client(side.path, negotiate=True) for _ in range(3)]
    quiet = Client(side.path)
    quiet.message()
    for round_ in range(3):
        for client in clients:
            client.send(line("cont", 1) + line("query-status", 2) + line("stop", 1))
        del round_
    for client in clients:
        client.reply(2)
    wait_until(lambda: settled(clients), "everything delivered")
    texts = [bytes(client.got) for client in clients]
    events = [[text for text in got.splitlines() if b'"event"' in text] for got in texts]
    check(events[0] and events[0] == events[1] == events[2], "events differ", *events)
    for got in texts:
        equal(sum(b'"id": 1' in text for text in got.splitlines()), 7, "replies with id 1")
        equal(sum(b'"id": 2' in text for text in got.splitlines()), 3, "replies with id 2")
    quiet.quiet()


def settled(clients):
    for client in clients:
        client.receive(0)
    return all(client.got.count(b'"id"') == 10 for client in clients) and \
        len({client.got.count(b'"event"') for client in clients}) == 1


@case("STOP comes before the return to the client that asked, among others' traffic")
def _():
    side = same.Side(True, Q35)
    asking, busy = Client(side.path, negotiate=True), Client(side.path, negotiate=True)
    busy.send(line("query-name", "b") * 300)
    for number in range(10):
        asking.send(line("cont", f"c{number}") + line("stop", f"s{number}"))
    got = []
    while len(got) < 40:
        message = asking.message()
        got.append(message.get("event") or message["id"])
    expected = []
    for number in range(10):
        expected += ["RESUME", f"c{number}", "STOP", f"s{number}"]
    equal(got, expected, "order")


@case("out of band while the main loop hangs: query-yank answers, others wait, killing QEMU helps")
def _():
    side = same.Side(True, Q35)
    oob, other = Client(side.path, oob=True), Client(side.path, negotiate=True)
    check("return" in oob.execute("object-add", {
        "qom-type": "memory-backend-memfd", "id": "m0", "size": 1 << 20}), "object-add")
    check("return" in oob.execute("chardev-add", {"id": "vu", "backend": {
        "type": "socket", "data": {"addr": {"type": "unix", "data": {"path": "nobody"}},
                                   "server": False, "reconnect": 1}}}), "chardev-add")
    oob.ask("netdev_add", {"type": "vhost-user", "id": "vu0", "chardev": "vu"}, ident="hangs")
    oob.quiet()
    waiting = [other.ask("query-name") for _ in range(20)]
    for number in range(5):
        oob.ask("query-status", ident=f"status{number}")
    oob.quiet(0.2)
    for number in range(3):
        answer = oob.execute("query-yank", oob=True)
        check("return" in answer, "query-yank", number, answer)
    equal(oob.others, [], "nothing else was answered")
    other.quiet()
    check(len(waiting) == 20 and side.qmend.alive(), "qmend is gone")
    side.qemu.kill()
    equal((oob.drain(), other.drain()), (b"", b""), "after QEMU's end")


if __name__ == "__main__":
    run()
