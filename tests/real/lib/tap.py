# SPDX-License-Identifier: GPL-2.0-or-later
"""TAP: a plan, numbered results, and comments for the figures."""

import os
import sys
import traceback


class Failed(Exception):
    """A test found something wrong; the text says what."""


def check(condition, text):
    if not condition:
        raise Failed(text)


def comment(text):
    for line in str(text).splitlines() or [""]:
        print(f"# {line}", flush=True)


def skip_all(reason):
    print(f"1..0 # SKIP {reason}", flush=True)
    sys.stdout.flush()
    os._exit(77)


def run(tests, describe=None):
    """Run the (title, function) pairs in order. A test that raises is "not ok", with the reason as
    a comment. With @describe each builds on the one before: its text is added to the reason, and
    the tests after a failure are not tried. Returns the exit status."""
    failures = 0
    print(f"1..{len(tests)}", flush=True)
    for number, (title, function) in enumerate(tests, 1):
        if failures and describe:
            failures += 1
            print(f"not ok {number} - {title}", flush=True)
            comment("not tried")
            continue
        try:
            function()
        except Exception as error:  # pylint: disable=broad-except
            failures += 1
            print(f"not ok {number} - {title}", flush=True)
            comment(error if isinstance(error, Failed) else traceback.format_exc())
            if describe:
                comment(describe())
        else:
            print(f"ok {number} - {title}", flush=True)
    return 1 if failures else 0


def median(values):
    ordered = sorted(values)
    middle = len(ordered) // 2
    if len(ordered) % 2:
        return ordered[middle]
    return (ordered[middle - 1] + ordered[middle]) / 2


def summary(values):
    return (f"median {median(values):.1f}, least {min(values):.1f}, most {max(values):.1f} ms "
            f"of {len(values)}: " + " ".join(f"{value:.1f}" for value in values))
