# SPDX-License-Identifier: GPL-2.0-or-later
"""What the tests with real QEMUs, backends and guests share."""
