# SPDX-License-Identifier: Apache-2.0
"""Records the version and the managers of the guest agent in an image.

It runs with the agent's own Python and imports the agent and its managers
first: the build fails if the agent could not start. Prints the files that were
imported.
"""

import importlib.metadata
import json
import platform
import sys

import agent_modules


def main(source_file: str, target: str) -> None:
    known = agent_modules.managers()
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
    print(*agent_modules.imported(sys.prefix), sep="\n")


if __name__ == "__main__":
    main(*sys.argv[1:])
