# SPDX-License-Identifier: GPL-2.0-or-later
"""One import for the black-box tests: TAP, a client, a real QEMU, a scripted one, qmend."""

# pylint: disable=unused-import
from client import Client, Ended, File, command, encode
from daemon import (BINARY, SOURCE, Qmend, command_line, listening, sanitized, stale_socket,
                    write_policy)
from qemu import NONE, Q35, Qemu
from scripted import ERROR, HOLD, Command, ScriptedQemu
from tap import (PATIENCE, QUIET, Failure, Skip, case, check, cleanup, equal, folder, run,
                 shorten, stays_so, wait_until)
