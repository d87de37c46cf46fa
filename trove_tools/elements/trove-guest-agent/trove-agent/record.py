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


def managers() -> list[str]:
    """Import the agent and the managers that it has.

    The registry of some series still names managers whose code is gone; a
    manager that is there has to be importable.

    :returns: the datastores that there is a manager for.
    """
    importlib.import_module("trove.cmd.guest")
    dbaas = importlib.import_module("trove.guestagent.dbaas")
    found = []
    for datastore, path in sorted(dbaas.datastore_registry().items()):
        module, name = path.rsplit(".", 1)
        try:
            getattr(importlib.import_module(module), name)
        except ModuleNotFoundError as exc:
            if f"{module}.".startswith(f"{exc.name}."):
                continue
            raise
        found.append(datastore)
    return found


def main(source_file: str, target: str) -> None:
    known = managers()
    with open(source_file) as source:
        record = json.load(source)
    record["version"] = importlib.metadata.version("trove")
    record["managers"] = known
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
