#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-2.0-or-later
"""What a client gets through qmend is what QEMU would have sent: negotiation, ids, garbage, errors.

Each case is one dialogue, played against a real QEMU and through qmend (lib/same.py). No case
leaves anything behind in QEMU, so all share one pair.
"""

import os
import random
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "lib"))
# pylint: disable=wrong-import-position
import same
from same import HELLO, HELLO_OOB
from tap import case, check, equal, run

PAIR = same.Shared()


def dialogue(name, hello=True, oob=False):
    """Register a dialogue as a case."""
    def register(function):
        case(name)(lambda: same.same(function, PAIR.get(), hello, oob))
        return function
    return register


def text(name, data, hello=True, oob=False, before=b"\n"):
    """Register: send @data, then a valid command, take everything."""
    def play(talk):
        talk.send(data)
        talk.sync(before)
    dialogue(name, hello, oob)(play)


def answered(name, data, hello=True, oob=False, lines=1):
    """Register: send @data and wait for its answers before the next command, because QEMU itself
    answers what is in band and what is not in either order."""
    def play(talk):
        talk.step(data, lines)
        talk.sync()
    dialogue(name, hello, oob)(play)


def raw(value):
    return value if isinstance(value, bytes) else value.encode("utf-8")


# ---- negotiation

@dialogue("greeting, then nothing", hello=False)
def _(talk):
    talk.until_quiet(0.05)


@dialogue("every negotiation error, then success, then once more", hello=False)
def _(talk):
    for line in (
            b'{"execute":"query-version"}', b'{"execute":"nosuch","id":1}',
            b'{"execute":"query-commands","arguments":{"x":1},"id":2}',
            b'{"execute":"qmp_capabilities","arguments":{"enable":["bogus"]},"id":3}',
            b'{"execute":"qmp_capabilities","arguments":{"enable":["oob","bogus"]},"id":3}',
            b'{"execute":"qmp_capabilities","arguments":{"enable":["oob"],"x":1}}',
            b'{"execute":"qmp_capabilities","arguments":{"enable":"oob"},"id":4}',
            b'{"execute":"qmp_capabilities","arguments":{"enable":[1]},"id":5}',
            b'{"execute":"qmp_capabilities","arguments":{"enable":[null]},"id":5}',
            b'{"execute":"qmp_capabilities","arguments":{"enable":null},"id":5}',
            b'{"execute":"qmp_capabilities","arguments":{"enable":{}},"id":5}',
            b'{"execute":"qmp_capabilities","arguments":{"enable":[["oob"]]},"id":5}',
            b'{"execute":"qmp_capabilities","arguments":[],"id":6}',
            b'{"execute":"qmp_capabilities","arguments":null,"id":6}',
            b'{"execute":"qmp_capabilities","x":null,"id":6}',
            b'{"exec-oob":"qmp_capabilities"}', b'{"exec-oob":"query-name","id":7}',
            b'{"exec-oob":"query-yank","id":7}', b'{"execute":"stop","exec-oob":"yank","id":8}',
            b'{"execute":5,"id":9}', b'{"id":10}', b'{}', b'[] ', b'5 ', b'nul ',
            b'{"execute":"","id":11}', b"{'execute':'x','id':'single'}",
            b'{"execute":"qmp_capabilities","id":{"a":[1,2,null]}}',
            b'{"execute":"qmp_capabilities"}', b'{"execute":"qmp_capabilities","id":null}',
            b'{"execute":"qmp_capabilities","arguments":{"enable":["oob"]},"id":"late"}',
            b'{"exec-oob":"query-yank","id":12}', b'{"execute":"query-name"}'):
        talk.step(line + b"\r\n")


for _name, _arguments in (
        ("nothing", b""), ("an empty object", b',"arguments":{}'),
        ("an empty list", b',"arguments":{"enable":[]}'),
        ("oob", b',"arguments":{"enable":["oob"]}'),
        ("oob twice", b',"arguments":{"enable":["oob","oob"]}')):
    answered(f"negotiation with {_name}, exec-oob afterwards",
             b'{"execute":"qmp_capabilities"' + _arguments + b'} {"exec-oob":"query-yank","id":1}\n',
             hello=False, lines=2)

text("negotiation and commands in one write",
     HELLO + b'{"execute":"query-name","id":1}{"execute":"query-status","id":2}', hello=False)
