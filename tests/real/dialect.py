#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""qmend's reading of QMP against a real QEMU's, answer by answer.

usage: dialect.py [--count N] [--seed N] [QEMU [ARGUMENT...]]

Thousands of random messages (valid, nearly valid, garbage; always the same ones for a seed) go to a
QEMU without a machine and to qmp_answers, which answers as qmend does where QEMU need not be
asked. The answers must be the same, byte for byte and in the same order; where qmend would ask
QEMU, QEMU must have found nothing to complain of in the syntax, and must print the id as qmend
would.
"""

import argparse
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time

BUILD = os.environ.get("QMEND_BUILD", os.path.join(os.path.dirname(__file__), "..", "..",
                                                   "build", "dev"))
HELPER = os.environ.get("QMP_ANSWERS", os.path.join(BUILD, "tests", "qmp_answers"))
GREETING = re.compile(rb'\{"QMP": ')
# What QEMU says of a command that qmend would have passed on.
EXECUTED = re.compile(rb'\{"return": (?:\{\}|\[[^]]*\])(?:, "id": (?P<a>.*))?\}$|'
                      rb'\{(?:"id": (?P<b>.*), )?"error": \{"class": "[A-Za-z]+", "desc": "'
                      rb'(?:The command |Parameter |Invalid parameter |Capabilities negotiation)')
FLUSH = b"\xff\n"


class Qemu:
    """A QEMU without a machine, and one QMP connection to it."""

    def __init__(self, command, folder):
        self.path = os.path.join(folder, "qmp.sock")
        self.process = subprocess.Popen(
            [*command, "-M", "none", "-S", "-nodefaults", "-nographic",
             "-qmp", f"unix:{self.path},server=on,wait=off"], stdin=subprocess.DEVNULL)
        self.socket = None
        self.held = b""

    def connect(self):
        """A new connection, read up to its greeting."""
        if self.socket is not None:
            self.socket.close()
        deadline = time.monotonic() + 30
        while True:
            try:
                self.socket = socket.socket(socket.AF_UNIX)
                self.socket.settimeout(30)
                self.socket.connect(self.path)
                break
            except OSError:
                if self.process.poll() is not None or time.monotonic() > deadline:
                    raise
                time.sleep(0.02)
        self.held = b""
        while not GREETING.match(self.line()):
            pass

    def line(self):
        while b"\r\n" not in self.held:
            data = self.socket.recv(1 << 20)
            if not data:
                raise EOFError("QEMU closed the connection")
            self.held += data
        line, self.held = self.held.split(b"\r\n", 1)
        return line

    def ask(self, data, mark):
        """Send @data and return the answers up to the one with the id @mark."""
        self.socket.sendall(data)
        lines = []
        while True:
            lines.append(self.line())
            if mark in lines[-1]:
                return lines

    def close(self):
        self.process.kill()
        self.process.wait()


# --- what is sent ---------------------------------------------------------------------------------

TEXTS = [
    "", "a", "id", "execute", "x" * 40, "\u00e9", "\u20ac", "\U0001f600", "\x7f", "/", "%", "%p",
    "\ufffd", "\ud7ff", "\ue000", "\U0010fffd", "query-name", "b", "c", "key", "\"", "'", "\\",
]
RAW = [
    rb"\u00e9", rb"\uD83D\uDE00", rb"\u0000", rb"\b\f\n\r\t", rb"\/", rb"\'", rb'\"', rb"\\",
    b"\xc0\x80", b"\xc3\xa9", b"\xf0\x9f\x98\x80", rb"\u0022", rb"\u007f", rb"\uFFFD", b"a", b"0",
    b"{", b"]", b",", b" ",
]
BAD = [
    rb"\ud800", rb"\udc00", rb"\ud83d\u0041", rb"\ud83dx", rb"\x41", rb"\u12", rb"\u12G4",
    rb"\U0041", b"\xc0\xaf", b"\xed\xa0\x80", b"\xff", b"\xfe", b"\x80", b"\xe2\x82",
    b"\xf4\x90\x80\x80", b"\xef\xbf\xbe", b"\xef\xb7\x90", b"\xf8\x88\x80\x80\x80", b"\t", b"\n",
    b"\0", b"\x1f", rb"\ufffe", rb"\ufdd0", rb"\ud83d\ud83d", b"\xc3", b"\xf0\x9f\x98",
    b"\xfd\xbf\xbf\xbf\xbf\xbf", b"\\\xe9",
]
NUMBERS = [
    b"0", b"-0", b"1", b"-1", b"12", b"1e3", b"1E3", b"0.1", b"-0.0", b"1e-7", b"1.5e+300",
    b"9223372036854775807", b"9223372036854775808", b"-9223372036854775808",
    b"-9223372036854775809", b"18446744073709551615", b"18446744073709551616", b"1e999",
    b"-1e999", b"123456789.123456789", b"0.0e0", b"1e00005", b"4.9e-324", b"1e-400",
    b"100000000000000000000000000000000000000000", b"0.30000000000000004",
]
BAD_NUMBERS = [
    b"01", b"-", b"-x", b"1.", b".5", b"+1", b"1e", b"1e+", b"--1", b"0x10", b"NaN", b"1.5.5",
    b"Infinity", b"00", b"-01", b"1_000", b"1e1.5", b"0e0", b"-0e1",
]
WORDS = [
    b"true", b"false", b"null",
]
BAD_WORDS = [
    b"nul", b"True", b"truex", b"nulll", b"undefined", b"x", b"e", b"%p", b"%", b"tru e",
]
TOKENS = [
    b"{", b"}", b"[", b"]", b":", b",", b'"a"', b"'b'", b'"execute"', b'"id"', b"1", b"-2.5e3",
    b"true", b"null", b"nul", b" ", b"\n", b"\t", b"\r", b'"query-name"', b"@", b"\x01", b"\xff",
    b'"\\z"', b'"\\ud800"', b'"a"', b'{"a":1}', b"[]", b"{}", b"/", b"\xfe", b"\x7f",
    b'"arguments"',
]


class Messages:
    """Random messages, reproducible."""

    def __init__(self, seed):
        self.random = random.Random(seed)

    def space(self):
        if self.random.random() < 0.8:
            return b""
        return self.random.choice([b" ", b"\n", b"\t", b"\r\n", b"  "])

    def string(self, evil):
        r = self.random
        quote = b"'" if r.random() < 0.3 else b'"'
        body = b""
        for _ in range(r.choice([1, 1, 1, 2, 3, 5])):
            pick = r.random()
            if pick < 0.5:
                text = r.choice(TEXTS).encode()
                body += text.replace(b"\\", b"\\\\").replace(quote, b"\\" + quote)
            elif pick < 1 - evil / 2:
                body += r.choice(RAW)
            else:
                body += r.choice(BAD)
        return quote + body + quote

    def value(self, depth, evil):
        r = self.random
        pick = r.random()
        if depth > 0 and pick < 0.2:
            return self.object([], depth - 1, evil)
        if depth > 0 and pick < 0.4:
            items = [self.value(depth - 1, evil) for _ in range(r.randrange(4))]
            return b"[" + (b"," + self.space()).join(items) + b"]"
        if pick < 0.6:
            return r.choice(BAD_NUMBERS if r.random() < evil else NUMBERS)
        if pick < 0.7:
            return r.choice(BAD_WORDS if r.random() < evil else WORDS)
        return self.string(evil)

    def object(self, members, depth, evil):
        r = self.random
        members = list(members)
        for _ in range(r.choice([0, 1, 2, 3, 8]) if not members else r.choice([0, 0, 0, 1, 2])):
            key = self.value(1, evil) if r.random() < evil / 2 else self.string(evil)
            members.append((key, self.value(depth, evil)))
        r.shuffle(members)
        parts = [self.space() + k + self.space() + b":" + self.space() + v for k, v in members]
        return b"{" + b",".join(parts) + self.space() + b"}"

    def command(self, evil=0.05):
        """A command, or nearly one."""
        r = self.random
        members = []
        if r.random() < 0.9:
            name = r.choice([b'"query-name"', b"'query-name'", b'"nosuch"', b'"query-n\\u0061me"'])
            members.append((b'"execute"', name if r.random() < 0.9 else self.value(1, evil)))
        if r.random() < 0.15:
            members.append((r.choice([b'"exec-oob"', b"'exec\\u002doob'"]),
                            r.choice([b'"query-yank"', b'"query-name"', b"1", b"null"])))
        if r.random() < 0.3:
            members.append((b'"arguments"', r.choice([b"{}", b"{}", self.value(2, evil)])))
        if r.random() < 0.6:
            members.append((b'"id"', self.value(3, evil)))
        if r.random() < 0.8:  # nothing else, mostly
            r.shuffle(members)
            parts = [k + self.space() + b":" + v for k, v in members]
            return b"{" + (self.space() + b",").join(parts) + b"}"
        return self.object(members, 2, evil)

    def negotiation(self):
        r = self.random
        if r.random() < 0.2:
            return self.command(0)
        wrong = [b'["bogus"]', b"[1]", b'["oob",null]', b"1", b"{}", b'"oob"', b"null",
                 b'["\\u00e9"]', b'[["oob"]]', b'["oob","OOB"]', b"[{}]"]
        names = [b'"x"', b'"y"', b'"abc"', b'"enabled"', b'"caps"', b'"\xc3\xa9"', b'""',
                 b'"oob"', b'"z9"']
        members = []
        if r.random() < 0.6:
            members.append((b'"enable"', r.choice(wrong)))
        for name in r.sample(names, r.choice([0, 1, 2, 3, 5])):
            members.append((name, self.value(1, 0)))
        if not any(k == b'"enable"' for k, _ in members) and not members:
            members.append((b'"enable"', r.choice(wrong)))
        r.shuffle(members)
        arguments = b"{" + b",".join(k + b":" + v for k, v in members) + b"}"
        return b'{"execute":"qmp_capabilities","arguments":' + arguments + b',"id":7}'

    def mutated(self, text):
        r = self.random
        text = bytearray(text)
        for _ in range(r.choice([1, 1, 2, 4])):
            at = r.randrange(len(text) + 1)
            pick = r.random()
            if pick < 0.25:
                del text[at:at + r.choice([1, 1, 2, 5])]
            elif pick < 0.5:
                text[at:at] = r.choice(TOKENS)
            elif pick < 0.75:
                text[at:at + 1] = bytes([r.choice(
                    b"{}[]:,\"'\\ \t\n\x00\x7f\x80\xfe\xffeE.-+019anx%/")])
            elif pick < 0.9:
                text[at:at + 1] = bytes([r.randrange(256)])
            else:
                other = r.randrange(len(text) + 1)
                text[at:at] = text[min(at, other):max(at, other)][:20]
        return bytes(text)

    def message(self):
        r = self.random
        pick = r.random()
        if pick < 0.35:
            return self.mutated(self.command())
        if pick < 0.55:
            return self.command()
        if pick < 0.7:
            return b"".join(r.choice(TOKENS) for _ in range(r.randrange(1, 14)))
        if pick < 0.8:
            return self.value(4, 0.1)
        if pick < 0.9:
            return bytes(r.choice(b"{}[]:,\"'\\u dnaltrue01-.eE\n\x01\xff\x80") for _ in
                         range(r.randrange(1, 30)))
        return b"".join(self.mutated(self.command()) for _ in range(3))

    def chunk(self):
        """One or more messages, and what ends whatever they left open."""
        r = self.random
        text = self.message() + r.choice([b"", b" ", b"\n", b"]", b"}", b"\""])
        if r.random() < 0.5:
            text = r.choice([b" ", b"\n", b""]) + text
        return text


def deep(n, inner=b""):
    return b"[" * n + inner + b"]" * n


LIMITS = [
    deep(1024), deep(1025), deep(1025) + b"1 ", deep(1026, b"1 "),
    b'{"a":' * 1025 + b"1" + b"}" * 1025, b"[1 " * 1030 + b"]" * 1030,
    b"[" * 1030 + b"@" + b"]" * 5, b"[" * 1030 + b"}" + b"]" * 5,
    b"[" * 1024 + b"1 [" + b"]" * 1025, b"[" * 1024 + b"{" + b"}" + b"]" * 1024,
    b"[" * 1030 + b"nul" + b"]" * 1030 + b" nul ", b'"' + b"k" * 3000 + b'"', b"k" * 1100 + b" ",
    b'{"' + b"k" * 900 + b'":1,"id":2}', b'"' + b"k" * 900 + b"\x01", b"@" * 2000 + b"\n",
    b'{"execute":"query-name","id":' + deep(1023) + b"}",
    b'{"execute":"query-name","id":' + deep(1024) + b"}", b"\xff\xff\xff[\xff",
    b"GET / HTTP/1.1\r\nHost: x\r\n\r\n", b'{"id":NaN,"execute":"query-name"}',
    b"{" + b",".join(b'"k%d":1' % i for i in range(600)) + b"}",
    b'{"execute":"query-name","id":{' + b",".join(b'"k%d":%d' % (i, i) for i in range(700)) + b"}}",
]


# --- the comparison -------------------------------------------------------------------------------

def mark(number):
    return b'"mark-%d-kram"' % number


def stamped(number, data):
    """@data, then what makes the end of its answers known."""
    return data + FLUSH + b'{"execute":"query-name","id":' + mark(number) + b"}\n"


def passed_on(line):
    """QEMU's answer to what qmend would have passed on, in the words of qmp_answers."""
    match = EXECUTED.match(line)
    return b"accepted " + (match["a"] or match["b"] or b"") if match else None


