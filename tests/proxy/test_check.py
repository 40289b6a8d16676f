#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""qmend check: files, folders, recipes and exit statuses. The errors of one text are the matter of
tests/unit/test_policy.c; here it is where files are found and what the command line does."""

import json
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
# pylint: disable=wrong-import-position
from tap import case, check, equal, folder, run

SOURCE = os.environ.get("QMEND_SOURCE") or os.path.dirname(
    os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
QMEND = os.environ.get("QMEND") or os.path.join(SOURCE, "build", "dev", "qmend")
POLICIES = os.path.join(SOURCE, "policies")


def call(*arguments, cwd=None, installed="/nonexistent"):
    """Run qmend check: status, stdout, lines of stderr."""
    environment = {**os.environ, "QMEND_POLICIES": installed}
    done = subprocess.run([QMEND, "check", *arguments], capture_output=True, text=True, cwd=cwd,
                          env=environment, timeout=30, check=False)
    return done.returncode, done.stdout, done.stderr.splitlines()


def documents(text):
    """The JSON documents that stand one behind the other in @text."""
    found = []
    text = text.strip()
    while text:
        document, end = json.JSONDecoder().raw_decode(text)
        found.append(document)
        text = text[end:].strip()
    return found


def good(*arguments, **options):
    status, out, errors = call(*arguments, **options)
    equal((status, errors), (0, []), "a good policy")
    return documents(out)


def bad(*arguments, **options):
    status, out, errors = call(*arguments, **options)
    equal((status, out), (2, ""), f"a bad policy, {errors}")
    check(errors, "no error is shown")
    return errors


def write(where, name, content):
    path = os.path.join(where, name)
    with open(path, "w", encoding="utf-8") as file:
        file.write(content if isinstance(content, str) else json.dumps(content))
    return path


def policy(vm, **more):
    return {"vm": vm, "qemu": f"/run/{vm}/qemu", "listen": [f"/run/{vm}/qmp"], **more}


def recipe(name, event="E"):
    return {"recipe": name, "rules": [{"name": "r", "on": [{"event": event}],
                                       "do": [{"start": "${backend}"}]}]}


def user(vm, name):
    """A policy with a backend of recipe @name."""
    return policy(vm, backends={"b": {"recipe": name, "command": ["x"]}})


def event_of(document):
    return document["backends"]["b"]["rules"][0]["on"][0]["event"]


@case("the handover example, as it will run")
def _():
    document, = good(os.path.join(POLICIES, "example-handover.json"))
    backend = document["backends"]["net0"]
    equal(document["vm"], "web1")
    equal(document["limits"], {"clients": 64, "queue": "32MiB", "memory": "256MiB"})
    equal(document["listen"][1]["access"], "read-only")
    equal((backend["handover"], backend["ready"]), (True, "pidfile"))
    equal(backend["command"], ["passt", "--foreground", "--fd", "3", "--pid",
                               "/run/web1/passt/pid"])
    rule, = backend["rules"]
    equal(rule["verdict"], "hold")
    equal(rule["on"], [{"backend": "net0", "is": "exited"},
                       {"event": "NETDEV_STREAM_DISCONNECTED", "data": {"netdev-id": "net0"}}])
    equal(rule["do"], [
        {"start": "net0", "for": "10000ms"},
        {"await": {"event": "NETDEV_STREAM_CONNECTED", "data": {"netdev-id": "net0"}},
         "for": "10000ms"}])


@case("the reconnect example, as it will run")
def _():
    document, = good(os.path.join(POLICIES, "example-reconnect.json"))
    backend = document["backends"]["net0"]
    equal((backend["handover"], backend["ready"]), (False, "listens"))
    equal(backend["command"][-1], backend["socket"])
    equal(backend["rules"][0]["do"][1]["for"], "5000ms")


@case("a folder: its policies by name, without recipes, schemas, hidden and other files")
def _():
    where = folder("c")
    write(where, "b.json", user("b", "r"))
    write(where, "a.json", policy("a"))
    write(where, "r.json", recipe("r"))
    write(where, "x.schema.json", "{}")
    write(where, ".hidden.json", "{")
    write(where, "notes.txt", "{")
    equal([d["vm"] for d in good(where)], ["a", "b"])
    equal([d["vm"] for d in good(where + "/")], ["a", "b"])
    equal([d["vm"] for d in good(POLICIES)], ["web1", "db1"])


@case("a folder without policies, or with a broken one")
def _():
    where = folder("c")
    equal(bad(where), [f"{where}: no policy in this folder: expected files *.json with a \"vm\""])
    path = write(where, "a.json", "{")
    equal([e.startswith(f"{path}:1:2: ") for e in bad(where)], [True])


@case("recipes: --recipes first, in their order, then beside the policy, then installed")
def _():
    one, two, beside, installed = folder("c"), folder("c"), folder("c"), folder("c")
    path = write(beside, "p.json", user("v", "r"))
    write(installed, "r.json", recipe("r", "INSTALLED"))
    equal(event_of(good(path, installed=installed)[0]), "INSTALLED")
    write(beside, "r.json", recipe("r", "BESIDE"))
    equal(event_of(good(path, installed=installed)[0]), "BESIDE")
    equal(event_of(good("p.json", cwd=beside)[0]), "BESIDE")
    write(two, "r.json", recipe("r", "TWO"))
    equal(event_of(good("--recipes", one, "--recipes", two, path)[0]), "TWO")
    write(one, "r.json", recipe("r", "ONE"))
    equal(event_of(good("-r", one, f"--recipes={two}", path)[0]), "ONE")


@case("a recipe that is not there: the folders that were searched")
def _():
    where, other = folder("c"), folder("c")
    path = write(where, "p.json", user("v", "nope"))
    error, = bad("--recipes", other, path)
    check(error.startswith(f"{path}:1:"), error)
    check(error.endswith(f"recipe 'nope' not found: expected nope.json in one of: {other}, "
                         f"{where}, /nonexistent"), error)


@case("a recipe that cannot be read or is too long")
def _():
    where = folder("c")
    path = write(where, "p.json", user("v", "r"))
    os.mkdir(os.path.join(where, "r.json"))
    error, = bad(path)
    check(error.endswith(f"recipe 'r' cannot be read: {where}/r.json: Is a directory"), error)
    os.rmdir(os.path.join(where, "r.json"))
    write(where, "r.json", " " * (1 << 20) + json.dumps(recipe("r")))
    error, = bad(path)
    check(error.endswith("r.json: File too large"), error)


@case("errors in a recipe: its own place, and that of the backend")
def _():
    where = folder("c")
    broken = recipe("r", "${x}")
    path = write(where, "p.json", user("v", "r"))
    place = write(where, "r.json", broken)
    error, = bad(path)
    column = json.dumps(broken).index("${x}") + 1
    column_of_backend = json.dumps(user("v", "r")).index('"b":') + 1
    check(error.startswith(f"{place}:1:{column}: unknown name 'x'"), error)
    check(error.endswith(f" (for the backend 'b' at {path}:1:{column_of_backend})"), error)


@case("every error of every file, each on a line with its place")
def _():
    where = folder("c")
    write(where, "a.json", '{\n "vm": "a b",\n "qemu": "q",\n "listen": [ 1 ]\n}\n')
    write(where, "b.json", '{\n "vmm": "b",\n "listen": []\n}\n')
    errors = bad(where)
    equal([re.match(r".*/(\w\.json:\d+:\d+): [^:]+", e).group(1) for e in errors],
          ["a.json:2:8", "a.json:3:10", "a.json:4:14", "b.json:2:2", "b.json:1:1", "b.json:1:1",
           "b.json:3:12"])


@case("files that cannot be read: one line each")
def _():
    where = folder("c")
    large = write(where, "large.json", " " * (1 << 20) + "{}")
    fifo = os.path.join(where, "fifo")
    os.mkfifo(fifo)
    missing = os.path.join(where, "missing.json")
    errors = bad(missing, large, fifo, "")
    equal(len(errors), 4, "lines")
    equal(errors[0], f"{missing}: the policy cannot be read: No such file or directory")
    equal(errors[1], f"{large}: the policy cannot be read: File too large")
    check(errors[2].startswith(f"{fifo}:1:1: the text ends too early"), errors[2])
    equal(errors[3], '"": an empty argument: expected the path of a policy')


@case("two policies may not share a name or a path")
def _():
    where = folder("c")
    one = write(where, "1.json", policy("v"))
    two = write(where, "2.json", {**policy("v"), "qemu": "/run//other"})
    three = write(where, "3.json", {**policy("w"), "listen": ["/run/w/./l", "/run/other"]})
    equal(bad(one, two), [
        f"{two}: the listen path '/run/v/qmp' is also the listen path of {one}: each VM needs its "
        "own",
        f"{two}: the VM's name 'v' is also the VM's name of {one}: each VM needs its own"])
    equal(bad(two, three), [
        f"{three}: the listen path '/run/other' is also the path of QEMU's socket of {two}: each "
        "VM needs its own"])
    equal(len(bad(one, one)), 3, "the same file twice")
    equal([d["vm"] for d in good(one, three)], ["v", "w"])


@case("one bad policy: nothing is printed of the good ones")
def _():
    where = folder("c")
    one = write(where, "1.json", policy("v"))
    two = write(where, "2.json", policy("v v"))
    equal(len(bad(one, two)), 1)


@case("a recipe given as a policy")
def _():
    error, = bad(os.path.join(POLICIES, "passt.json"))
    check("this is a recipe" in error, error)


@case("wrong use: exit status 2 and the usage")
def _():
    for arguments in ([], ["--nonsense"], ["--recipes"]):
        errors = bad(*arguments)
        check(any(e.startswith("usage: qmend check ") for e in errors), str(errors))
    status, out, errors = call("--help")
    equal((status, errors), (0, []))
    check(out.startswith("usage: qmend check "), out)


@case("standard output that cannot be written")
def _():
    with open("/dev/full", "wb") as full:
        done = subprocess.run([QMEND, "check", POLICIES], stdout=full, stderr=subprocess.PIPE,
                              timeout=30, check=False)
    equal(done.returncode, 1)
    check(b"standard output" in done.stderr, done.stderr)


if __name__ == "__main__":
    run()
