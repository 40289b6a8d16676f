#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What scripts/demo shows once everything is built."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time

from lib import guest, netns, qmend, scene, stream, tap

MEND_SECONDS = 15
SETTLED = 0.04  # seconds after which nothing earlier is expected
LOG_MAX = 100  # columns of a log line that are shown
COLUMNS = (("noticed", 9), ("connected", 11), ("traffic", 9), ("outage", 21))


class Teller:
    """Prints what happens when it happens, whoever sees it, in lines of one shape."""

    def __init__(self):
        self.news = []
        self.lock = threading.Lock()
        self.zero = time.monotonic()
        self.unit = "s"

    def listen(self, who, what, source):
        """@what makes a text of an item, or None when it is nothing to tell."""
        def hook(at, item):
            text = what(item)
            if text:
                self.add(at, who, text)
        source.hooks.append(hook)

    def add(self, at, who, text):
        with self.lock:
            self.news.append((at, who, text))

    def restart(self, at):
        """From now on the clock shows ms after @at."""
        self.zero = at
        self.unit = "ms"

    def line(self, at, who, text):
        passed = at - self.zero
        clock = f"{passed:8.2f} s " if self.unit == "s" else f"{passed * 1000:8.1f} ms"
        print(f"  {clock}  {who:<9} {text}", flush=True)

    def say(self, who, text):
        self.tell(0)
        self.line(time.monotonic(), who, text)

    def tell(self, settled=SETTLED):
        """Print the news in order of time, but for those of the last @settled seconds: something
        that happened before may not have come yet."""
        with self.lock:
            end = time.monotonic() - settled
            old = sorted((n for n in self.news if n[0] <= end), key=lambda n: n[0])
            self.news = [n for n in self.news if n[0] > end]
        for at, who, text in old:
            self.line(at, who, text)

    def wait(self, seconds):
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            self.tell()
            time.sleep(0.005)

    def until(self, condition, seconds, what):
        """Tell the news until @condition() is true."""
        end = time.monotonic() + seconds
        while not condition():
            if time.monotonic() >= end:
                raise stream.Timeout(f"not within {seconds} s: {what}")
            self.wait(0.005)


def heading(text):
    print(f"\n{text}", flush=True)


def event_text(message):
    if "event" not in message:
        return None
    return f"event {message['event']}"


def log_text(line):
    """qmend's log without what every line has."""
    if not line.startswith("level="):
        return None  # of the backend, which shares stderr
    words = [word for word in line.split() if not word.startswith(("level=", "vm="))]
    text = " ".join(words)
    return text if len(text) <= LOG_MAX else text[:LOG_MAX - 3] + "..."


def outage_text(line):
    if not line.startswith("outage"):
        return None
    seen = guest.fields(line)
    return f"an answer after {seen['outage_ms']:.1f} ms, {seen['lost']} probes lost"


def policy_text(policy):
    """The policy file, indented, lists on one line."""
    text = json.dumps(policy, indent=2)
    text = re.sub(r"\[[^\[\]]*\]", lambda m: " ".join(m.group().split()), text)
    return "\n".join(" " * 26 + line for line in text.splitlines())


