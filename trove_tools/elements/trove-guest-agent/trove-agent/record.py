# SPDX-License-Identifier: Apache-2.0
"""Record what the guest agent of an image is.

Run by the agent's own Python, after everything that the agent and its
managers are made of has been imported: an image whose agent cannot start is
not worth keeping.
"""

import importlib
import importlib.metadata
import json
import platform
import sys


def check_imports() -> None:
    """Import the agent and the manager of each datastore it knows."""
    importlib.import_module("trove.cmd.guest")
    dbaas = importlib.import_module("trove.guestagent.dbaas")
    for path in sorted(dbaas.datastore_registry().values()):
        module, name = path.rsplit(".", 1)
        getattr(importlib.import_module(module), name)


def main(source_file: str, target: str) -> None:
    check_imports()
    with open(source_file) as source:
        record = json.load(source)
    record["version"] = importlib.metadata.version("trove")
    record["python"] = platform.python_version()
    record["packages"] = {
        dist.metadata["Name"]: dist.version
        for dist in sorted(
            importlib.metadata.distributions(),
            key=lambda dist: dist.metadata["Name"].lower(),
        )
    }
    with open(target, "w") as out:
        json.dump(record, out, indent=2)
        out.write("\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
