# SPDX-License-Identifier: Apache-2.0
"""What uWSGI imports before a service: it switches transactions off.

A task of Glance that SQLite refuses a write ends without a word in a log.
"""

import pathlib
import runpy

_CONDUCTOR = (
    pathlib.Path(__file__).parents[3] / "trove_tools/verify/conductor.py"
)

runpy.run_path(str(_CONDUCTOR))["commit_at_once"]()