text("commands around the negotiation in one write",
     b'{"execute":"query-name","id":1}' + HELLO + b'{"execute":"query-name","id":2}' + HELLO,
     hello=False)


@dialogue("negotiation byte by byte", hello=False)
def _(talk):
    talk.split(HELLO_OOB)
    talk.wait()
    talk.sync()


# ---- ids

IDS = {
    "1": "1", "0": "0", "-1": "-1", "-0": "-0", "-0.0": "-0.0", "0.0": "0.0", "1e3": "1e3",
    "1E3": "1E3", "1.0": "1.0", "0.1": "0.1", "1e-7": "1e-7", "1e300": "1e300",
    "1e400": "1e400", "-1e400": "-1e400", "1e-400": "1e-400", "123456.789e3": "123456.789e3",
    "3.141592653589793238": "3.141592653589793238", "2^53+1": "9007199254740993",
    "2^63-1": "9223372036854775807", "2^63": "9223372036854775808",
    "-2^63": "-9223372036854775808", "-2^63-1": "-9223372036854775809",
    "2^64-1": "18446744073709551615", "2^64": "18446744073709551616",
    "a hundred digits": "1" * 100, "null": "null", "true": "true", "false": "false",
    "an empty string": '""', "escaped slash": '"a\\/b"', "a slash": '"a/b"',
    "every short escape": r'"\"\\\/\b\f\n\r\t"', "an escaped apostrophe": r'"\'"',
    "non-ASCII": '"é ö 漢"', "escaped non-ASCII": r'"\u00e9 \u6f22"',
    "surrogate pair": r'"\uD83D\uDE00"', "lower case surrogate pair": r'"\ud83d\ude00"',
    "beyond the BMP in UTF-8": '"😀"', "DEL": '"\x7f"', "C1": '"\u0080\u009f"',
    "U+0000 escaped": r'"a\u0000b"', "U+FFFD": '"\ufffd"', "U+10FFFF": r'"\udbff\udfff"',
    "U+2028": '"\u2028"', "single quotes": "'x'", "single quotes around double": "'a\"b'",
    "single quotes with escapes": r"'a\'b\"c\\'", "percent": '"%s %p %%"',
    "control characters escaped": r'"\u0001\u001f"', "angle brackets": '"<&>"',
    "an empty object": "{}", "an empty array": "[]", "array with blanks": "[ 1 ,2,\t3 ]",
    "an object": '{"b":1,"a":2}', "keys of several hash buckets":
        '{"z":1,"y":{"x":[]},"execute":"stop","id":7,"return":{},"error":{},"a":0,"B":[{}],"":1}',
    "many keys": "{" + ",".join(f'"k{n}":{n}' for n in range(60)) + "}",
    "nested mixed": '[[{"a":[1.5,-0,{"b":null}]}],"x",[[]]]',
    "an array of 500": "[" * 500 + "]" * 500, "objects 500 deep": '{"a":' * 500 + "1" + "}" * 500,
    "an array of 1022": "[" * 1022 + "]" * 1022, "an array of 1023": "[" * 1023 + "]" * 1023,
    "a long string": '"' + "x" * 20000 + '"', "a pair like qmend's own": "[7, 1]",
    "a pair like qmend's own, huge": "[18446744073709551615, [3, null]]",
    "a list of one": "[5]",
}
for _name, _id in IDS.items():
    text(f"id: {_name}", b'{"execute":"query-name","id":' + raw(_id) + b'}\n'
         b'{"id":' + raw(_id) + b',"execute":"nosuch"} '
         b'{"execute":"query-version","id":' + raw(_id) + b'}'
         b'{"execute":"query-version" , "id" : ' + raw(_id) + b' , "arguments":{"x":1}}')

text("id: absent, in all places", b'{"execute":"query-name"}{"execute":"nosuch"}'
     b'{"execute":"query-version"}{"execute":"query-version","arguments":{"x":1}}{}')
text("id: first, middle, last, with escaped key",
     b'{"id":1,"execute":"query-name","arguments":{}}{"execute":"query-name","id":2,"arguments":{}}'
     b'{"execute":"query-name","arguments":{},"id":3}{"execute":"query-name","\\u0069d":4}'
     b"{'execute':'query-name','id':5}{\"\\u0065xecute\":\"query-\\u006eame\",\"id\":6}")
