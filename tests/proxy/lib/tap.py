# SPDX-License-Identifier: GPL-2.0-or-later
"""TAP for the black-box tests: cases are functions, every wait has a deadline.

A test file decorates its cases with @case("name") and ends with run().  A case passes when it
returns, fails when it raises, and is skipped when it raises Skip.  Names given on the command
line select cases (substring).  A watchdog ends the whole file after QMEND_TEST_LIMIT seconds.
"""

import atexit
import faulthandler
import os
import shutil
import sys
import tempfile
import threading
import time
import traceback

LIMIT = float(os.environ.get("QMEND_TEST_LIMIT", "250"))
# How long to wait for something that must happen. Tests end as soon as it happened.
PATIENCE = float(os.environ.get("QMEND_TEST_PATIENCE", "10"))
# How long to look whether something happens that must not happen.
QUIET = float(os.environ.get("QMEND_TEST_QUIET", "0.15"))

_cases = []
_cleanups = []
_kept = []
_children = []


class Skip(Exception):
    """Raised by a case that cannot run here; the text is its reason."""


class Failure(AssertionError):
    """What a check found wrong."""


def case(name):
    """Register a function as one test case."""
    def register(function):
        _cases.append((name, function))
        return function
    return register


def check(condition, text="", *details):
    """Fail the case when @condition is false; @details are shown, long ones cut."""
    if condition:
        return
    shown = [text or "check failed"] + [shorten(d) for d in details]
    raise Failure("\n".join(shown))


def equal(got, expected, text=""):
    """Fail when @got is not @expected."""
    if got != expected:
        raise Failure(f"{text}\n  got:      {shorten(got)}\n  expected: {shorten(expected)}")


def shorten(value, limit=600):
    """A printable form of @value that does not flood the log."""
    text = value if isinstance(value, str) else repr(value)
    if len(text) <= limit:
        return text
    return f"{text[:limit // 2]} ...[{len(text)} characters]... {text[-limit // 2:]}"


def wait_until(condition, what, timeout=None):
    """Poll @condition until it is true and return its value; Failure after @timeout seconds."""
    end = time.monotonic() + (PATIENCE if timeout is None else timeout)
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise Failure(f"waited in vain: {what}")
        time.sleep(0.005)


def stays_so(condition, what, seconds=None):
    """Fail when @condition becomes false within @seconds."""
    end = time.monotonic() + (QUIET if seconds is None else seconds)
    while time.monotonic() < end:
        if not condition():
            raise Failure(what)
        time.sleep(0.005)


def cleanup(function):
    """Have @function called after the running case, last registered first."""
    _cleanups.append(function)


def child(process):
    """Have @process killed when this program ends, however it ends."""
    _children.append(process)
    return process


def _kill_children():
    for process in _children:
        if process.poll() is None:
            process.kill()


atexit.register(_kill_children)


def _give_up():
    faulthandler.dump_traceback(all_threads=True)
    print(f"Bail out! not done after {LIMIT:.0f} s", flush=True)
    _kill_children()
    if _root:
        shutil.rmtree(_root, ignore_errors=True)
    os._exit(1)


def keep(make):
    """Call @make; the clean-ups it registers wait for the end of the file."""
    outer = list(_cleanups)
    _cleanups.clear()
    try:
        return make()
    finally:
        _kept.extend(_cleanups)
        _cleanups[:] = outer


def _clean_up(cleanups):
    problems = []
    while cleanups:
        function = cleanups.pop()
        try:
            function()
        except Exception as error:  # a clean-up that fails fails the case, but not the others
            problems.append(error)
    return problems


_root = None


def folder(name):
    """A new folder below this run's temporary folder; short, as socket paths must be."""
    global _root
    if _root is None:
        _root = tempfile.mkdtemp(prefix="qm", dir=os.environ.get("TMPDIR", "/tmp"))
        if not os.environ.get("QMEND_TEST_KEEP"):
            atexit.register(shutil.rmtree, _root, ignore_errors=True)
    return tempfile.mkdtemp(prefix=name, dir=_root)


def _diagnose(text):
    for line in str(text).splitlines():
        printable = line.encode("ascii", "backslashreplace").decode()
        print(f"# {printable}")


def run_case(number, name, function):
    """Run one case and print its line; true when it did not fail."""
    start = time.monotonic()
    result, reason, skip = "ok", "", ""
    try:
        function()
    except Skip as why:
        skip = f" # SKIP {why}"
    except Failure as why:
        where = traceback.extract_tb(why.__traceback__)
        place = [f"{os.path.basename(f.filename)}:{f.lineno}" for f in where
                 if f.name not in ("check", "equal", "run_case")]
        result, reason = "not ok", f"{why}\nat {' > '.join(place)}"
    except Exception:
        result, reason = "not ok", traceback.format_exc()
    for problem in _clean_up(_cleanups):
        result, reason = "not ok", f"{reason}\n{problem}"
    took = time.monotonic() - start
    name = name.replace("#", "\\#")
    print(f"{result} {number} - {name}{skip}" + (f" ({took:.1f} s)" if took > 1 else ""))
    if reason:
        _diagnose(reason)
    sys.stdout.flush()
    return result == "ok"


def _end_kept():
    problems = _clean_up(_kept)
    check(not problems, "\n".join(str(problem) for problem in problems))


def run(argv=None):
    """Run the registered cases; the exit status is 0 when none failed."""
    names = sys.argv[1:] if argv is None else argv
    if names == ["--list"]:
        print("\n".join(name for name, _ in _cases))
        sys.exit(0)
    chosen = [(n, f) for n, f in _cases if not names or any(part in n for part in names)]
    watchdog = threading.Timer(LIMIT, _give_up)
    watchdog.daemon = True
    watchdog.start()
    print("TAP version 13")
    if not os.access(os.environ.get("QMEND", ""), os.X_OK) and \
            os.environ.get("QMEND_TEST_SELF") != "1":
        print("Bail out! QMEND is not the path of a qmend binary")
        sys.exit(1)
    failed = 0
    for number, (name, function) in enumerate(chosen, 1):
        failed += not run_case(number, name, function)
    failed += not run_case(len(chosen) + 1, "what all cases shared ends well", _end_kept)
    print(f"1..{len(chosen) + 1}")
    if failed:
        print(f"# {failed} of {len(chosen)} failed")
    watchdog.cancel()
    sys.exit(1 if failed else 0)
