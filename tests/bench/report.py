# SPDX-License-Identifier: GPL-2.0-or-later
"""From what was measured to the rows of the table, each with its budget and whether it is kept."""

OUTAGE_MS = {"handover": 25, "reconnect": 60}
SCHEMA_TIMES = 20
RSS_BYTES = 3 << 20
PRIVATE_BYTES = 1 << 20
CLIENT_BYTES = 8 << 10
VM_BYTES = 64 << 10
LIMITED_BY_QEMU = 0.9  # of the rate of a direct client; the rest is noise
COLUMNS = ("direct", "socat", "haproxy", "qmend")


def row(name, unit, budget, kept, **values):
    """@kept: True, False or None (no budget)."""
    return {"name": name, "unit": unit, **values, "budget": budget, "ok": kept}


def latency_rows(found):
    yield row("bare socket ping-pong, p50", "us", "", None, direct=found["floor"]["p50_us"])
    for part in ("p50", "p99"):
        values = {way: found[way][f"{part}_us"] for way in COLUMNS}
        yield row(f"query-status round trip, {part}", "us", "", None, **values)
    for part in ("p50", "p99"):
        added = {way: found[way][f"added_{part}_us"] for way in COLUMNS[1:]}
        yield row(f"  added to direct, {part}", "us", "<= socat, HAProxy",
                  added["qmend"] <= min(added["socat"], added["haproxy"]), **added)
    yield row("  processor time of the relay", "us", "", None,
              **{way: found[way]["cpu_us"] for way in COLUMNS[1:]})


def throughput_rows(found):
    rates = {way: found[f"{way}_1"]["per_second"] for way in COLUMNS}
    least = LIMITED_BY_QEMU * rates["direct"]
    text = f">= {LIMITED_BY_QEMU:.0%} of direct"
    yield row("commands per second, 1 client, 16 on their way", "1/s", text,
              rates["qmend"] >= least, **rates)
    many = found["qmend_16"]["per_second"]
    yield row("  16 clients (direct: 1, QEMU serves no more)", "1/s", text, many >= least,
              direct=rates["direct"], qmend=many)
    yield row("  processor that QEMU used meanwhile, 1 client", "%", "", None,
              **{way: 100 * found[f"{way}_1"]["qemu_cpu"] for way in COLUMNS})


def schema_rows(found):
    yield row("query-qmp-schema repeated, p50", "ms", f"direct / {SCHEMA_TIMES}",
              found["qmend"] * SCHEMA_TIMES <= found["direct"], **found)


def outage_rows(way, found):
    title = {"handover": "handover", "reconnect": "reconnect-ms=10"}[way]
    count = len(found["outage_ms"]["all"])
    head = f"passt killed, {title}, QEMU {found['qemu']}"
    yield row(f"{head}: connected", "ms", "", None, qmend=found["connected_ms"]["median"])
    yield row("  first packet of the guest at the server", "ms", f"<= {OUTAGE_MS[way]}",
              found["traffic_ms"]["median"] <= OUTAGE_MS[way],
              qmend=found["traffic_ms"]["median"])
    yield row("  outage as the guest saw it, median", "ms", f"<= {OUTAGE_MS[way]}",
              found["outage_ms"]["median"] <= OUTAGE_MS[way], qmend=found["outage_ms"]["median"])
    yield row("  outage as the guest saw it, most", "ms", "", None,
              qmend=found["outage_ms"]["most"])
    yield row(f"  mended of {count} kills", "", f"{count}", found["mended"] == count,
              qmend=found["mended"])
    yield row("  memory with passt, guest, 2 clients: RSS", "KiB", kib(RSS_BYTES),
              found["memory_after"]["rss"] <= RSS_BYTES, qmend=found["memory_after"]["rss"] / 1024)
    yield row("  memory with passt, guest, 2 clients: private", "KiB", kib(PRIVATE_BYTES),
              found["memory_after"]["private"] <= PRIVATE_BYTES,
              qmend=found["memory_after"]["private"] / 1024)
    yield row("  wake-ups while the guest runs", "1/s", "0", found["wakeups_per_second"] == 0,
              qmend=found["wakeups_per_second"])


