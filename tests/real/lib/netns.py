# SPDX-License-Identifier: GPL-2.0-or-later
"""A network of the program's own, so that it needs none of the host's and disturbs none of it.

passt copies address and default route from an interface of the host. Here that is one end of a
veth pair in a fresh network namespace: the guest gets ADDRESS, and what it sends to GATEWAY, passt
turns to the loopback address of this namespace. The PID namespace around it ends everything that
was started in it, however the program ends.
"""

import os
import signal
import subprocess
import sys

ADDRESS = "198.18.0.2"
GATEWAY = "198.18.0.1"
INSIDE = "QMEND_INSIDE_NAMESPACE"


def enter():
    """Run the calling program again in namespaces of its own; returns there, and only there."""
    if os.environ.get(INSIDE) == str(os.getpid()):
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(128 + number))
        set_up()
        return
    command = ["unshare", "--net", "--pid", "--fork", "--kill-child", "--mount-proc"]
    if os.geteuid() != 0:
        command += ["--user", "--map-root-user"]
    os.environ[INSIDE] = "1"  # the first process of a PID namespace
    sys.stdout.flush()
    os.execvp(command[0], [*command, "--", sys.executable, *sys.argv])


def set_up():
    for arguments in (
        "link set lo up",
        "link add eth0 type veth peer name eth0p",
        "link set eth0p up",
        f"addr add {ADDRESS}/24 dev eth0",
        "link set eth0 up",
        f"route add default via {GATEWAY} dev eth0",
    ):
        subprocess.run(["ip", *arguments.split()], check=True, stdin=subprocess.DEVNULL)