def qmend_answers(stream, piece, located, chunks):
    """The lines of qmp_answers, divided by the marks."""
    run = subprocess.run([HELPER, str(piece)] + (["located"] if located else []), input=stream,
                         stdout=subprocess.PIPE, check=True)
    lines = run.stdout.split(b"\r\n")
    divided, at = [], 0
    for number in range(chunks):
        begin = at
        while at < len(lines) and mark(number) not in lines[at]:
            at += 1
        divided.append(lines[begin:at + 1])
        at += 1
    return divided


def same(ours, theirs):
    if len(ours) != len(theirs):
        return False
    return all(a == b or (a.startswith(b"accepted ") and a == passed_on(b))
               for a, b in zip(ours, theirs))


def answers_at_once(text, located):
    """How many answers @text gives, before QEMU has had the time to send one."""
    run = subprocess.run([HELPER, "99"] + (["located"] if located else []),
                         input=capabilities(True) + text + FLUSH, stdout=subprocess.PIPE,
                         check=True)
    return run.stdout.count(b"\r\n")


class Comparison:
    """Chunks sent to both, and what came back."""

    def __init__(self, qemu, located, piece, any_order=False):
        self.qemu, self.located, self.piece, self.any_order = qemu, located, piece, any_order

    def differences(self, first, chunks):
        self.qemu.connect()
        data = [stamped(i, c) for i, c in enumerate(chunks)]
        data[0] = first + data[0]
        theirs = [self.qemu.ask(d, mark(i)) for i, d in enumerate(data)]
        ours = qmend_answers(b"".join(data), self.piece, self.located, len(data))
        found = []
        for chunk, a, b in zip(chunks, ours, theirs):
            if self.any_order:  # out-of-band answers overtake others
                a, b = (sorted(passed_on(line) or line for line in lines) for lines in (a, b))
            if not same(a, b):
                found.append((chunk, a, b))
        return found


