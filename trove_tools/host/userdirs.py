# SPDX-License-Identifier: Apache-2.0
"""Directories of the user's own (XDG Base Directory Specification)."""

import os
import pathlib


def cache() -> pathlib.Path:
    """Return the directory for what can be made again."""
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return pathlib.Path(home).expanduser() / "trove-tools"


def state() -> pathlib.Path:
    """Return the directory for what is to outlive a run, such as logs."""
    home = os.environ.get("XDG_STATE_HOME") or "~/.local/state"
    return pathlib.Path(home).expanduser() / "trove-tools"
