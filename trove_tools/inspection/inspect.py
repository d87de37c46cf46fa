# SPDX-License-Identifier: Apache-2.0
"""Looks into an image, trusting neither its manifest nor its makers.

Reading a foreign root takes root's rights.  As another user, this module
runs itself again through sudo and reads what was found from that.
"""

import contextlib
import dataclasses
import json
import os
import pathlib
import sys
import typing

from trove_tools import errors
from trove_tools import paths
from trove_tools import process
from trove_tools.inspection import contents
from trove_tools.inspection import files
from trove_tools.inspection import findings
from trove_tools.inspection import mounted


@dataclasses.dataclass(frozen=True)
class Inspection:
    """What is in an image.

    :param findings: what must not be.
    """

    findings: tuple[findings.Finding, ...]
    contents: contents.Contents

    def require_safe(self) -> None:
        """Make sure that nothing is in the image that must not be.

        :raises ImageError: naming all that is.
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
            " cleanup.d, then build again",
        )


def inspect(image: pathlib.Path, dev: bool = False) -> Inspection:
    """Return what is in an image.

    :param image: a qcow2 or raw disk, or a tar archive of the root.
    :param dev: it was built for development, and may let in who has a key.
    :raises ImageError: the file is no image.
    """
    if os.geteuid() != 0:
        data = _as_root(image, "dev" if dev else "")
        return Inspection(
            tuple(findings.Finding(*each) for each in data["findings"]),
            contents.from_dict(data["contents"]),
        )
    with _root_of(image) as root:
        return Inspection(
            tuple(findings.look(root, dev)), contents.look(root)
        )


def every_file(image: pathlib.Path) -> dict[str, files.File]:
    """Return what each file in an image is, by its path.

    :raises ImageError: the file is no image.
    """
    if os.geteuid() != 0:
        data = _as_root(image, "files")
        return {path: files.File(*each) for path, each in data.items()}
    with _root_of(image) as root:
        return files.read(root)


def _root_of(
    image: pathlib.Path,
) -> contextlib.AbstractContextManager[pathlib.Path]:
    paths.require_file(image, "image", "give the path of an image file")
    return mounted.root_of(image)


def _as_root(image: pathlib.Path, word: str) -> dict[str, typing.Any]:
    """Return what this module prints when root runs it."""
    argv = [sys.executable, "-m", __name__, os.fspath(image.resolve()), word]
    done = process.run(process.as_root(argv), check=False)
    if done.status == errors.EXIT_USAGE:
        raise errors.ImageError(**json.loads(done.stdout))
    if done.status != 0:
        raise process.failure(argv, done.status, done.stderr)
    found: dict[str, typing.Any] = json.loads(done.stdout)
    return found


def _main() -> int:
    """Inspect as root for another user: the result, or an error, as JSON."""
    image, word = pathlib.Path(sys.argv[1]), sys.argv[2]
    try:
        if word == "files":
            print(json.dumps(every_file(image)))
        else:
            found = inspect(image, dev=word == "dev")
            print(json.dumps(dataclasses.asdict(found)))
    except errors.TroveToolsError as exc:
        print(json.dumps({"message": exc.message, "hint": exc.hint}))
        return errors.EXIT_USAGE
    return 0


if __name__ == "__main__":
    sys.exit(_main())