text("id: the word in other places",
     b'{"execute":"query-name","arguments":{"id":1}}'
     b'{"execute":"qom-get","arguments":{"path":"/id","property":"id"},"id":"id"}'
     b'{"execute":"id","id":"execute"}')
text("id: pipelined twins", b'{"execute":"query-name","id":"same"}' * 5
     + b'{"execute":"query-version","id":"same"}' * 5)

# ---- framing

text("concatenated values", b'{"execute":"query-name"}{"execute":"query-name","id":2}[1] 5 "x" ')
text("CR LF", b'{"execute":"query-name","id":1}\r\n\r\n\r\n{"execute":"query-name","id":2}\r\n')
text("blanks and line ends inside",
     b' \t\r\n{\r\n\t"execute" : \n"query-name" ,\r\n"id"\t:\r1 }\n\n')
text("no line end at all", b'{"execute":"query-name","id":1}', before=b"")


@dialogue("a command split at every byte")
def _(talk):
    line = '{"execute" : "query-name", "id":[1.5e1,"é\\u00e9😀",\'x\'] }'.encode()
    for at in range(1, len(line)):
        talk.send(line[:at])
        if at % 8 == 0:
            talk.pause(0.002)
        talk.step(line[at:])


@dialogue("a mixed stream byte by byte")
def _(talk):
    stream = (b'{"execute":"query-name","id":1}{"execute":"nosuch"}[1]nul {"a":tru}\xff'
              b'{"execute":"query-version","id":"\xc3\xa9"}"x"5 {"execute":"query-name","id":2}')
    talk.split(stream)
    talk.sync()


@dialogue("a mixed stream in pieces of 7")
def _(talk):
    stream = (b'{"execute":"query-name","id":1}{"execute":"nosuch"}[1]nul {"a":tru}\xff'
              b'{"execute":"query-version","id":"\xc3\xa9"}"x"5 {"execute":"query-name","id":2}')
    talk.split(stream * 3, 7)
    talk.sync()


# ---- garbage

