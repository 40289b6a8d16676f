#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""Comings and goings: QEMU not there yet, gone, back; listeners; access; several VMs; status; logs."""

import json
import os
import re
import socket
import stat
import sys
import time

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
# pylint: disable=wrong-import-position
from qmptest import (HOLD, Client, Ended, Failure, Qemu, Qmend, ScriptedQemu, case, check, cleanup,
                     command_line, equal, folder, run, stale_socket, stays_so, wait_until,
                     write_policy)


def start(handler=None, **options):
    qemu = ScriptedQemu(handler=handler)
    qmend = Qmend(qemu.path, **options)
    qemu.await_negotiated()
    return qemu, qmend


def patient(client):
    """Wait for a late greeting and negotiate."""
    client.negotiate()
    check("return" in client.execute("query-name"), "command")


# ---- QEMU comes and goes

@case("QEMU is not there yet: clients wait, and get the greeting when it comes")
def _():
    path = os.path.join(folder("s"), "qemu.sock")
    qmend = Qmend(path)
    clients = [Client(qmend.path) for _ in range(3)]
    clients[1].send(b'{"execute":"qmp_capabilities"}{"execute":"query-block","id":"early"}')
    for client in clients:
        client.quiet(0.05)
    ScriptedQemu(path)
    patient(clients[0])
    clients[1].message()
    equal(clients[1].lines(2), [b'{"return": {}}', b'{"return": [], "id": "early"}'], "early bird")
    patient(clients[2])


@case("QEMU's folder is not there yet either")
def _():
    directory = os.path.join(folder("s"), "later")
    qmend = Qmend(os.path.join(directory, "qemu.sock"))
    client = Client(qmend.path)
    client.quiet(0.1)
    os.mkdir(directory)
    ScriptedQemu(os.path.join(directory, "qemu.sock"))
    patient(client)


@case("a stale socket where QEMU will be: clients wait")
def _():
    path = os.path.join(folder("s"), "qemu.sock")
    stale_socket(path)
    qmend = Qmend(path)
    client = Client(qmend.path)
    client.quiet(0.1)
    ScriptedQemu(path)
    patient(client)


@case("QEMU listens but does not speak yet: clients wait for the greeting")
def _():
    path = os.path.join(folder("s"), "qemu.sock")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(1)
    qmend = Qmend(path)
    client = Client(qmend.path)
    client.quiet(0.3)
    check(qmend.alive(), "qmend is gone")
    listener.close()
    os.unlink(path)
    qemu = ScriptedQemu(path)
    other = Client(qmend.path)
    patient(other)
    check(qemu.connections == 1, "connections")


@case("waiting for QEMU costs no processor time to speak of")
def _():
    qmend = Qmend(os.path.join(folder("s"), "qemu.sock"))
    client = Client(qmend.path)
    before = qmend.cpu()
    time.sleep(1)
    check(qmend.cpu() - before <= 0.05, f"{qmend.cpu() - before} s of processor time in 1 s")
    client.quiet(0)


@case("a client that leaves while it waits is forgotten")
def _():
    path = os.path.join(folder("s"), "qemu.sock")
    qmend = Qmend(path)
    before = qmend.descriptor_count()
    for _ in range(20):
        Client(qmend.path).close()
    wait_until(lambda: qmend.descriptor_count() <= before, "closed")
    ScriptedQemu(path)
    patient(Client(qmend.path))


