# SPDX-License-Identifier: Apache-2.0
"""Inspects an image without trusting its manifest.

Reading a foreign root takes root's rights, and a process of its own, which
that root locks in: so this module runs itself, through sudo where needed.
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
    """What is in an image.

    :param findings: what must not be.
    :param allowed: what must not be, but was asked for.
    """

    findings: tuple[_findings.Finding, ...]
    allowed: tuple[_findings.Finding, ...]
    contents: contents.Contents

    def require_safe(self) -> None:
        """Check that an image contains nothing that must not be published.

        :raises ImageError: lists all findings.
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
    """Return what is in an image.

    :param image: a qcow2 or raw disk, or a tar archive of the root.
    :param dev: it was built for development, and may let in who has a key.
    :param allow: findings that were asked for, as ``KIND:PATH``.
    :raises ImageError: the file is no image.
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
    """Return what each file in an image is, by its path.

    :raises ImageError: the file is no image.
    """
    data = _as_root(image, "files")
    return {path: rootfile.FileState(*each) for path, each in data.items()}


def _as_root(image: pathlib.Path, word: str) -> dict[str, typing.Any]:
    """Return what this module prints when root runs it."""
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
    """Return what is in a root file system, as plain data."""
    return {
        "findings": _findings.find_all(root, dev),
        "contents": contents.read_contents(root).as_dict(),
    }


def _main() -> int:
    """Inspect as root: print the result, or an error, as JSON."""
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