class Demo:
    def __init__(self, kills):
        # 10 faults a minute is the default budget: more kills need more
        backend = {"budget": {"faults": min(kills + 1, 64), "period": "1m"}} if kills > 9 else {}
        self.scene = scene.Scene("handover", name="demo", backend=backend)
        self.teller = Teller()
        self.echo = None
        self.alice = self.bob = None
        self.born = self.teller.zero
        self.rows = []

    def start(self):
        tell = self.teller
        heading("The VM")
        self.echo = guest.Echo()
        self.scene.start_guest()
        tell.say("QEMU", f"started, pid {self.scene.guest.process.pid}; it listens for its network")
        print(policy_text(self.scene.policy()))
        self.scene.start_qmend()
        tell.listen("qmend", log_text, self.scene.qmend.log)
        tell.say("qmend", f"started, pid {self.scene.qmend.process.pid}, with this policy")
        self.alice = self.scene.client("client A", 1)
        self.bob = self.scene.client("client B", 1)
        for client in (self.alice, self.bob):
            tell.listen(client.name, event_text, client.stream)
        qemu = self.alice.greeting["QMP"]["version"]
        tell.say("client A", f"connected; the greeting is QEMU's own: {qemu['package']}")
        tell.say("client B", "connected at the same time")
        seconds = self.scene.guest.wait_up()
        tell.listen("QEMU", event_text, self.scene.guest.witness.stream)
        tell.say("guest", f"up after {seconds:.1f} s, has its address from passt by DHCP and "
                          "probes its network each 10 ms")

    def share(self):
        """Both have the monitor: ids of their own, the same events."""
        tell = self.teller
        heading("Two clients, one monitor")
        for client, ident in ((self.alice, 1), (self.bob, 1), (self.bob, {"my": ["own", "id"]})):
            reply = client.execute("query-status", ident=ident)
            tell.say(client.name, f"query-status, id {json.dumps(ident)}: {reply['status']}, "
                                  f"id {json.dumps(ident)}")
        for client, command, event in ((self.alice, "stop", "STOP"), (self.bob, "cont", "RESUME")):
            marks = [(c, c.mark()) for c in (self.alice, self.bob)]
            tell.say(client.name, f"sends {command}")
            client.execute(command)
            for other, mark in marks:
                other.wait_event(event, 10, mark)
            tell.wait(0.1)
        self.scene.guest.wait_traffic(10)

    def kill(self, number, count):
        tell = self.teller
        before = qmend.wait_ready(self.alice)
        heading(f"Kill {number} of {count}")
        self.scene.guest.report()
        log_mark, qemu_mark = self.scene.qmend.log.mark(), self.scene.guest.witness.mark()
        row = {"old": before["pid"]}
        self.rows.append(row)
        at = time.monotonic()
        tell.restart(at)
        os.kill(before["pid"], signal.SIGKILL)
        tell.add(at, "demo", f"SIGKILL to passt, pid {before['pid']}")

        def log_line(text):
            return [t for t, line in self.scene.qmend.log.since(log_mark) if text in line]

        def back():
            return [t for t, _ in self.scene.guest.witness.events(scene.EVENT_BACK, qemu_mark)]

        tell.until(lambda: back() and log_line("state=mended"), MEND_SECONDS, "mended")
        row["noticed"] = log_line(" pid=" if not log_line("what=opened") else "what=opened")[0] - at
        row["connected"] = back()[0] - at
        self.wait_traffic(row, at, back()[0])

    def wait_traffic(self, row, at, connected):
        tell = self.teller
        tell.until(lambda: self.echo.first_after(connected), MEND_SECONDS, "traffic of the guest")
        traffic = self.echo.first_after(connected)
        tell.add(traffic, "server", "first probe of the guest through the new passt")
        row["new"] = qmend.wait_ready(self.alice, MEND_SECONDS, not_pid=row["old"])["pid"]
        tell.wait(0.3)
        row["traffic"] = traffic - at
        row["outage"] = self.scene.guest.wait_traffic(MEND_SECONDS)["outage_ms"] / 1000
        tell.say("guest", f"longest wait for an answer {row['outage'] * 1000:.1f} ms")
        heard = [m["event"] for client in (self.alice, self.bob) for _, m in client.events()
                 if m["event"].startswith("NETDEV_STREAM")]
        tell.say("clients", f"heard {heard}" if heard else "heard nothing of it")
        row["mended"] = not heard

    def check_untouched(self):
        heading("After it")
        self.teller.zero, self.teller.unit = self.born, "s"
        for client in (self.alice, self.bob):
            status = client.execute("query-status")["status"]
            self.teller.say(client.name, f"query-status on its first connection: {status}")
        if self.scene.guest.witness.events("DEVICE_DELETED"):
            raise stream.Ended("QEMU: the NIC was taken out")
        self.teller.say("QEMU", "never told of a NIC taken out or put in")

    def show_status(self):
        heading("qmend status")
        done = subprocess.run([qmend.binary(), "status", self.scene.listen], text=True, timeout=10,
                              capture_output=True, check=False)
        for line in (done.stdout + done.stderr).splitlines():
            print(f"  {line}".rstrip())

    def table(self, count):
        heading("Result (ms after the kill; the last column is by the guest's own clock)")
        print("  kill   passt pid         noticed   connected   traffic   outage in the guest")
        for number, row in enumerate(self.rows, 1):
            if not row.get("mended"):
                print(f"  {number:4}   {row['old']:<15}  NOT MENDED")
                continue
            pids = f"{row['old']} -> {row['new']}"
            times = " ".join(f"{row[key] * 1000:{width}.1f}" for key, width in COLUMNS)
            print(f"  {number:4}   {pids:<15} {times}")
        mended = [row for row in self.rows if row.get("mended")]
        if mended:
            times = " ".join(f"{tap.median([row[key] for row in mended]) * 1000:{width}.1f}"
                             for key, width in COLUMNS)
            print(f"  median {'':<15} {times}")
        print(f"\n  {len(mended)} of {count} kills mended")
        return len(mended) == count


def main():
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    netns.enter()
    print("""
  client A --+                 +------- QEMU --------+
             +--- qmend ======= QMP          guest ===== passt ---> server of the demo
  client B --+                 +---------------------+   ^ killed again and again""")
    demo = Demo(count)
    done = False
    try:
        demo.start()
        demo.share()
        for number in range(1, count + 1):
            demo.kill(number, count)
            time.sleep(0.3)
        demo.check_untouched()
        demo.show_status()
        done = True
    except (stream.Timeout, stream.Ended) as error:
        demo.teller.tell(0)
        print(f"\n  {error}\n{demo.scene.describe()}", flush=True)
    try:
        return 0 if demo.table(count) and done else 1
    finally:
        demo.scene.release()


if __name__ == "__main__":
    sys.exit(main())
