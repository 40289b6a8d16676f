# SPDX-License-Identifier: GPL-2.0-or-later
"""What the lint tests share: the list of files, and TAP."""

import os
import sys

SOURCE = os.environ.get("QMEND_SOURCE") or os.path.dirname(
    os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FOLDERS = ("qmp", "proxy", "tests", "scripts")


def files(*endings, folders=FOLDERS):
    """Paths relative to the source tree, sorted, of the project's files with these endings."""
    found = []
    for folder in folders:
        for where, below, names in os.walk(os.path.join(SOURCE, folder)):
            below[:] = [name for name in below if name not in ("corpus", "__pycache__")]
            found += [os.path.relpath(os.path.join(where, name), SOURCE)
                      for name in names if name.endswith(endings)]
    return sorted(found)


def scripts():
    """The files with a shell's first line."""
    found = []
    for path in files("", folders=("scripts", "tests", ".ci")):
        with open(os.path.join(SOURCE, path), "rb") as file:
            first = file.readline(100)
        if first.startswith(b"#!") and (b"bash" in first or first.rstrip().endswith(b"/sh")):
            found.append(path)
    return found


def text_of(path):
    with open(os.path.join(SOURCE, path), encoding="utf-8") as file:
        return file.read()


class Tap:
    """Count and print tests. finish() ends the program."""

    def __init__(self):
        self.count = 0
        self.failed = 0

    def check(self, name, faults):
        """@faults: the lines that say what is wrong; none: ok."""
        self.count += 1
        faults = list(faults)
        print(f"{'not ok' if faults else 'ok'} {self.count} - {name}")
        for fault in faults:
            print(f"# {fault}")
        sys.stdout.flush()
        self.failed += bool(faults)

    def finish(self):
        print(f"1..{self.count}")
        sys.exit(self.failed != 0)