@case("QEMU quits: what it said is delivered, then the end; the next QEMU is served")
def _():
    def handler(qemu, command):
        if command.name != "quit":
            return None
        qemu.event("SHUTDOWN", {"guest": False, "reason": "host-qmp-quit"})
        qemu.say({"return": {}, "id": command.id})
        qemu.hang_up()
        return HOLD
    qemu, qmend = start(handler)
    one, two = (Client(qmend.path, negotiate=True) for _ in range(2))
    one.value("query-version")
    one.send(b'{"execute":"quit","id":"q"}{"execute":"query-block","id":"behind"}')
    got = one.drain().splitlines()
    equal(len(got), 2, f"lines: {got}")
    equal([json.loads(text).get("event", "reply") for text in got], ["SHUTDOWN", "reply"], "order")
    equal([json.loads(text)["event"] for text in two.drain().splitlines()], ["SHUTDOWN"], "other")
    waiting = Client(qmend.path)
    waiting.quiet(0.1)
    again = ScriptedQemu(qemu.path, micro=99)
    patient(waiting)
    equal(waiting.greeting["QMP"]["version"]["qemu"]["micro"], 99, "the greeting is the new QEMU's")
    equal(waiting.value("query-version")["qemu"]["micro"], 99, "nothing is remembered of the old")
    equal(len(again.named("query-version")), 1, "the new QEMU was asked")


@case("QEMU dies with replies under way: no reply is invented, clients are closed")
def _():
    qemu, qmend = start(lambda _q, c: HOLD if c.name == "query-block" else None)
    clients = [Client(qmend.path, negotiate=True) for _ in range(3)]
    for client in clients:
        for _ in range(10):
            client.ask("query-block")
    first = qemu.await_command("query-block", 7)
    del first
    qemu.reply(qemu.named("query-block")[0], ["only"])
    qemu.hang_up(unlink=False)
    got = b"".join(client.drain() for client in clients)
    equal(got.count(b'"return"'), 1, f"replies: {got}")
    ScriptedQemu(qemu.path)
    patient(Client(qmend.path))


@case("a large reply and the end at once: a client that reads slowly gets all of it")
def _():
    size = 2 << 20

    def handler(qemu, command):
        if command.name != "query-block":
            return None
        qemu.say({"return": "r" * size, "id": command.id})
        qemu.hang_up()
        return HOLD
    _, qmend = start(handler)
    client = Client(qmend.path, negotiate=True)
    client.ask("query-block", ident="large")
    time.sleep(0.3)
    check(qmend.alive(), "qmend is gone")
    got = client.drain()
    check(got.endswith(b'", "id": "large"}\r\n'), "the end of the reply", got[-100:])
    check(len(got) > size, f"{len(got)} bytes")


@case("half a message and the end: the half is not passed on")
def _():
    qemu, qmend = start()
    client = Client(qmend.path, negotiate=True)
    qemu.event("STOP")
    qemu.say(b'{"timestamp": {"seconds": 1, "micro')
    qemu.hang_up()
    got = client.drain()
    check(got.endswith(b'"event": "STOP"}\r\n'), "what came last", got)


@case("QEMU speaks nonsense: clients are closed or go on, qmend lives, the next QEMU is served")
def _():
    qemu, qmend = start()
    client = Client(qmend.path, negotiate=True)
    qemu.say(b'HTTP/1.1 400 Bad Request\r\n\r\n{"return": {}}}}}\r\n')
    stays_so(qmend.alive, "qmend is gone", 0.2)
    qemu.hang_up()
    client.drain()
    ScriptedQemu(qemu.path)
    patient(Client(qmend.path))


@case("QEMU comes back fifty times")
def _():
    path = os.path.join(folder("s"), "qemu.sock")
    qmend = Qmend(path)
    count = None
    for number in range(50):
        qemu = ScriptedQemu(path, micro=number)
        client = Client(qmend.path)
        patient(client)
        while client.greeting["QMP"]["version"]["qemu"]["micro"] != number:
            raise Failure("an old greeting")
        qemu.hang_up(unlink=number % 2 == 0)
        client.drain()
        client.close()
        if number == 5:
            count = settled_descriptors(qmend)
    check(settled_descriptors(qmend) <= count, "descriptors leak")


def settled_descriptors(qmend):
    time.sleep(0.2)
    return qmend.descriptor_count()


