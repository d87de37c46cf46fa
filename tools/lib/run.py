# SPDX-License-Identifier: Apache-2.0
"""Run a package that is beside this file.

usage: python tools/lib/run.py PACKAGE [ARGUMENT...]
"""

import runpy
import sys

if __name__ == "__main__":
    del sys.argv[0]
    runpy.run_module(f"{sys.argv[0]}.command", run_name="__main__")
