# SPDX-License-Identifier: Apache-2.0
"""Runs diskimage-builder and parses its output.

diskimage-builder runs hooks, phase by phase, and prints the name of each hook
before the hook runs (``lib/dib-run-parts``).

This module uses these lines for the progress, the timings, and the error
message if a hook fails.
"""

import collections
import collections.abc
import dataclasses
import getpass
import os
import pathlib
import re
import shlex
import signal
import sys

from trove_tools import console
from trove_tools import errors
from trove_tools.build import inputs
from trove_tools.build import timeline as _timeline
from trove_tools.build import workspace
from trove_tools.host import causes
from trove_tools.host import credentials
from trove_tools.host import process
from trove_tools.plan import elements
from trove_tools.plan import layers
from trove_tools.sources import downloads as _downloads
from trove_tools.sources.network import session

#: diskimage-builder's phases in order, with descriptions for users.
PHASES = {
    "root": "make the root file system",
    "extra-data": "copy data into the build",
    "pre-install": "prepare for packages",
    "install": "install packages",
    "post-install": "configure",
    "post-root": "finish the root file system",
    "block-device": "lay out the disk",
    "disk": "copy the root file system to the disk",
    "pre-finalise": "prepare to finalise",
    "finalise": "finalise",
    "cleanup": "clean up",
}

# the phases that read files of this host; later phases only read the image
_READING = ("root", "extra-data")

# descriptions for users of hooks that take long
_HOOKS = {
    "85-trove-datastore-containers": "put the containers into the image",
}
_HOOK = re.compile(
    r"dib-run-parts Running \S*?/(?P<phase>[a-z-]+)\.d/(?P<hook>\S+)"
)
_COMPLETED = re.compile(r"dib-run-parts \S+ completed$")
# no hook creates the disk: disk-image-create does it between two hooks
_DISK_LINE = "diskimage_builder.block_device.blockdevice [-] create() called"
_STAMP = re.compile(r"^\d{4}-\d\d-\d\d [\d:.]+ \| ")
# only a sleep of one second follows (lib/disk-image-create)
_LAST_LINE = "Build completed successfully"
_SHOWN_LINES = 20
_NOISE = re.compile(
    r"^(dib-run-parts (Running|Sourcing)|\s*$|.*(umount|sync)$)"
)


# apt, which comes next, need not fetch mmdebstrap's lists again
_LISTS = "--skip=cleanup/apt/lists"


def _bootstrap(layer: layers.Layer) -> dict[str, str]:
    """Return variables for mmdebstrap, which makes the first root."""
    name = "DIB_MMDEBSTRAP_EXTRA_ARGS"
    # diskimage-builder passes it to a shell
    words = [shlex.quote(word) for word in session.bootstrap_options()]
    return {name: " ".join([layer.environment.get(name, ""), _LISTS, *words])}


class Log:
    """Parses diskimage-builder's output line by line.

    :param layer: the layer's name.
    :param progress: shows each new phase.
    :param timeline: records each phase and hook.
    """

    def __init__(
        self,
        layer: str,
        progress: console.Progress,
        timeline: _timeline.Timeline,
    ) -> None:
        self._layer = layer
        self._progress = progress
        self._timeline = timeline
        self._tail: collections.deque[str] = collections.deque(maxlen=400)
        self.phase = ""
        self.hook = ""
        self._said = ""
        self._completed = False
        #: whether diskimage-builder has reached its end
        self.done = False

    def line(self, line: str) -> None:
        """Process the next line."""
        text = _STAMP.sub("", line.rstrip("\n"))
        self.done = text == _LAST_LINE
        match = _HOOK.search(text)
        if match and match["phase"] in PHASES:
            if match["phase"] != self.phase:
                self.enter(match["phase"])
            self.hook = match["hook"]
            self._completed = False
            self._say(_HOOKS.get(self.hook, PHASES[self.phase]))
            self._timeline.enter("hook", self.hook)
            self._tail.clear()
        elif _COMPLETED.match(text):
            self._completed = True
            self._timeline.leave("hook")
        elif text.endswith(_DISK_LINE):
            self.enter("disk")
        self._tail.append(text)

    def enter(self, phase: str) -> None:
        """Record the beginning of a phase, which ends the previous phase."""
        if self.phase:
            self._timeline.leave("phase")
            self._progress.advance()
        self.phase = phase
        if phase:
            self._timeline.enter("phase", phase)
            self._say(PHASES[phase])

    def _say(self, what: str) -> None:
        if what != self._said:
            self._said = what
            self._progress.state(f"{self._layer}: {what}")

    def failure(self, status: int) -> errors.BuildError:
        """Return the error for a failure after the last processed line."""
        lines = [line for line in self._tail if not _NOISE.match(line)]
        last = lines[-_SHOWN_LINES:]
        cause = causes.find_cause("\n".join(lines))
        if cause is not None and cause.line not in last:
            last = [cause.line, "...", *last]
        shown = "".join(f"\n  | {line}" for line in last)
        return errors.BuildError(
            f"diskimage-builder failed with status {status}"
            f" {self._where()} of the layer {self._layer}:{shown}",
            hint=cause and cause.remedy,
        )

    def _where(self) -> str:
        if not self.hook:
            return "before the first hook"
        if self.phase == "disk":
            return "at the disk"
        when = "after" if self._completed else "in"
        return f"{when} hook {self.phase}.d/{self.hook}"