@case("a real QEMU killed and started again on the same path")
def _():
    qemu = Qemu()
    qmend = Qmend(qemu.path)
    one = Client(qmend.path, negotiate=True)
    one.value("query-version")
    qemu.kill()
    equal(one.drain(), b"", "after SIGKILL")
    two = Client(qmend.path)
    two.quiet(0.1)
    os.unlink(qemu.path)
    qemu.start()
    patient(two)


# ---- listeners

def second_start(qemu_path, path, text):
    """Start a qmend that must not: its status and its one line."""
    policy, _ = write_policy(folder("p"), qemu_path, [path])
    done = command_line("run", policy)
    check(done.returncode != 0, "it started")
    lines = [line for line in done.stderr.splitlines() if path in line]
    check(len(lines) == 1, f"one clear line that names the path; got: {done.stderr!r}")
    check(re.search(text, lines[0]), f"{text!r} not in {lines[0]!r}")


@case("a listen path in use by a live qmend is not stolen")
def _():
    qemu, qmend = start()
    client = Client(qmend.path, negotiate=True)
    second_start(qemu.path, qmend.path, "another process serves")
    patient(Client(qmend.path))
    check("return" in client.execute("query-block"), "the first one's client")


@case("a listen path in use by another live server is not stolen")
def _():
    path = os.path.join(folder("p"), "busy.sock")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen(0)
    for _ in range(3):  # fill its backlog: connecting would block, it is alive all the same
        filler = socket.socket(socket.AF_UNIX)
        filler.setblocking(False)
        try:
            filler.connect(path)
        except BlockingIOError:
            pass
    inode = os.stat(path).st_ino
    second_start("/nonexistent/qemu.sock", path, "another process serves")
    equal(os.stat(path).st_ino, inode, "the socket file")
    listener.close()


@case("a stale socket file at the listen path is replaced")
def _():
    qemu = ScriptedQemu()
    path = os.path.join(folder("p"), "stale.sock")
    stale_socket(path)
    qmend = Qmend(qemu.path, listen=[path])
    patient(Client(qmend.path))


@case("a regular file, a folder, a dangling link at the listen path are refused and kept")
def _():
    directory = folder("p")
    path = os.path.join(directory, "file")
    with open(path, "w", encoding="ascii") as out:
        out.write("precious")
    second_start("/nonexistent/qemu.sock", path, "no socket")
    with open(path, encoding="ascii") as text:
        equal(text.read(), "precious", "content")
    path = os.path.join(directory, "folder")
    os.mkdir(path)
    second_start("/nonexistent/qemu.sock", path, "no socket")
    check(os.path.isdir(path), "the folder is gone")


@case("a listen path that cannot be: missing folder, too long")
def _():
    second_start("/nonexistent/qemu.sock", os.path.join(folder("p"), "no", "x.sock"), "No such file")
    policy, _ = write_policy(folder("p"), "/nonexistent/qemu.sock", ["/tmp/" + "l" * 120])
    done = command_line("run", policy)
    equal(done.returncode, 2, "status")
    check(re.match(rf"{re.escape(policy)}:\d+:\d+: .*107", done.stderr), done.stderr)


@case("one bad VM keeps the whole start back, and leaves nothing behind")
def _():
    directory = folder("p")
    good, good_path = write_policy(directory, "/nonexistent/a.sock",
                                   [os.path.join(directory, "a.sock")], "a")
    bad, _ = write_policy(directory, "/nonexistent/b.sock",
                          [os.path.join(directory, "no", "b.sock")], "b")
    done = command_line("run", good, bad)
    check(done.returncode != 0, "it started")
    check(not os.path.lexists(good_path), "a socket was left behind")


@case("mode of the socket file")
def _():
    qemu = ScriptedQemu()
    directory = folder("p")
    listen = [{"path": os.path.join(directory, mode), "mode": mode}
              for mode in ("0600", "0660", "0666")]
    Qmend(qemu.path, listen=listen)
    for one in listen:
        equal(oct(stat.S_IMODE(os.stat(one["path"]).st_mode)), oct(int(one["mode"], 8)), "mode")