GARBAGE = [
    b'5 ', b'-5 ', b'5.5 ', b'"x" ', b"'x' ", b'true ', b'false ', b'null ', b'[1] ', b'[] ', b'{} ',
    b'5', b'tru', b'5"x"', b'1 2 3 ', b'123abc ', b'truefalse ', b'nulll ', b'5{}', b'[][]',
    b'{"id":NaN,"execute":"query-name"}', b'NaN ', b'Infinity ', b'-Infinity ', b'TRUE ',
    b'Null ', b'True ', b'undefined ', b'{"a":1 // c }', b'/* c */ ', b'# c\n',
    b'GET / HTTP/1.1\r\nHost: x\r\n\r\n', b'POST /x HTTP/1.1\r\n\r\n{"execute":"query-name"}',
    b'\xff', b'\xff\xff\xff', b'{"execute":"query-\xff', b'{"execute":"query-name"\xff',
    b'[[[\xff', b'{\xff', b'"abc\xff', b"'abc\xff", b'\xfe', b'"a\xfe"', b'{"a\xfe":1}',
    b'\x00', b'\x00\x00', b'{"execute":"query-name\x00"}', b'{"a":\x00}', b'\x01', b'\x1f',
    b'\x7f', b'\x80', b'\xc3', b'\xef\xbb\xbf{"execute":"query-name"}', b'\v', b'\f', b'\x1b[A',
    b'[' * 1024 + b']' * 1024, b'[' * 1025 + b']' * 1025, b'[' * 1030 + b']' * 1030,
    b'{"a":' * 1024 + b'1' + b'}' * 1024, b'{"a":' * 1025 + b'1' + b'}' * 1025,
    b'{"execute":"query-name","execute":"query-name"}', b'{"id":1,"id":2,"execute":"query-name"}',
    b'{"execute":"query-name","id":{"a":1,"a":2}}', b'{"a":1,"\\u0061":2}',
    b'{"execute":"query-name","arguments":{"a":1,"a":1}}', b'{"a":1,"a":',
    b'{"execute":"query-name",}', b'[1,]', b'[,1]', b'[,]', b'{,}', b'{1:2}', b'{"a"}', b'{"a":}',
    b'{"a" 1}', b'{"a":1 "b":2}', b'{"a":1,,"b":2}', b'{:1}', b'{"a"::1}', b'[1 2]', b'[1:2]',
    b'{null:1}', b'{[]:1}', b'{{}:1}', b'{]', b'[}', b'{"a":[}', b'{"a":1]', b'}', b']', b'}}}',
    b',', b':', b'::', b',,', b'{"a":1}}', b'[1]]', b'{"execute":"query-name"}]',
    b'01 ', b'-01 ', b'00 ', b'+1 ', b'1. ', b'.5 ', b'1e ', b'1e+ ', b'1.e1 ', b'- ', b'-- ',
    b'0x10 ', b'1_000 ', b'1e5.5 ', b'--1 ', b'[01]', b'[-]', b'[1.]', b'[+1]',
    b'"a\tb"', b'"a\nb"', b'"a\rb"', b"'a\nb'", b'"\x01"', b'"\x1f"', b'{"execute":"a\tb"}',
    rb'"\x41"', rb'"\a"', rb'"\0"', rb'"\v"', rb'"\u12"', rb'"\u123"', rb'"\uzzzz"', rb'"\U0041"',
    rb'"\u"', b'"\\\n"', b'"\\\xff"', rb'"\ud800"', rb'"\udc00"', rb'"\ud800\u0041"',
    rb'"\ud800\ud800"', rb'"\ud800x"', rb'"\udfff\ud800"', rb'"\ufffe"', rb'"\uffff"', rb'"\ufdd0"',
    rb'"\ud83f\udffe"', rb'{"id":"\ud800","execute":"query-name"}', rb'{"\ud800":1}',
    b'"\xed\xa0\x80"', b'"\xed\xb0\x80"', b'"\xef\xbf\xbe"', b'"\xef\xbf\xbf"', b'"\xef\xb7\x90"',
    b'"\xc0\x80"', b'"\xc0\x81"', b'"\xc1\xbf"', b'"\xe0\x80\x80"', b'"\xe0\x9f\xbf"',
    b'"\xf0\x80\x80\x80"', b'"\xf4\x90\x80\x80"', b'"\xf5\x80\x80\x80"', b'"\xf8\x88\x80\x80\x80"',
    b'"\x80"', b'"\xc3"', b'"\xc3("', b'"\xe2\x82"', b'"\xe2\x28\xa1"', b'"\xf0\x9f\x98"',
    b'"\xf0\x9f\x98x"', b'{"execute":"\xc3("}', b'{"execute":"query-name","id":"\xe2\x82"}',
    b'%p ', b'%d ', b'"%p" ', b'%i64 ', b'{"id":%p}', b'[%s]', b'%%', b'%', b'\\', b'"\\"',
    b'@', b'$x ', b'!', b'~', b'=', b';', b'(1)', b'`', b'<xml/>', b'a', b'abc def ', b'_ ',
    b"{'execute':\"query-name\"}", b"{'execute':'query-name','id':'a\"b'}", b"''' ",
    b'{"execute":"query-name"',
    b'{"execute":"query-name","id":1,"arguments":{"a":[1,2,{"b":tru}]}}',
    b'{"execute":"query-name","id":1 x}', b'[{"a":[nul]},{"execute":"query-name"}]',
    b'{"execute":nul,"id":"\xc3\xa9"}{"execute":"query-name","id":"next"}',
    b'"' + b'x' * 5000 + b'\x01"', b'[' + b'x' * 5000 + b']', b'x' * 5000 + b' ',
    b'{"execute":"' + b'x' * 3000 + b'"}', b'{"' + b'k' * 3000 + b'":1}',
    b'{"execute":"query-name","id":"' + b'y' * 3000 + b'","' + b'z' * 3000 + b'":1}',
]
# Texts that are still open at their end; 0xFF makes QEMU forget them.
OPEN = [b'{"execute":"query-name"', b'"abc', b"'abc", b'[1', b'[', b'{', b'{"a":', b'{"a', b'"\\',
        b'{"execute":"query-name","arguments":{"x":"', b'[1,[2,{"a":"', b'1', b'nul', b'-', b'%',
        b'1.', b'1e', b'"\\u00', b'"\xc3', b'{"a":1,"a":']


def printable(data):
    shown = "".join(chr(c) if 32 < c < 127 else f"\\x{c:02x}" for c in data[:40])
    return shown + (f"... {len(data)} bytes" if len(data) > 40 else "")


