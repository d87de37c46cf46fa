# SPDX-License-Identifier: Apache-2.0
import pathlib
import sys

# the Python of tools/ is no part of the package
sys.path.insert(1, str(pathlib.Path(__file__).parents[1] / "tools" / "lib"))