@case("without a mode, the socket file is for its owner's and group's eyes at most")
def _():
    _, qmend = start()
    mode = stat.S_IMODE(os.stat(qmend.path).st_mode)
    check(mode & 0o007 == 0, f"mode {mode:o}")


@case("several listeners of one VM share one QEMU")
def _():
    qemu = ScriptedQemu()
    directory = folder("p")
    paths = [os.path.join(directory, name) for name in ("a.sock", "b.sock", "c.sock")]
    Qmend(qemu.path, listen=paths)
    for path in paths:
        patient(Client(path))
    equal(qemu.connections, 1, "connections to QEMU")


@case("SIGTERM ends qmend with status 0 and removes its sockets, in all its states")
def _():
    # the check itself stands in Qmend.stop()
    Qmend(os.path.join(folder("s"), "nobody.sock")).stop()
    qemu, qmend = start(lambda _q, c: HOLD if c.name == "query-block" else None)
    clients = [Client(qmend.path, negotiate=True) for _ in range(3)]
    for client in clients:
        client.send(b'{"execute":"query-block"}' * 20 + b'{"exec')
    clients.append(Client(qmend.path))
    qmend.stop()
    for client in clients:
        client.drain()
    del qemu


@case("SIGINT ends it as well")
def _():
    _, qmend = start()
    qmend.stop(2)


@case("qmend does not take a socket file away that is not its own any more")
def _():
    _, qmend = start()
    os.unlink(qmend.path)
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(qmend.path)
    qmend.stopped = True
    qmend.process.terminate()
    equal(qmend.process.wait(10), 0, "status")
    check(os.path.lexists(qmend.path), "another's socket file was removed")


# ---- access

@case("read-only: questions yes, everything else no, and QEMU never hears of it")
def _():
    qemu = ScriptedQemu()
    directory = folder("p")
    full, limited = (os.path.join(directory, name) for name in ("full.sock", "ro.sock"))
    Qmend(qemu.path, listen=[full, {"path": limited, "access": "read-only"}])
    client = Client(limited, negotiate=True)
    for name in ("query-status", "query-block", "query-chardev", "query-version", "query-commands",
                 "query-name"):
        check("return" in client.execute(name), f"{name} was refused")
    for name, arguments in (
            ("quit", None), ("stop", None), ("cont", None), ("system_reset", None),
            ("device_add", {"driver": "x"}), ("device_del", {"id": "x"}), ("netdev_add", {}),
            ("human-monitor-command", {"command-line": "info status"}), ("migrate", {"uri": "x"}),
            ("set_password", {"protocol": "vnc", "password": "p"}), ("qom-set", {}),
            ("getfd", {"fdname": "x"}), ("add-fd", None), ("blockdev-add", {}), ("x-nosuch", None),
            ("screendump", {"filename": "/x"}), ("pmemsave", {}), ("memsave", {}), ("yank", {}),
            ("x-qmend-heal", {"backend": "x"}), ("", None),
            ("qUery-status", None), ("dump-guest-memory", {}), ("chardev-add", {})):
        answer = client.execute(name, arguments)
        check("error" in answer, f"{name} was allowed", answer)
        check(not qemu.named(name), f"{name} reached QEMU")
    client.send(b'{"\\u0065xecute":"\\u0071uit","id":"escaped"}')
    check("error" in client.reply("escaped"), "escaped quit")
    client.send(b"{'execute':'quit','id':'single'}")
    check("error" in client.reply("single"), "single-quoted quit")
    check(not qemu.named("quit"), "quit reached QEMU")
    qemu.event("STOP")
    equal(client.event("STOP")["event"], "STOP", "events")
    other = Client(full, negotiate=True)
    check("return" in other.execute("stop"), "stop through the full listener")


