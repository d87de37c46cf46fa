# SPDX-License-Identifier: Apache-2.0
import pathlib
import sys

import setuptools

HERE = pathlib.Path(__file__).resolve().parent

# The manual pages and the shells' completions come from the commands' own
# parsers, which need nothing that is not part of Python.
sys.dont_write_bytecode = True
sys.path.insert(0, str(HERE))

from trove_tools.manual import write  # noqa: E402

write.write(HERE / "build" / "share")

setuptools.setup(setup_requires=["pbr>=6.1.1"], pbr=True)
