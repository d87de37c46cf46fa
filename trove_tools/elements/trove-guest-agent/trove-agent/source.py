# SPDX-License-Identifier: Apache-2.0
"""Records the source of the guest agent, which record.py completes.

Arguments: the file to write, then the source (pypi, git or checkout), the
URL, the ref, the commit, and yes or no for uncommitted changes.
"""

import json
import sys

from trove_tools.host import credentials


def main(
    path: str, source: str, url: str, ref: str, commit: str, dirty: str
) -> None:
    with open(path, "w") as out:
        json.dump(
            {
                "source": source,
                "url": credentials.hide(url) or None,
                "ref": ref or None,
                "commit": commit or None,
                "dirty": dirty == "yes",
            },
            out,
        )


if __name__ == "__main__":
    main(*sys.argv[1:])