@case("read-only: not out of band either")
def _():
    qemu = ScriptedQemu()
    path = os.path.join(folder("p"), "ro.sock")
    Qmend(qemu.path, listen=[{"path": path, "access": "read-only"}])
    client = Client(path, oob=True)
    check("error" in client.execute("yank", {"instances": []}, oob=True), "yank was allowed")
    check("error" in client.execute("migrate-pause", oob=True), "migrate-pause was allowed")
    check(not qemu.named("yank") and not qemu.named("migrate-pause"), "it reached QEMU")
    check("return" in client.execute("query-yank", oob=True), "query-yank was refused")


# ---- several VMs

@case("two VMs in one process: a flood and a dead QEMU on one do not disturb the other")
def _():
    one, two = ScriptedQemu(), ScriptedQemu()
    policies = [write_policy(folder("p"), qemu.path, name=name)
                for qemu, name in ((one, "one"), (two, "two"))]
    qmend = Qmend(policies=policies)
    flood = Client(policies[0][1], negotiate=True)
    steady = Client(policies[1][1], negotiate=True)
    one.event("STOP", {"vm": "one"})
    flood.event("STOP")
    steady.quiet(0.05)
    worst = 0
    for turn in range(200):
        if not flood.ended:
            try:
                flood.send_some(b'{"execute":"query-block"}' * 500)
            except Ended:
                flood.ended = True
        if turn == 100:
            one.hang_up(unlink=False)
        begin = time.monotonic()
        check("return" in steady.execute("query-block"), "the other VM's client failed")
        worst = max(worst, time.monotonic() - begin)
    check(worst < 1, f"the other VM's client waited {worst:.2f} s")
    steady.quiet(0)
    names = {c.name for c in two.commands}
    check(names <= {"qmp_capabilities", "query-block", "query-version", "query-commands",
                    "query-qmp-schema"}, "the other QEMU got", names)
    check(qmend.alive(), "qmend is gone")


@case("two VMs: the same path twice is refused")
def _():
    directory = folder("p")
    path = os.path.join(directory, "same.sock")
    policies = [write_policy(directory, f"/nonexistent/{name}.sock", [path], name)[0]
                for name in ("a", "b")]
    done = command_line("run", *policies)
    check(done.returncode != 0, "it started")
    check(path in done.stderr, done.stderr)


# ---- status

def has(status, *keys):
    for key in keys:
        check(key in status, f"no {key!r} in the status", status)


@case("x-qmend-status: shape, in band, as every other answer")
def _():
    qemu, qmend = start(lambda _q, c: HOLD if c.name == "query-block" else None)
    one, two = (Client(qmend.path, negotiate=True) for _ in range(2))
    for _ in range(10):
        two.ask("query-block")
    qemu.await_command("query-block", 7)
    one.send({"execute": "x-qmend-status", "id": [1.5, "x"]})
    line = one.line()
    check(line.startswith(b'{"return": {') and line.endswith(b', "id": [1.5, "x"]}'), "form", line)
    status = json.loads(line)["return"]
    has(status, "vm", "qemu", "clients", "backends", "incidents")
    equal(status["vm"], "t", "name")
    equal(len(status["clients"]), 2, f"clients: {status['clients']}")
    equal(status["backends"], [], "backends")
    equal(status["incidents"], [], "incidents")
    check(not qemu.named("x-qmend-status"), "it reached QEMU")
    for arguments in ({"x": 1}, {"vm": "t", "y": 2}):
        check("error" in one.execute("x-qmend-status", arguments), "wrong arguments were accepted")
    with qemu.lock:
        qemu.handler = None
        for command in qemu.named("query-block"):
            qemu.reply(command)
    check("error" in one.execute("x-qmend-nosuch"), "x-qmend-nosuch was accepted")