@dataclasses.dataclass(frozen=True)
class Run:
    """The settings of a run of diskimage-builder, except those of the layer.

    :param arch: the guest system's architecture.
    :param distribution: the guest system's distribution.
    :param elements_path: directories with elements, in addition to
        diskimage-builder's own.
    :param work: an empty directory, with no blank in its path.
    :param log: the log file for diskimage-builder's output.
    :param progress: shows the phases; each run has ``len(PHASES)`` steps.
    :param timeline: records each phase and hook.
    :param downloads: the directory for downloads.
    :param containers: the directory with the containers' archives.
    :param natives: the directory with files for the native datastores'
        elements.
    :param python: the program with which diskimage-builder starts its Python
        scripts, see :mod:`.dib_python`.
    :param clean: removes secrets from a text for the log.
    """

    arch: str
    distribution: str
    elements_path: tuple[str, ...]
    work: pathlib.Path
    log: pathlib.Path
    progress: console.Progress
    timeline: _timeline.Timeline
    downloads: pathlib.Path
    containers: pathlib.Path
    natives: pathlib.Path
    python: str | os.PathLike[str] = sys.executable
    clean: collections.abc.Callable[[str], str] = credentials.hide

    def write_log(self, text: str) -> None:
        """Append a text without secrets to the log."""
        with open(self.log, "a") as stream:
            stream.write(self.clean(text))

    def command(
        self, layer: layers.Layer, stem: pathlib.Path, kind: str
    ) -> list[str]:
        """Return the command line that builds a layer.

        :param stem: the path of the result without its file extension.
        :param kind: the format of the result, tar or raw.
        """
        return [
            # the program of this environment, not the first one on PATH
            os.path.join(sys.prefix, "bin", "disk-image-create"),
            # without the element "base", whose packages the guests do not need
            "-n",
            "-a", self.arch,
            "-t", kind,
            "-o", os.fspath(stem),
            *layer.elements,
        ]  # fmt: skip

    def environment(
        self,
        layer: layers.Layer,
        parent: pathlib.Path | None,
        downloads: pathlib.Path | None = None,
    ) -> dict[str, str]:
        """Return the environment of diskimage-builder.

        :param parent: the root of the layer below.
        :param downloads: the directory for this run's downloads; by default
            the shared one.
        """
        binaries = os.path.join(sys.prefix, "bin")
        path = process.make_environment()["PATH"]
        return {
            # a layer is not a disk, and needs no checksum
            "DIB_IMAGE_SIZE": "1",
            **layer.environment,
            **({} if parent else _bootstrap(layer)),
            "DIB_IMAGE_CACHE": os.fspath(downloads or self.downloads),
            "DIB_PYTHON_EXEC": os.fspath(self.python),
            "DIB_TROVE_CONTAINERS": os.fspath(self.containers),
            "DIB_TROVE_NATIVES": os.fspath(self.natives),
            "DIB_TROVE_LAYER": os.fspath(parent or ""),
            "DIB_TROVE_LISTS": os.fspath(self.work / "lists"),
            "ELEMENTS_PATH": os.fspath(self._below(layer)),
            "PATH": f"{binaries}:{path}",
            "TMP_DIR": os.fspath(self.work),
            # the work directory is already in memory, if possible
            workspace.NO_TMPFS: "1",
            # diskimage-builder changes the owner of files to $USER, which not
            # every environment sets
            "USER": getpass.getuser(),
        }

    def _below(self, layer: layers.Layer) -> pathlib.Path:
        return self.work / f"elements-{layer.name}"

    def build_layer(
        self,
        layer: layers.Layer,
        archive: pathlib.Path,
        parent: pathlib.Path | None,
    ) -> pathlib.Path:
        """Build a layer for other layers.

        :param archive: the archive file for its root file system.
        :param parent: as for :meth:`build`.
        :returns: the root file system, a directory in ``work``.
        :raises BuildError: the build failed.
        """
        place = self.work / f"layer-{layer.name}"
        place.mkdir(0o700)
        kept = place / "kept"
        # zstd reads the archive from a FIFO while it is packed, so there is
        # no temporary file; light compression costs no time, because less
        # data is written
        os.mkfifo(place / "root.tar")
        said = place / "said"
        packer = process.start(
            ["zstd", "--quiet", "-1", "--threads=0", "-o", archive,
             place / "root.tar"],
            cwd=place, log=said,
        )  # fmt: skip
        try:
            self.build(
                layer, place / "root", "tar", parent,
                DIB_TROVE_LAYER_KEPT=os.fspath(kept),
            )  # fmt: skip
            packer.wait()
        except errors.BuildError:
            # diskimage-builder also fails when zstd, the reader, has failed
            if not packer.poll():
                raise
        finally:
            process.stop(packer)
        if packer.returncode != 0:
            text = said.read_text().strip()
            raise errors.BuildError(
                f"the layer {layer.name} cannot be kept: {text}",
                hint=causes.find_remedy(text),
            )
        return kept

    def build(
        self,
        layer: layers.Layer,
        stem: pathlib.Path,
        kind: str,
        parent: pathlib.Path | None = None,
        **variables: str,
    ) -> None:
        """Run diskimage-builder over a layer's elements.

        :param stem: the path of the result without its file extension.
        :param kind: the format of the result, tar or raw.
        :param parent: the root of the layer below, an archive or a directory;
            a directory is moved into the build.
        :param variables: further variables for its hooks.
        :raises BuildError: the build failed.
        """
        inputs.copy_elements(
            layer,
            (*self.elements_path, elements.shipped_path()),
            self._below(layer),
        )
        inputs.require_elements(layer, self._below(layer))
        with _downloads.own(self.downloads, self.distribution) as downloads:
            given = {**self.environment(layer, parent, downloads), **variables}
            self.follow(layer, self.command(layer, stem, kind), given)

    def follow(
        self,
        layer: layers.Layer,
        command: list[str],
        variables: dict[str, str],
    ) -> None:
        """Run a program that runs a layer's hooks, and parse its output.

        :param command: prints a line before and after each hook, as
            diskimage-builder does.
        :param variables: the program's environment.
        :raises BuildError: the program failed.
        """
        follower = Log(layer.name, self.progress, self.timeline)
        # diskimage-builder only gets the variables of the layer
        hidden = [name for name in os.environ if name.startswith("DIB_")]
        # it would build in this directory, and not in TMP_DIR
        hidden.append("TMPDIR")
        # its working directory identifies all its processes
        child = process.start(
            command,
            env=variables,
            without=hidden,
            cwd=self.work,
            pipe=True,
        )
        assert child.stdout is not None
        status = 0
        unread = True
        try:
            with open(self.log, "a") as stream, child.stdout:
                for raw in child.stdout:
                    line = self.clean(raw.decode(errors="replace"))
                    stream.write(line)
                    stream.flush()
                    follower.line(line)
                    if unread and follower.phase not in ("", *_READING):
                        inputs.require_files(layer)
                        unread = False
                    if follower.done:
                        break
                else:
                    status = child.wait()
        finally:
            # the caller unmounts what a killed run leaves mounted, so
            # diskimage-builder's own traps are not needed
            ending = signal.SIGKILL if follower.done else signal.SIGTERM
            process.stop(child, sign=ending)
        if status != 0:
            raise follower.failure(status)
        follower.enter("")
