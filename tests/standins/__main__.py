# SPDX-License-Identifier: Apache-2.0
"""Make the stand-in of a package that a vendor gives to its customers.

``python -m tests.standins DIRECTORY DATASTORE GUEST`` prints the options
with which trove-image-builder builds with it, as JSON.
"""

import json
import pathlib
import shutil
import sys

from tests.standins import vendors
from trove_tools.catalog import loader


def main(directory: str, datastore: str, guest: str) -> None:
    """Make the package; whatever lay in the directory goes."""
    place = pathlib.Path(directory).resolve()
    shutil.rmtree(place, ignore_errors=True)
    place.mkdir(parents=True)
    catalog = loader.load()
    made = vendors.Vendors(
        place, catalog, [datastore], catalog.guest(guest).distribution
    )
    made.close()
    print(json.dumps(made.options()))


if __name__ == "__main__":
    main(*sys.argv[1:])
