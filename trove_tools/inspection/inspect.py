# SPDX-License-Identifier: Apache-2.0
"""Inspects an image without trusting its manifest.

Reading a foreign root requires root privileges, and a separate process whose
root directory is that root. So this module runs itself, with sudo if needed.
"""

import collections.abc
import dataclasses
import functools
import json
import os
import pathlib
import sys
import typing

from trove_tools import errors
from trove_tools.host import paths
from trove_tools.host import process
from trove_tools.inspection import contents
from trove_tools.inspection import policy as _findings
from trove_tools.inspection import rootfile
from trove_tools.inspection import sandbox


@dataclasses.dataclass(frozen=True)
class Inspection:
    """The contents of an image, and the findings in it.

    :param findings: content that must not be in an image.
    :param allowed: such content that the user has allowed.
    """

    findings: tuple[_findings.Finding, ...]
    allowed: tuple[_findings.Finding, ...]
    contents: contents.Contents

    def require_safe(self) -> None:
        """Check that an image contains nothing that must not be published.

        :raises ImageError: there are findings; the message lists them all.
        """
        if not self.findings:
            return
        listed = "".join(
            f"\n  {each.path}: {each.kind}: {each.what}"
            for each in self.findings
        )
        raise errors.ImageError(
            f"the image is not safe to be published:{listed}",
            hint="remove this in an element's hook in post-install.d or"
            " cleanup.d, then build again; what has to be there is named by"
            " --allow KIND:PATH",
        )


def inspect_image(
    image: pathlib.Path,
    dev: bool = False,
    allow: collections.abc.Collection[str] = (),
) -> Inspection:
    """Return the contents of an image, and the findings in it.

    :param image: a qcow2 or raw disk, or a tar archive of the root.
    :param dev: the image is for development, and may contain a login key.
    :param allow: the allowed findings, as ``KIND:PATH``.
    :raises ImageError: the file is not an image.
    """
    data = _as_root(image, "dev" if dev else "")
    everything = [_findings.Finding(*each) for each in data["findings"]]
    allowed = [
        each for each in everything if f"{each.kind}:{each.path}" in allow
    ]
    return Inspection(
        tuple(each for each in everything if each not in allowed),
        tuple(allowed),
        contents.from_dict(data["contents"]),
    )


def read_files(image: pathlib.Path) -> dict[str, rootfile.FileState]:
    """Return the state of each file in an image, by its path.

    :raises ImageError: the file is not an image.
    """
    data = _as_root(image, "files")
    return {path: rootfile.FileState(*each) for path, each in data.items()}


def _as_root(image: pathlib.Path, word: str) -> dict[str, typing.Any]:
    """Run this module as root, and return the data that it prints."""
    paths.require_file(image, "image", "give the path of an image file")
    argv = process.as_root(
        [sys.executable, "-m", __name__, os.fspath(image.resolve()), word]
    )
    done = process.run(argv, check=False)
    if done.status == errors.EXIT_USAGE:
        raise errors.ImageError(**json.loads(done.stdout))
    if done.status != 0:
        raise process.make_failure(argv, done.status, done.stderr)
    found: dict[str, typing.Any] = json.loads(done.stdout)
    return found


def read_root(root: pathlib.Path, dev: bool = False) -> dict[str, typing.Any]:
    """Return contents and findings of a root file system as plain data."""
    return {
        "findings": _findings.find_all(root, dev),
        "contents": contents.read_contents(root).as_dict(),
    }


def _main() -> int:
    """Inspect an image as root; print the result, or an error, as JSON."""
    image, word = pathlib.Path(sys.argv[1]), sys.argv[2]
    function = (
        rootfile.read_states
        if word == "files"
        else functools.partial(read_root, dev=word == "dev")
    )
    try:
        with sandbox.open_root(image) as root:
            print(json.dumps(sandbox.call(root, function)))
    except errors.TroveToolsError as exc:
        print(json.dumps({"message": exc.message, "hint": exc.hint}))
        return errors.EXIT_USAGE
    return 0


if __name__ == "__main__":
    sys.exit(_main())
