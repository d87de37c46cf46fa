# SPDX-License-Identifier: Apache-2.0
"""List the modules that the guest agent imports, for compileall.

Run by the agent's own Python, with ``-B``: compileall's processes, which have
imported nothing, give the same result each time.  The agent cannot write to
its environment, so what is not compiled in the build, each start compiles
anew.  It imports a quarter of the modules that are there.
"""

import contextlib
import importlib
import importlib.util
import os
import pathlib
import sys

# what is loaded by name when the agent has read its configuration; not all
# series have all of them
_LATER = (
    "kombu.transport.pyamqp",
    "oslo_messaging._drivers.impl_rabbit",
    "psycopg2",
    "pymysql",
    "sqlalchemy.dialects.mysql.pymysql",
    "sqlalchemy.dialects.postgresql.psycopg2",
)


def managers() -> list[str]:
    """Import the agent and the managers that it has.

    The registry of some series still names managers whose code is gone; a
    manager that is there has to be importable.

    :returns: the datastores that there is a manager for.
    """
    # as trove-guestagent.service does
    os.environ["EVENTLET_NO_GREENDNS"] = "yes"
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


def imported(root: str) -> list[str]:
    """Return the files of all that was imported from a directory.

    :param root: the virtual environment; nothing else stays compiled there.
    """
    for name in _LATER:
        with contextlib.suppress(ModuleNotFoundError):
            importlib.import_module(name)
    files = {
        getattr(module, "__file__", None) or ""
        for module in list(sys.modules.values())
    }
    sources = sorted(
        file
        for file in files
        if file.startswith(f"{root}/") and file.endswith(".py")
    )
    wanted = set(map(importlib.util.cache_from_source, sources))
    for compiled in pathlib.Path(root).rglob("*.pyc"):
        if str(compiled) not in wanted:
            compiled.unlink()
    return sources


if __name__ == "__main__":
    managers()
    print(*imported(sys.prefix), sep="\n")