@case("qmend status prints it, for people and for programs")
def _():
    _, qmend = start()
    client = Client(qmend.path, negotiate=True)
    has(qmend.status(), "vm", "qemu", "clients", "backends", "incidents")
    done = command_line("status", qmend.path)
    equal(done.returncode, 0, done.stderr)
    check("t" in done.stdout and "client" in done.stdout, done.stdout)
    check("return" in client.execute("query-block"), "the client was disturbed")


@case("qmend status while no QEMU is there")
def _():
    qmend = Qmend(os.path.join(folder("s"), "nobody.sock"))
    begin = time.monotonic()
    has(qmend.status(), "vm", "qemu", "clients", "backends", "incidents")
    check(time.monotonic() - begin < 3, "it took too long")
    client = Client(qmend.path)
    client.send({"execute": "x-qmend-status", "id": 1})
    equal(client.message()["id"], 1, "in band, before any greeting")


@case("qmend status of a socket that is not there, or is no qmend's")
def _():
    done = command_line("status", os.path.join(folder("s"), "nobody.sock"))
    check(done.returncode != 0 and len(done.stderr.splitlines()) == 1, done.stderr)
    qemu = ScriptedQemu()
    done = command_line("status", qemu.path)
    check(done.returncode != 0 and len(done.stderr.splitlines()) == 1, done.stderr)


RECIPE = {"recipe": "plain", "parameters": {}, "rules": [
    {"name": "gone", "on": [{"backend": "${backend}", "is": "exited"}], "verdict": "pass",
     "do": [{"start": "${backend}"}]}]}


@case("backends and incidents in the status: pid, state, starts, cause")
def _():
    recipes = folder("r")
    with open(os.path.join(recipes, "plain.json"), "w", encoding="ascii") as out:
        json.dump(RECIPE, out)
    _, qmend = start(recipes=[recipes],
                     backends={"b": {"recipe": "plain", "command": ["sleep", "1000"]}})
    client = Client(qmend.path, negotiate=True)

    def backend(state, starts):
        found, = client.value("x-qmend-status")["backends"]
        return found if (found["state"], found["starts"]) == (state, starts) else None
    first = wait_until(lambda: backend("ready", 1), "the backend's first start")
    equal((first["name"], first["recipe"], first["cause"]), ("b", "plain", "none"), "backend")
    with open(f"/proc/{first['pid']}/cmdline", encoding="ascii") as text:
        equal(text.read(), "sleep\0" + "1000\0", "the process")
    os.kill(first["pid"], 9)
    second = wait_until(lambda: backend("ready", 2), "the backend's second start")
    cleanup(lambda: os.kill(second["pid"], 9))  # it outlives qmend
    check(second["pid"] != first["pid"], "the same pid")
    equal((second["cause"], second["detail"]), ("killed", 9), "cause")
    incidents = wait_until(lambda: [i for i in client.value("x-qmend-status")["incidents"]
                                    if i["rule"] == "gone" and not i["initial"]], "the incident")
    equal((incidents[-1]["backend"], incidents[-1]["state"]), ("b", "mended"), "incident")
    done = command_line("status", qmend.path)
    check(str(second["pid"]) in done.stdout and "mended" in done.stdout, done.stdout)
    qmend.stop()
    check(not os.path.exists(f"/proc/{first['pid']}"), "the killed backend was not waited for")


# ---- logs

SECRETS = ("s3cr3t-one", "s3cr3t-two", "s3cr3t-three", "s3cr3t-four", "s3cr3t-five", "s3cr3t-six")


def tell_secrets(path):
    client = Client(path, negotiate=True)
    client.execute("set_password", {"protocol": "vnc", "password": SECRETS[0]})
    client.execute("object-add", {"qom-type": "secret", "id": "s", "data": SECRETS[1]})
    client.execute("human-monitor-command", {"command-line": f"set_password vnc {SECRETS[2]}"})
    client.send(b'{"execute":"set_password","arguments":{"password":"%s"' % SECRETS[3].encode()
                + b',}}\xff')
    client.send(b'"%s\x01 ' % SECRETS[4].encode())
    client.send(b'{"execute":"set_password","arguments":{"password":"%s"},"x":1}'
                % SECRETS[5].encode())
    client.execute("query-block")
    client.close()