def kib(size):
    return f"<= {size / 1024:g}"


def client_memory_rows(found):
    kinds = sorted((key for key in found["qmend"] if key.startswith("clients_")
                    and key[8:].isdigit()), key=lambda key: int(key[8:]))
    for number, key in enumerate(kinds):
        label = f"memory, 1 VM, {int(key[8:]):,} client{'s' if number else ''}"
        for what, limit in (("rss", RSS_BYTES), ("private", PRIVATE_BYTES)):
            own = found["qmend"][key][what]
            yield row(f"{label}: {'RSS' if what == 'rss' else what}", "KiB",
                      "" if number else kib(limit), None if number else own <= limit,
                      haproxy=found["haproxy"][key][what] / 1024, qmend=own / 1024)
    each = {way: found[way]["further_client_bytes"] for way in ("haproxy", "qmend")}
    yield row("  each further client, private", "KiB", kib(CLIENT_BYTES),
              each["qmend"] <= CLIENT_BYTES, **{way: size / 1024 for way, size in each.items()})


def vm_memory_rows(found):
    """One VM is in client_memory_rows() already."""
    count = max(int(key[4:]) for key in found if key[4:].isdigit())
    for what, name in (("rss", "RSS"), ("private", "private")):
        yield row(f"memory, {count} VMs, 1 client each: {name}", "KiB", "", None,
                  qmend=found[f"vms_{count}"][what] / 1024)
    yield row("  each further VM with its client, private", "KiB", kib(VM_BYTES),
              found["further_vm_bytes"] <= VM_BYTES, qmend=found["further_vm_bytes"] / 1024)


def idle_rows(found):
    for key, rate in found.items():
        what, _, count = key.partition("_")
        if what == "haproxy":
            continue
        text = f"{count} clients, QEMU" if what == "clients" else f"{count} VMs, a client each"
        yield row(f"wake-ups when idle, {text}", "1/s", "0", rate == 0, qmend=rate,
                  **({"haproxy": found["haproxy_1"]} if what == "clients" else {}))


def rows(result):
    """All rows that the result has figures for."""
    makers = (("speed", "latency", latency_rows), ("speed", "throughput", throughput_rows),
              ("speed", "schema", schema_rows),
              ("outage", "handover", lambda found: outage_rows("handover", found)),
              ("outage", "reconnect", lambda found: outage_rows("reconnect", found)),
              ("memory", "clients", client_memory_rows), ("memory", "vms", vm_memory_rows),
              ("idle", "wakeups_per_second", idle_rows))
    return [made for section, name, maker in makers if name in result.get(section, {})
            for made in maker(result[section][name])]


def figure(value):
    if value is None:
        return "-"
    if value == 0 or abs(value) >= 1000 or float(value).is_integer():
        return f"{value:.0f}"
    return f"{value:.2f}" if abs(value) < 1 else f"{value:.1f}"


def print_table(about, found, quick):
    print(f"qmend {about['qmend']}; {about['qemu']}; {about['haproxy']}; {about['socat']}")
    print(f"kernel {about['kernel']}, {about['processors']} processors, load before "
          f"{about['load']:.1f}" + ("; --quick: a look, no proof" if quick else "") + "\n")
    wide = max([len(entry["name"]) for entry in found] + [20])
    heads = "".join(f"{head:>9}" for head in ("direct", "socat", "HAProxy", "qmend"))
    print(f"{'':{wide}} {'unit':<4}{heads}   {'budget':<18}")
    for entry in found:
        values = "".join(f"{figure(entry.get(way)):>9}" for way in COLUMNS)
        verdict = {True: "ok", False: "OVER", None: ""}[entry["ok"]]
        print(f"{entry['name']:{wide}} {entry['unit']:<4}{values}   {entry['budget']:<18} "
              f"{verdict}".rstrip())
    kept = [entry["ok"] for entry in found if entry["ok"] is not None]
    print(f"\n{kept.count(True)} of {len(kept)} budgets kept")
