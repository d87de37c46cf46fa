# SPDX-License-Identifier: Apache-2.0
"""Where the elements lie.

They are part of the package, so that a wheel, an editable installation and a
checkout all find them the same way.
"""

import pathlib


def elements_path() -> pathlib.Path:
    """Return the directory to put into diskimage-builder's ELEMENTS_PATH."""
    return pathlib.Path(__file__).resolve().parent
