# SPDX-License-Identifier: GPL-2.0-or-later
"""What qmend needs of memory, and whether it sleeps when there is nothing to do."""

import time

import peers

CLIENTS = 1000
VMS = 200
SETTLE_SECONDS = 0.5


def settled(process):
    time.sleep(SETTLE_SECONDS)
    return peers.memory(process.pid)


def clients():
    """One VM with 1 client, with the limits that a policy has when it sets none; and with 1,000
    clients, which need a higher one. HAProxy beside it. All clients have negotiated and are idle."""
    result = {"qmend": {}, "haproxy": {}}
    for count, limit in ((1, None), (CLIENTS, CLIENTS)):  # one process at a time: they share pages
        with peers.Stage() as stage:
            _, monitors = stage.start_scripted(1)
            qmend, listens = stage.start_qmend(monitors, clients=limit)
            held = stage.hold(listens, count)
            result["qmend"][f"clients_{count}"] = settled(qmend)
            peers.let_go(held)
            result["qmend"][f"after_{count}"] = settled(qmend)
    with peers.Stage() as stage:
        _, monitors = stage.start_scripted(1)
        haproxy, path = stage.start_haproxy(monitors[0])
        for count, more in ((1, 1), (CLIENTS, CLIENTS - 1)):
            stage.hold([path], more)
            result["haproxy"][f"clients_{count}"] = settled(haproxy)
    for found in result.values():
        found["further_client_bytes"] = further(found["clients_1"], found[f"clients_{CLIENTS}"],
                                                CLIENTS)
    return result


def vms():
    """1 and 200 VMs in one process, each with its QEMU and one client."""
    result = {}
    with peers.Stage() as stage:
        _, monitors = stage.start_scripted(VMS)
        for count in (1, VMS):
            qmend, listens = stage.start_qmend(monitors[:count], name=f"of{count}-")
            held = stage.hold(listens, 1)
            result[f"vms_{count}"] = settled(qmend)
            peers.let_go(held)
            peers.stop(qmend)
    result["further_vm_bytes"] = further(result["vms_1"], result[f"vms_{VMS}"], VMS)
    return result


def further(one, many, count):
    return (many["private"] - one["private"]) / (count - 1)


def idle(seconds):
    """Times that a process was woken per second: a real QEMU with 16 clients, and 200 VMs."""
    with peers.Stage() as stage:
        _, real = stage.start_qemu(2)
        _, scripted = stage.start_scripted(VMS)
        watched = {}
        watched["clients_16"], listens = stage.start_qmend(real[:1], name="real")
        stage.hold(listens, 16)
        watched["haproxy_1"], path = stage.start_haproxy(real[1])
        stage.hold([path], 1)
        watched[f"vms_{VMS}"], listens = stage.start_qmend(scripted, name="many")
        stage.hold(listens, 1)
        time.sleep(1)
        before = {name: peers.switches(process.pid) for name, process in watched.items()}
        time.sleep(seconds)
        return {name: (peers.switches(process.pid) - before[name]) / seconds
                for name, process in watched.items()}