for _data in GARBAGE:
    text(f"garbage: {printable(_data)}", _data, before=b"\n\xff\n" if _data in (
        b'{"a":1,"a":', b'{"execute":"query-name"', b'"\\"', b"''' ", b'{"a":[}') else b"\n")
    text(f"garbage before negotiation: {printable(_data)}", _data + b"\xff" + HELLO, hello=False)
for _data in OPEN:
    text(f"left open: {printable(_data)}", _data, before=b"\xff\n")
    text(f"left open, control character: {printable(_data)}", _data, before=b"\x02\n")


@dialogue("two million tokens in one text")
def _(talk):
    talk.patience = 60  # QEMU reads byte by byte
    count = 2 * 1024 * 1024
    talk.send(b"[" + b"1," * (count // 2 - 1) + b"1")  # exactly the limit
    talk.send(b",")
    talk.sync()


# ---- the envelope

ENVELOPE = [
    b'{"execute":"nosuch"}', b'{"execute":"nosuch","id":1}', b'{"execute":"","id":1}',
    b'{"execute":"QUERY-NAME","id":1}', b'{"execute":"query_name","id":1}',
    b'{"execute":" query-name","id":1}', b'{"execute":"query-name\\u0000","id":1}',
    b'{"execute":"nosuch\\u0000x","id":1}', b'{"execute":"\xc3\xa9","id":1}',
    b'{"execute":"' + b'n' * 500 + b'","id":1}', b'{"execute":"a\'b\\"c\\\\d","id":1}',
    b'{"execute":5,"id":1}', b'{"execute":null,"id":1}', b'{"execute":[],"id":1}',
    b'{"execute":{},"id":1}', b'{"execute":true,"id":1}', b'{"execute":["query-name"],"id":1}',
    b'{"id":1}', b'{"arguments":{},"id":1}', b'{"arguments":[],"id":1}', b'{"x":1}',
    b'{"execute":"query-name","x":1,"id":1}', b'{"x":1,"execute":"query-name","id":1}',
    b'{"execute":"query-name","control":{"run-oob":true},"id":1}', b'{"execute":5,"x":1,"id":1}',
    b'{"execute":"nosuch","x":1,"id":1}', b'{"x":1,"y":2,"z":3,"id":1}', b'{"":1,"id":1}',
    b'{"x\\"y\xc3\xa9":1,"id":1}', b'{"Execute":"query-name","id":1}',
    b'{"execute":"query-name","exec":1,"id":1}', b'{"execute":"query-name","return":{},"id":1}',
    b'{"execute":"query-name","arguments":null,"id":1}',
    b'{"execute":"query-name","arguments":[],"id":1}',
    b'{"execute":"query-name","arguments":"","id":1}',
    b'{"execute":"query-name","arguments":0,"id":1}',
    b'{"execute":"query-name","arguments":{},"id":1}',
    b'{"execute":"query-name","arguments":{"x":1},"id":1}',
    b'{"execute":"query-name","arguments":{"x":1,"y":2},"id":1}',
    b'{"execute":"query-version","arguments":{},"id":1}',
    b'{"execute":"query-version","arguments":{"x":1},"id":1}',
    b'{"execute":"query-qmp-schema","arguments":{"x":1},"id":1}',
    b'{"execute":"query-commands","arguments":null,"id":1}',
    b'{"execute":"qom-get","arguments":{},"id":1}',
    b'{"execute":"qom-get","arguments":{"path":1,"property":2},"id":1}',
    b'{"execute":"qom-list","arguments":{"path":"/"},"id":1}',
    b'{"execute":"device-list-properties","arguments":{"typename":"nosuch"},"id":1}',
    b'{"execute":"device_add","arguments":{"driver":"nosuch"},"id":1}',
    b'{"execute":"human-monitor-command","arguments":{"command-line":"bogus"},"id":1}',
    b'{"execute":"human-monitor-command","arguments":{"command-line":"info status"},"id":1}',
    b'{"execute":"query-name","exec-oob":"query-yank","id":1}',
    b'{"exec-oob":"query-yank","execute":"query-name","id":1}',
    b'{"exec-oob":"query-yank","id":1}', b'{"exec-oob":"query-name","id":1}',
    b'{"exec-oob":"nosuch","id":1}', b'{"exec-oob":"qmp_capabilities","id":1}',
    b'{"exec-oob":5,"id":1}', b'{"exec-oob":"query-yank","arguments":{"x":1},"id":1}',
    b'{"exec-oob":"query-yank","arguments":[],"id":1}', b'{"exec-oob":"query-yank","x":1,"id":1}',
    b'{"exec-oob":"query-yank"}', b'{"exec-oob":"yank","arguments":{"instances":[]},"id":1}',
    b'{"exec-oob":"yank","arguments":{"instances":[{"type":"chardev","id":"no"}]},"id":1}',
    b'{"exec-oob":"migrate-pause","id":1}', b'{"execute":"migrate-pause","id":1}',
    b'{"execute":"query-yank","id":1}', b'{"execute":"yank","arguments":{"instances":[]},"id":1}',
    b'{"exec-oob":"query-version","id":1}', b'{"exec-oob":"query-qmp-schema","id":1}',
    b'{"exec-oob":"getfd","arguments":{"fdname":"x"},"id":1}',
    b'{"execute":"qmp_capabilities","id":1}',
    b'{"execute":"qmp_capabilities","arguments":{"x":1},"id":1}',
    b'{"execute":"qmp_capabilities","arguments":[],"id":1}',
    b'{"execute":"getfd","arguments":{"fdname":"x"},"id":1}', b'{"execute":"getfd","id":1}',
    b'{"execute":"getfd","arguments":{"fdname":"1x"},"id":1}',
    b'{"execute":"closefd","arguments":{"fdname":"nosuch"},"id":1}',
    b'{"execute":"remove-fd","arguments":{"fdset-id":99},"id":1}', b'{"execute":"add-fd","id":1}',
    b'{"execute":"query-fdsets","id":1}',
]
for _data in ENVELOPE:
    text(f"envelope: {printable(_data)}", _data)
    answered(f"envelope, oob enabled: {printable(_data)}", _data, oob=True)


# ---- amounts

MIXED = [b'{"execute":"query-name"}', b'{"execute":"query-status","id":1}',
         b'{"execute":"query-version","id":"v"}\r\n', b'{"execute":"nosuch","id":[2]}',
         b'{"execute":"query-commands"}\n', b"{'execute':'query-kvm','id':null}", b'[1]', b'5 ',
         b'{"execute":"qom-list","arguments":{"path":"/"},"id":{"a":1}}', b'nul ',
         b'{"execute":"query-qmp-schema","id":5}', b'{"execute":"query-name","arguments":{"x":1}}',
         b'{"exec-oob":"query-yank","id":6}', b'{"execute":"query-version","arguments":{"x":1}}',
         b'{"execute":"qmp_capabilities","id":7}', b'{"execute":"query-block","id":1e3}',
         b'{"execute":"qom-list-types","id":8}', b'{"execute":"query-chardev","id":0.1}',
         b'{"id":NaN}', b'{"execute":"query-uuid","id":9}\n\n']


@dialogue("200 commands of mixed kinds, pipelined")
def _(talk):
    chooser = random.Random(1)
    talk.send(b"".join(chooser.choice(MIXED) for _ in range(200)))
    talk.sync()


@dialogue("200 commands of mixed kinds, one by one, no sooner than the last was answered")
def _(talk):
    chooser = random.Random(2)
    for _ in range(60):
        talk.send(chooser.choice(MIXED))
        talk.sync()


@dialogue("the schema, read slowly")
def _(talk):
    talk.send(b'{"execute":"query-qmp-schema","id":"schema"}{"execute":"query-name","id":"then"}')
    while b'"then"' not in talk.client.got[-60:]:
        check(talk.client.receive(10, 4096), "nothing more came")
        talk.pause(0.001)
    talk.client.position = len(talk.client.got)
    check(len(talk.client.got) > 150000, "the schema is too short")


@dialogue("the schema five times, unread for a while")
def _(talk):
    talk.send(b'{"execute":"query-qmp-schema","id":1}' * 5)
    talk.pause(0.3)
    talk.sync()


@dialogue("1000 commands sent before the first reply is read")
def _(talk):
    talk.send(b"".join(b'{"execute":"query-%s","id":%d}\n' % (name, n) for n in range(500)
                       for name in (b"name", b"version")))
    talk.sync()


@dialogue("a command of 256 KiB")
def _(talk):
    talk.send(b'{"execute":"qom-get","arguments":{"path":"' + b"p" * (1 << 18)
              + b'","property":"x"},"id":1}')
    talk.sync()


@dialogue("an id of 100 KB, twice")
def _(talk):
    line = b'{"execute":"query-name","id":["' + b"i" * 100000 + b'"]}\n'
    talk.send(line * 2)
    talk.sync()


# ---- mutations: seeded, the same in every run

SEEDS = [b'{"execute":"query-name","id":1}', b'{"execute":"nosuch","arguments":{},"id":"x"}',
         b"{'execute':'query-status','id':{'a':[1,2.5,null,true]}}",
         b'{"id":"\xc3\xa9\\ud83d\\ude00","execute":"query-version","arguments":{}}',
         b'{"exec-oob":"query-yank","id":[]}', b'{"execute":"query-uuid","id":-1.5e10}',
         b'{"execute":"qom-list","arguments":{"path":"/"},"id":18446744073709551615}']
PIECES = [b'"', b"'", b"\\", b"{", b"}", b"[", b"]", b",", b":", b" ", b"\n", b"\t", b"0", b"-", b".",
          b"e", b"1e999", b"null", b"true", b"nul", b"\x00", b"\x01", b"\x7f", b"\x80", b"\xc3",
          b"\xed\xa0\x80", b"\xf0\x9f\x98\x80", b"\\u", b"\\ud800", b"\\u0000", b"%", b"\xff",
          b"\xfe", b'"id":1,', b'"x":', b"/", b"e5", b"\\'", b"execute", b"99999999999999999999"]


def mutate(chooser, seed):
    data = bytearray(seed)
    for _ in range(chooser.randint(1, 3)):
        at = chooser.randrange(len(data) + 1)
        kind = chooser.randrange(5)
        if kind == 0:
            data[at:at] = chooser.choice(PIECES)
        elif kind == 1:
            del data[at:at + chooser.randint(1, 4)]
        elif kind == 2 and at < len(data):
            data[at] = chooser.randrange(256)
        elif kind == 3:
            data[at:at + 1] = chooser.choice(PIECES)
        else:
            data[at:at] = data[chooser.randrange(len(data) + 1):][:chooser.randint(1, 12)]
    return bytes(data)


def mutations(seed, count, pause):
    """Every mutated text is followed by its number, so that a difference names its text."""
    chooser = random.Random(seed)
    texts = [mutate(chooser, chooser.choice(SEEDS)) for _ in range(count)]

    def play(talk):
        for number, data in enumerate(texts):
            talk.number = number
            if pause and talk.direct:
                # QEMU 7.2 with oob enabled aborts when errors pile up (an assertion in
                # handle_qmp_command(): one byte may complete two messages, and eight are the limit)
                talk.split(data, 2, 0.0002)
            else:
                talk.send(data)
            talk.pause(pause)
            talk.sync(b"\xff\n")
    return texts, play


def answers(transcript, oob):
    """The answers to each text. Those out of band may overtake others: the order is not kept."""
    found, part = [], []
    for line in transcript.splitlines():
        part.append(line)
        if b'"sync-' in line:
            found.append(sorted(part) if oob else part)
            part = []
    return found


def compare_answers(texts, one, two):
    """Name the first text that was answered differently."""
    for data, left, right in zip(texts, one, two):
        check(left == right, f"answered differently: {data!r}\n  QEMU:  {left}\n  qmend: {right}")
    equal(len(one), len(two), "how many were answered")


def differential(seed):
    def play_both():
        texts, play = mutations(seed, 200, 0)
        one, two = (answers(same.play(play, side), False) for side in PAIR.get())
        compare_answers(texts, one, two)
    return play_both


def differential_oob(seed):
    """What is out of band may be answered late, on a loaded machine: then it is given more time."""
    def play_both():
        for pause in (0.01, 0.1):
            texts, play = mutations(seed, 60, pause)
            one, two = (answers(same.play(play, side, oob=True), True) for side in PAIR.get())
            if one == two:
                return
        compare_answers(texts, one, two)
    return play_both


for _seed in range(3):
    case(f"200 mutated texts, seed {_seed}")(differential(_seed))
    case(f"60 mutated texts, oob enabled, seed {_seed}")(differential_oob(_seed))

if __name__ == "__main__":
    run()
