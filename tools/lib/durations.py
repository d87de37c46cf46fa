#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Tell the test runner how long the modules of tests take.

A runner that knows nothing gives its workers equally many modules, and one of
them works on alone for a third of the time.  ``durations.py FILE`` reads test
ids from stdin and writes a subunit stream for ``stestr load``, in which each
test was skipped after its share of the seconds that FILE (YAML) gives for its
module.
"""

import collections
import datetime
import pathlib
import sys

import subunit.v2
import yaml


def main() -> int:
    """Write the stream."""
    seconds: dict[str, float] = yaml.safe_load(
        pathlib.Path(sys.argv[1]).read_text()
    )
    ids = sys.stdin.read().split()
    modules = {each: each.rsplit(".", 2)[0] for each in ids}
    tests = collections.Counter(modules.values())
    stream = subunit.v2.StreamResultToBytes(sys.stdout.buffer)
    begin = datetime.datetime.now(datetime.UTC)
    for name, module in modules.items():
        if took := seconds.get(module.rpartition(".")[2]):
            end = begin + datetime.timedelta(seconds=took / tests[module])
            stream.status(name, "inprogress", timestamp=begin)
            stream.status(name, "skip", timestamp=end)
    return 0


if __name__ == "__main__":
    sys.exit(main())