def show(found):
    for chunk, ours, theirs in found[:5]:
        print(f"#   sent:  {chunk[:400]!r}")
        for i in range(max(len(ours), len(theirs))):
            a = ours[i] if i < len(ours) else None
            b = theirs[i] if i < len(theirs) else None
            if a != b and not (a and b and a == passed_on(b)):
                print(f"#   qmend: {a!r}\n#   qemu:  {b!r}")
                break


def capabilities(oob):
    enable = b'"enable":["oob"]' if oob else b""
    return b'{"execute":"qmp_capabilities","arguments":{' + enable + b"}}"


def run_cases(qemu, located, count, seed):
    """Yield (name, differences)."""
    random_chunks = Messages(seed)
    plain = [random_chunks.chunk() for _ in range(count)]
    yield (f"{count} random messages", Comparison(qemu, located, 4096).differences(
        capabilities(False), plain))
    # With out-of-band enabled 7.2 reads on and aborts when one byte gives it its ninth request.
    few = [c for c in plain[:1000] if answers_at_once(c, located) < 6]
    yield (f"{len(few)} of them, byte by byte, out of band enabled",
           Comparison(qemu, located, 1, True).differences(capabilities(True), few))
    ids = Messages(seed + 1)
    echo = [b'{"execute":"query-name","id":' + ids.value(5, 0) + b"}" for _ in range(count)]
    yield (f"{count} random ids", Comparison(qemu, located, 7).differences(
        capabilities(False), echo))
    yield ("limits", Comparison(qemu, located, 1000).differences(capabilities(False), LIMITS))
    wrong = Messages(seed + 2)
    before = b"".join(wrong.negotiation() for _ in range(300)) + FLUSH
    yield ("300 wrong negotiations", Comparison(qemu, located, 3).differences(
        before + capabilities(True), [b""]))


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n", maxsplit=1)[0])
    parser.add_argument("--count", type=int, default=4000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("qemu", nargs=argparse.REMAINDER)
    options = parser.parse_args()
    command = options.qemu or ["qemu-system-x86_64"]
    if shutil.which(command[0]) is None or not os.path.exists(HELPER):
        print(f"1..0 # SKIP no {command[0]} or no {HELPER}")
        return 0
    failed = 0
    with tempfile.TemporaryDirectory(prefix="qmend-dialect-") as folder:
        qemu = Qemu(command, folder)
        try:
            qemu.connect()
            located = not qemu.ask(b'{1:1}{"execute":"x","id":"m"}', b'"m"')[0].startswith(
                b'{"error": {"class": "GenericError", "desc": "JSON parse error')
            print("1..5")
            for number, (name, found) in enumerate(
                    run_cases(qemu, located, options.count, options.seed), 1):
                show(found)
                print(f"{'not ok' if found else 'ok'} {number} - {name}", flush=True)
                failed += bool(found)
        finally:
            qemu.close()
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