@case("secrets of commands are in no log, at no level")
def _():
    for options in ({}, {"level": "debug"}, {"env": {"QMEND_LOG": "debug"}}):
        _, qmend = start(**options)
        tell_secrets(qmend.path)
        qmend.stop()
        for secret in SECRETS:
            check(secret not in qmend.log(), f"{secret} is in the log with {options}", qmend.log())


@case("the log: one line a fact, key=value")
def _():
    _, qmend = start()
    Client(qmend.path, negotiate=True).close()
    qmend.stop()
    lines = qmend.log().splitlines()
    check(lines, "nothing was logged")
    for line in lines:
        check(re.match(r"(<\d>)?level=\w+ ", line), "line", line)
        check(line.isascii() and line.isprintable(), "line", line)


@case("a name that a client makes up cannot forge a log line")
def _():
    _, qmend = start(level="debug")
    client = Client(qmend.path, negotiate=True)
    client.execute("x\nlevel=error vm=t event=forged\x1b[31m \u00e9")
    client.close()
    qmend.stop()
    check(not re.search(r"^(<\d>)?level=error vm=t event=forged", qmend.log(), re.M), qmend.log())
    check("\x1b" not in qmend.log(), "an escape sequence in the log")


# ---- policies

BAD_POLICIES = {
    "unknown key": ('{"vm":"t","qemu":"/q","listen":["/l"],\n"quemu":"x"}', 2),
    "no listener": ('{"vm":"t",\n"qemu":"/q"}', None),
    "wrong type": ('{"vm":"t","qemu":5,"listen":["/l"]}', 1),
    "bad size": ('{"vm":"t","qemu":"/q","listen":["/l"],\n"limits":\n{"queue":"lots"}}', 3),
    "bad mode": ('{"vm":"t","qemu":"/q",\n"listen":[{"path":"/l","mode":"0999"}]}', 2),
    "bad access": ('{"vm":"t","qemu":"/q",\n"listen":[{"path":"/l","access":"some"}]}', 2),
    "unknown recipe": ('{"vm":"t","qemu":"/q","listen":["/l"],\n"backends":{"b":{"recipe":"no"}}}', 2),
    "not closed": ('{"vm":"t",\n"qemu":"/q"', None), "empty": ("", None), "no object": ("[]", 1),
    "trailing comma": ('{"vm":"t","qemu":"/q",\n"listen":["/l"],}', 2),
    "twice the same key": ('{"vm":"t","qemu":"/q","listen":["/l"],\n"vm":"u"}', 2),
}


def bad_policy(text, line):
    def play():
        path = os.path.join(folder("p"), "bad.json")
        with open(path, "w", encoding="utf-8") as out:
            out.write(text)
        for command in ("run", "check"):
            done = command_line(command, path)
            equal(done.returncode, 2, f"qmend {command}: status; {done.stderr}")
            found = re.findall(rf"{re.escape(path)}:(\d+):(\d+): (.+)", done.stderr)
            check(found, f"no file:line:column in {done.stderr!r}")
            if line is not None:
                equal(int(found[0][0]), line, done.stderr)
    return play


for _name, (_text, _line) in BAD_POLICIES.items():
    case(f"malformed policy: {_name}")(bad_policy(_text, _line))


@case("a policy that is not there")
def _():
    for command in ("run", "check"):
        done = command_line(command, "/nonexistent/policy.json")
        check(done.returncode not in (0, -6, -11), f"status {done.returncode}")
        check("/nonexistent/policy.json" in done.stderr, done.stderr)
        equal(len(done.stderr.splitlines()), 1, "lines")


if __name__ == "__main__":
    run()
