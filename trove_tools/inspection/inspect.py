# SPDX-License-Identifier: Apache-2.0
"""Inspects an image without trusting its manifest.

Reading a foreign root requires root privileges, and a separate process whose
root directory is that root. So this module runs itself, with sudo if needed.

The root is mounted read-only. Nothing of the image is run, and neither its
set-uid bits nor its devices have an effect. An image may contain links that
lead anywhere; in that process, the kernel resolves each path inside the image,
as in the guest. Memory and time are limited, because a hostile image may
exhaust both.
"""

import collections.abc
import contextlib
import dataclasses
import functools
import importlib.machinery
import json
import os
import pathlib
import resource
import signal
import sys
import tempfile
import typing

from trove_tools import errors
from trove_tools.artifact import imagefile
from trove_tools.host import loopdevice
from trove_tools.host import paths
from trove_tools.host import process
from trove_tools.inspection import contents
from trove_tools.inspection import policy as _findings
from trove_tools.inspection import rootfile

#: Limits of the process: bytes of memory, and seconds of processor time. The
#: largest image of the catalog needs a tenth of either.
MEMORY = 4 * 1024**3
SECONDS = 900

_OUT_OF_MEMORY = 3
_OPTIONS = "ro,nosuid,nodev,noexec"


def call(
    root: pathlib.Path,
    function: collections.abc.Callable[[pathlib.Path], typing.Any],
) -> typing.Any:
    """Run a function in a process inside a root, and return its result.

    This needs root privileges, and a process without threads.

    :param root: the directory that becomes the process's root directory.
    :param function: takes the path of the root; returns data for JSON. All
        modules that it needs must be loaded already.
    :raises ImageError: it took too much memory or time, or failed.
    """
    out, into = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(out)
        _run(root, function, into)
    os.close(into)
    status: int | None = None
    try:
        with open(out, "rb") as stream:
            answer = stream.read()
        status = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    finally:
        if status is None:
            os.kill(child, signal.SIGKILL)
            os.waitpid(child, 0)
    if status == 0:
        return json.loads(answer)
    if status == _OUT_OF_MEMORY:
        why = f"that takes more than {MEMORY // 1024**3} GiB of memory"
    elif status in (-signal.SIGXCPU, -signal.SIGKILL):
        why = f"that takes longer than {SECONDS} s"
    else:
        why = answer.decode(errors="replace") or f"status {status}"
    raise errors.ImageError(
        f"the contents of the image cannot be read: {why}",
        hint="was the image made by `trove-image-builder build`?"
        " build it again",
    )


def _run(
    root: pathlib.Path,
    function: collections.abc.Callable[[pathlib.Path], typing.Any],
    into: int,
) -> typing.NoReturn:
    """Run a function inside a root, and end this process."""
    answer, status = b"", 0
    try:
        resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS + 5))
        resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
        os.chroot(root)
        os.chdir("/")
        # never load a module of the image into this process
        sys.meta_path[:] = [
            importlib.machinery.BuiltinImporter,
            importlib.machinery.FrozenImporter,
        ]
        answer = json.dumps(function(pathlib.Path("/"))).encode()
    except MemoryError:
        status = _OUT_OF_MEMORY
    except BaseException as exc:
        answer, status = f"{type(exc).__name__}: {exc}".encode(), 1
    with open(into, "wb") as stream:
        stream.write(answer)
    os._exit(status)


@contextlib.contextmanager
def open_root(image: pathlib.Path) -> collections.abc.Iterator[pathlib.Path]:
    """Open an image's root file system for reading.

    :param image: a qcow2 or raw disk, a tar archive of the root, or a
        directory where the root is mounted.
    :returns: the directory of the root, while the context lasts.
    :raises ImageError: the file is not an image, or has no root.
    """
    if image.is_dir():
        yield image
        return
    with tempfile.TemporaryDirectory(prefix="trove-inspect-") as name:
        work = pathlib.Path(name)
        root = work / "root"
        root.mkdir()
        if image.name.endswith(".tar"):
            _read(image, ["tar", "-xf", image, "-C", root])
            yield root
            return
        raw = _as_raw(image, work / "raw")
        _mount(raw, root, image)
        try:
            yield root
        finally:
            # another process of this host may be using the mount
            process.run(["umount", "--lazy", root])


def _as_raw(image: pathlib.Path, copy: pathlib.Path) -> pathlib.Path:
    """Return the image as a raw disk: itself, or a sparse copy."""
    if imagefile.inspect(image).format == "raw":
        return image
    # qemu-img must not guess the format again, and must not take the path for
    # the address of a protocol
    _read(
        image,
        ["qemu-img", "convert", "-f", "qcow2", "-O", "raw",
         image.resolve(), copy],
    )  # fmt: skip
    return copy


def _mount(
    raw: pathlib.Path, root: pathlib.Path, image: pathlib.Path
) -> None:
    offset, size = loopdevice.find_largest_partition(raw, image)
    where = f"loop,offset={offset},sizelimit={size}"
    # the option that prevents replaying the journal depends on the file system
    for word in ("noload", "norecovery"):
        done = process.run(
            ["mount", "-o", f"{_OPTIONS},{where},{word}", raw, root],
            check=False,
        )
        if done.status == 0:
            return
    raise errors.ImageError(
        f"the root of {image} cannot be mounted: {done.stderr.strip()}",
        hint="build the image again",
    )


def _read(
    image: pathlib.Path, argv: list[process.Argument]
) -> str:
    try:
        return process.run(argv).stdout
    except errors.CommandError as exc:
        raise errors.ImageError(
            f"{image} cannot be read: {exc.output.strip()}",
            hint="the file may be incomplete: copy or build the image again",
        ) from exc


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
            f"\n  {finding.path}: {finding.kind}: {finding.what}"
            for finding in self.findings
        )
        raise errors.ImageError(
            f"the image is not safe to be published:{listed}",
            hint="remove this in an element's hook in post-install.d or"
            " cleanup.d, then build again; to accept a finding, give"
            " --allow KIND:PATH",
        )


def inspect_image(
    image: pathlib.Path,
    dev: bool = False,
    allow: collections.abc.Collection[str] = (),
    changed_since: int = 0,
) -> Inspection:
    """Return the contents of an image, and the findings in it.

    :param image: a qcow2 or raw disk, a tar archive of the root, or a
        directory where the root is mounted.
    :param dev: the image is for development, and may contain a login key.
    :param allow: the allowed findings, as ``KIND:PATH``.
    :param changed_since: seconds since 1970; the content of files that were
        not changed since then is not searched.
    :raises ImageError: the file is not an image.
    """
    data = _as_root(image, "dev" if dev else "", str(changed_since))
    everything = [_findings.Finding(*finding) for finding in data["findings"]]
    allowed = [
        finding
        for finding in everything
        if f"{finding.kind}:{finding.path}" in allow
    ]
    return Inspection(
        tuple(finding for finding in everything if finding not in allowed),
        tuple(allowed),
        contents.from_dict(data["contents"]),
    )


def read_files(image: pathlib.Path) -> dict[str, rootfile.FileState]:
    """Return the state of each file in an image, by its path.

    :raises ImageError: the file is not an image.
    """
    data = _as_root(image, "files")
    return {path: rootfile.FileState(*state) for path, state in data.items()}


def _as_root(image: pathlib.Path, *words: str) -> dict[str, typing.Any]:
    """Run this module as root, and return the data that it prints."""
    if not image.is_dir():
        paths.require_file(image, "image", "give the path of an image file")
    argv = process.as_root(
        [sys.executable, "-m", __name__, os.fspath(image.resolve()), *words]
    )
    done = process.run(argv, check=False)
    if done.status == errors.EXIT_USAGE:
        raise errors.ImageError(**json.loads(done.stdout))
    if done.status != 0:
        raise process.make_failure(argv, done.status, done.stderr)
    output: dict[str, typing.Any] = json.loads(done.stdout)
    return output


def read_root(
    root: pathlib.Path, dev: bool = False, changed_since: int = 0
) -> dict[str, typing.Any]:
    """Return contents and findings of a root file system as plain data."""
    return {
        "findings": _findings.find_all(root, dev, changed_since),
        "contents": contents.read_contents(root).as_dict(),
    }


def _main() -> int:
    """Inspect an image as root; print the result, or an error, as JSON."""
    image, word, *since = sys.argv[1:]
    function = (
        rootfile.read_states
        if word == "files"
        else functools.partial(
            read_root, dev=word == "dev", changed_since=int(since[0])
        )
    )
    try:
        with open_root(pathlib.Path(image)) as root:
            print(json.dumps(call(root, function)))
    except errors.TroveToolsError as exc:
        print(json.dumps({"message": exc.message, "hint": exc.hint}))
        return errors.EXIT_USAGE
    return 0



if __name__ == "__main__":
    sys.exit(_main())
