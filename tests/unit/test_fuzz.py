# SPDX-License-Identifier: Apache-2.0
"""Parsers of untrusted data, given data that nobody has thought of.

The invariant of each test: the parser returns something or raises a
``TroveToolsError``, in bounded time and memory.  The examples are the same in
each run: a change that is tested does not fail because of another.
"""

import collections.abc
import contextlib
import copy
import dataclasses
import json
import os
import pathlib
import re
import resource
import signal
import sys
import typing

import hypothesis
from hypothesis import strategies
import testtools
import yaml

from tests import base
from tests.unit.artifact import test_report
from tests.unit.artifact import test_sbom
from tests.unit.cloud import images
from tests.unit.config import test_configfile
from tests.unit.inspection import samples
from trove_tools import errors
from trove_tools.artifact import imagefile
from trove_tools.artifact import manifest
from trove_tools.artifact import report
from trove_tools.artifact import sbom
from trove_tools.artifact import verification
from trove_tools.build import cache
from trove_tools.catalog import loader
from trove_tools.config import configfile
from trove_tools.inspection import contents
from trove_tools.inspection import policy

few = hypothesis.settings(
    max_examples=60, deadline=None, derandomize=True, database=None,
    suppress_health_check=list(hypothesis.HealthCheck),
)  # fmt: skip

SCALARS = strategies.one_of(
    strategies.none(),
    strategies.booleans(),
    strategies.integers(),
    strategies.floats(),
    strategies.text(max_size=8),
    strategies.sampled_from(
        ["\ud800", "\x1b[2J", "9999-99-99T::::::::Z", "²", 10**30, "a\nb"]
    ),
)
VALUES = strategies.one_of(
    SCALARS,
    strategies.sampled_from([[], {}, [[]], [None], {"": {}}, [{}]]),
    strategies.lists(SCALARS, max_size=3),
    strategies.dictionaries(strategies.text(max_size=4), SCALARS, max_size=3),
)


def places(
    data: typing.Any, place: tuple[typing.Any, ...] = ()
) -> collections.abc.Iterator[tuple[typing.Any, ...]]:
    """Yield where the values of data are."""
    if place:
        yield place
    pairs: typing.Any = ()
    if isinstance(data, dict):
        pairs = data.items()
    elif isinstance(data, list):
        pairs = enumerate(data)
    for name, value in pairs:
        yield from places(value, (*place, name))


@strategies.composite
def changed(draw: strategies.DrawFn, data: typing.Any) -> typing.Any:
    """Give data in which one to three values are others, or are not there."""
    data = copy.deepcopy(data)
    for _ in range(draw(strategies.integers(1, 3))):
        known = list(places(data))
        if not known:
            break
        *way, last = draw(strategies.sampled_from(known))
        inner = data
        for name in way:
            inner = inner[name]
        if draw(strategies.integers(0, 3)):
            # the next change must not reach into what VALUES holds
            inner[last] = copy.deepcopy(draw(VALUES))
        else:
            del inner[last]
    return data


def plain(data: typing.Any) -> typing.Any:
    return json.loads(json.dumps(data))


#: What one example may take: seconds of a processor's time, and bytes.
#: Hardly any takes a tenth; what grows faster than its input takes more.
SECONDS = 10
MEMORY = 512 * 1024 * 1024


class TooMuchError(Exception):
    """An example has taken too much time."""


@contextlib.contextmanager
def bounded() -> collections.abc.Iterator[None]:
    """Raise an error where something takes too much time or memory."""

    def stop(number: int, frame: object) -> None:
        raise TooMuchError(f"it takes more than {SECONDS} s")

    _, hard = limits = resource.getrlimit(resource.RLIMIT_AS)
    pages = int(pathlib.Path("/proc/self/statm").read_text().split()[0])
    most = pages * resource.getpagesize() + MEMORY
    before = signal.signal(signal.SIGPROF, stop)
    resource.setrlimit(resource.RLIMIT_AS, (most, hard))
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)
        resource.setrlimit(resource.RLIMIT_AS, limits)
        signal.signal(signal.SIGPROF, before)


class BoundsTest(base.TestCase):
    def test_both_are_noticed(self) -> None:
        with testtools.ExpectedException(MemoryError), bounded():
            bytes(2 * MEMORY)
        self.patch_object(sys.modules[__name__], "SECONDS", 0.1)
        with testtools.ExpectedException(TooMuchError), bounded():
            re.search("(a*)*b", "a" * 64)
        # what follows has its own limits
        bytes(2 * MEMORY)


class FuzzCase(base.TestCase):
    def tolerate(
        self,
        function: collections.abc.Callable[..., typing.Any],
        *args: object,
    ) -> typing.Any:
        """Call a parser, which may refuse what it gets."""
        try:
            with bounded():
                return function(*args)
        except errors.TroveToolsError as exc:
            f"{exc.message}{exc.hint}".encode()
            return None


class SidecarTest(FuzzCase):
    """The files beside an image."""

    def setUp(self) -> None:
        super().setUp()
        # what was valid is not noted in anybody's cache
        self.useFixture(base.fixtures.EnvironmentVariable(
            "XDG_CACHE_HOME", str(self.temp_dir())))  # fmt: skip
        self.image = self.temp_dir() / "x.qcow2"
        self.image.write_text("x")
        everything = test_sbom.FOUND.as_dict()
        self.made = images.describe(
            self.image,
            contents={
                key: everything[key]
                for key in ("system", "directories", "configuration")
            },
            timeline=test_report.TIMELINE,
            plan={
                "layers": [
                    {"name": "base", "digest": "a" * 64,
                     "environment": {"X": "1"}, "inputs": {"y": ["z"]}},
                ],
            },
            layers=(
                {"name": "base", "digest": "a" * 64, "cached": True,
                 "created": "2026-01-01T00:00:00+00:00", "size": 3},
            ),
        )  # fmt: skip
        sbom.write(test_sbom.FOUND, self.made, sbom.path(self.image))
        self.sample = plain(self.made.as_dict())
        self.bill = json.loads(sbom.path(self.image).read_text())
        self.sha256 = self.made.image.sha256

    def read_all(self) -> None:
        made = self.tolerate(manifest.read, self.image)
        if made is not None:
            text = self.tolerate(report.render, self.image, made)
            (text or "").encode()
        found = self.tolerate(verification.read, self.image, self.sha256)
        str(found).encode()

    @few
    @hypothesis.given(strategies.data())
    def test_manifest(self, data: strategies.DataObject) -> None:
        text = json.dumps(data.draw(changed(self.sample)))
        manifest.path(self.image).write_text(text)
        self.read_all()

    @few
    @hypothesis.given(strategies.binary(max_size=64))
    def test_files_of_anything(self, content: bytes) -> None:
        for path in (manifest.path, verification.path):
            path(self.image).write_bytes(content)
        self.read_all()

    @few
    @hypothesis.given(strategies.data())
    def test_record(self, data: strategies.DataObject) -> None:
        check = {
            "name": "boot", "ok": False, "seconds": 1.5, "detail": "x",
            "log": ["y"], "hint": None,
        }  # fmt: skip
        record = {
            "sha256": self.sha256, "ok": False, "level": "agent",
            "tier": "vm", "seconds": 9.0, "unchecked": "", "console": ["z"],
            "accelerator": "kvm", "checks": [check, check],
        }  # fmt: skip
        text = json.dumps(data.draw(changed(record)))
        verification.path(self.image).write_text(text)
        self.read_all()

    @few
    @hypothesis.given(strategies.data())
    def test_bill_of_materials(self, data: strategies.DataObject) -> None:
        text = json.dumps(data.draw(changed(self.bill)))
        sbom.path(self.image).write_text(text)
        self.read_all()


class CacheRecordTest(FuzzCase):
    @few
    @hypothesis.given(strategies.data())
    def test_record(self, data: strategies.DataObject) -> None:
        layers = cache.Cache(self.cache, not_before=1.0)
        with layers.partial() as directory:
            (directory / cache.ARCHIVE).write_bytes(b"x")
            entry = layers.put(
                directory, name="base", digest="d", inputs={}, facts={},
                timeline={},
            )  # fmt: skip
        sample = plain(dataclasses.asdict(entry.record))
        file = entry.directory / "record.json"
        file.write_text(json.dumps(data.draw(changed(sample))))
        self.tolerate(layers.find, "d")

    def setUp(self) -> None:
        super().setUp()
        self.cache = self.temp_dir() / "c"


class CatalogTest(FuzzCase):
    def setUp(self) -> None:
        super().setUp()
        self.useFixture(base.fixtures.EnvironmentVariable(
            "XDG_CACHE_HOME", str(self.temp_dir())))  # fmt: skip
        self.directory = self.temp_dir() / "catalog"
        self.directory.mkdir()
        source = loader.DIRECTORY / "datastores/mariadb.yaml"
        self.file = self.directory / source.name
        self.sample = yaml.safe_load(source.read_text())

    @hypothesis.settings(few, max_examples=25)
    @hypothesis.given(strategies.data())
    def test_changed(self, data: strategies.DataObject) -> None:
        # JSON is YAML, but for what only YAML cannot hold
        text = json.dumps(data.draw(changed(self.sample)))
        self.file.write_text(text)
        self.tolerate(loader.load, [self.directory])

    @hypothesis.settings(few, max_examples=25)
    @hypothesis.given(
        strategies.one_of(
            strategies.binary(max_size=40),
            strategies.text("[]{}&*a:-? !|>\n\"'#2", max_size=20).map(
                str.encode
            ),
        )
    )
    @hypothesis.example(b"&a [*a]")
    @hypothesis.example(b"1: 2")
    @hypothesis.example(b"2020-99-99")
    @hypothesis.example(b"[" * 900)
    @hypothesis.example(b"[" * 900 + b"]" * 900)
    @hypothesis.example(b"9" * 5000)
    def test_anything(self, content: bytes) -> None:
        self.file.write_bytes(content)
        self.tolerate(loader.load, [self.directory])


class ConfigurationTest(FuzzCase):
    def setUp(self) -> None:
        super().setUp()
        self.file = self.temp_dir() / "x.conf"

    @few
    @hypothesis.given(
        strategies.one_of(
            strategies.binary(max_size=40),
            strategies.text("[DEFAULT] jobs=mirror$\n1#\0\x1b", max_size=60)
            .map(str.encode),
        )
    )  # fmt: skip
    def test_anything(self, content: bytes) -> None:
        self.file.write_bytes(content)
        self.tolerate(configfile.read, [self.file], test_configfile.KNOWN)


class ImageFileTest(FuzzCase):
    def setUp(self) -> None:
        super().setUp()
        self.file = self.temp_dir() / "x.qcow2"

    @few
    @hypothesis.given(
        strategies.sampled_from([images.qcow2(), images.raw()]),
        strategies.lists(
            strategies.tuples(
                strategies.integers(0, 120), strategies.binary(max_size=9)
            ),
            max_size=4,
        ),
        strategies.integers(0, 70_000),
    )
    def test_changed(
        self, content: bytes, changes: list[tuple[int, bytes]], cut: int
    ) -> None:
        data = bytearray(content)
        for offset, piece in changes:
            data[offset : offset + len(piece)] = piece
        self.file.write_bytes(data[: len(data) - cut])
        self.tolerate(imagefile.inspect, self.file)

    @few
    @hypothesis.given(strategies.binary(max_size=300))
    def test_anything(self, content: bytes) -> None:
        for magic in (b"", b"QFI\xfb", b"QFI\xfb\0\0\0\3"):
            self.file.write_bytes(magic + content)
            self.tolerate(imagefile.inspect, self.file)


#: Files that an inspection parses.
PARSED = (
    "etc/os-release", "etc/passwd", "etc/shadow", "etc/group", "etc/gshadow",
    "etc/sudoers", "etc/sudoers.d/x", "etc/ssh/sshd_config",
    "etc/cloud/cloud.cfg", "etc/cloud/cloud.cfg.d/x.cfg", "etc/environment",
    "etc/machine-id", "etc/apt/sources.list", "etc/apt/auth.conf",
    "etc/apt/sources.list.d/x.sources", "etc/docker/daemon.json",
    "root/.docker/config.json", "root/.ssh/authorized_keys",
    "root/.git-credentials", "root/.netrc", "root/.my.cnf",
    "var/lib/dpkg/status", "var/lib/dpkg/info/x.md5sums",
    "var/lib/docker/image/overlay2/repositories.json",
    "opt/trove-guest-agent/lib/python3.11/site-packages/x.dist-info/METADATA",
    "opt/trove-guest-agent/lib/python3.11/site-packages/x.dist-info/RECORD",
    "usr/bin/x",
)  # fmt: skip
#: Pieces of which their contents are made.
PIECES = (
    "\n", "\n\n", " ", ":", "=", "\"", "'", "[", "{", "}", "]", "[" * 2000,
    "9" * 5000, "²", "\0", "\x1b[2J", "\\", "$", "#", ",", "%", "&a [*a]",
    "root", "root::0:0::/root:/bin/sh", "ALL=(ALL) NOPASSWD:ALL",
    "Include /etc/ssh/*", "Match User x", "PermitRootLogin yes",
    "AuthorizedKeysFile", "@includedir /etc/sudoers.d", "users:", "- ",
    "password", "chpasswd: ", "ssh_pwauth: true", "Package: x", "Version: 1",
    "Status: install ok installed", "Installed-Size: ", "Name: x",
    "-----BEGIN RSA PRIVATE KEY-----", "machine x login y password z",
    '{"Repositories": ', '{"auths": ', "ID=", "x,sha256=,", "2020-99-99",
)  # fmt: skip

#: More of them, for files that hold one of them many times.
REPEATED = (
    "\n", "=", "\"", "{", "\0", "&a [*a]", "root::0:0::/root:/bin/sh\n",
    "Include /etc/ssh/*\n", "@includedir /etc/sudoers.d\n", "\n ",
    " \n", "\t", "a", "-", "//", "proxy", "proxy//", "password=",
    "password='", "token: ", "Files:\n", "\n\nFiles:", "License: a and ",
    "chpasswd:\n", "://a:b", "x://", "machine a ", "mysql ", "export ",
    '"kty"', '"kty" "k":"aaaaaaaaaaaaaaaa" ', "LS0tLS1CRUdJTi",
    "AKIA", "$6$", "deb ", "a\\\n",
    "PuTTY-User-Key-File-2: ", "authorization: ", "AllowUnauthenticated ",
)  # fmt: skip
#: Bytes; what takes the square of it takes too much.
LONG = 64 * 1024
LONG_FILES = (
    "usr/share/doc/x/copyright", "etc/apt/apt.conf.d/x", "etc/profile",
    "boot/grub/grub.cfg", "root/.bash_history", "opt/x.txt",
)  # fmt: skip
#: What a file must begin with to be parsed.
HEADS = {
    "usr/share/doc/x/copyright": b"Format: https://x/copyright-format/1.0/\n",
    "var/lib/dpkg/status":
        b"Package: x\nVersion: 1\nStatus: install ok installed\n\n",
}  # fmt: skip


class RootTest(FuzzCase):
    """The root of a hostile image; links out of it are the kernel's work."""

    timeout = 240

    def setUp(self) -> None:
        super().setUp()
        self.root = self.temp_dir() / "root"
        samples.fill(self.root)
        self.identity = samples.store(self.root, samples.STATUS, "x:1")

    def put(self, name: str, content: bytes | None, kind: int) -> None:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if path.is_symlink() or path.exists():
            if path.is_dir() and not path.is_symlink():
                path.rmdir()
            else:
                path.unlink()
        if kind == 0:
            os.mkfifo(path)
        elif kind == 1:
            path.symlink_to(path.name)
        elif kind == 2:
            path.mkdir()
        else:
            path.write_bytes(content or b"")

    def inspect(self) -> None:
        found = policy.find_all(self.root)
        json.dumps(found)
        json.dumps(contents.read_contents(self.root).as_dict())

    @hypothesis.settings(few, max_examples=40)
    @hypothesis.given(
        strategies.dictionaries(
            strategies.sampled_from(PARSED),
            strategies.tuples(
                strategies.lists(
                    strategies.one_of(
                        strategies.sampled_from(PIECES).map(str.encode),
                        strategies.binary(max_size=4),
                    ),
                    max_size=8,
                ).map(b"".join),
                strategies.integers(0, 12),
            ),
            min_size=3,
        )
    )
    def test_files(self, files: dict[str, tuple[bytes, int]]) -> None:
        for name, (content, kind) in files.items():
            self.put(name, content, kind)
        self.tolerate(self.inspect)

    def test_one_piece_many_times(self) -> None:
        """What costs more than its length: every line, word or bracket."""
        self.patch_object(sys.modules[__name__], "SECONDS", 5)
        for piece in REPEATED:
            content = piece.encode()
            content *= LONG // len(content) + 1
            for name in (*PARSED, *LONG_FILES):
                head = HEADS.get(name, b"")
                self.put(name, head + content[:LONG], 3)
            self.tolerate(self.inspect)

    def test_files_that_include_one_another(self) -> None:
        every = b"Include /etc/ssh/sshd_config.d/*\n" * 9
        self.put("usr/sbin/sshd", b"x", 3)
        self.put("etc/ssh/sshd_config", every, 3)
        sudo = b"@includedir /etc/sudoers.d\n" * 9
        self.put("etc/sudoers", sudo, 3)
        for number in range(9):
            self.put(f"etc/ssh/sshd_config.d/{number}", every, 3)
            self.put(f"etc/sudoers.d/{number}", sudo, 3)
        self.tolerate(self.inspect)

    def test_names_with_a_null_character(self) -> None:
        self.put("usr/sbin/sshd", b"x", 3)
        self.put("etc/ssh/sshd_config", b"Include /e\0tc/x /etc/\0\n", 3)
        self.put("etc/sudoers", b"@include /e\0tc\n@includedir /\0/x\n", 3)
        self.put(
            "var/lib/dpkg/status",
            b"Package: x\0\nVersion: 1\nStatus: install ok installed\n", 3,
        )
        self.tolerate(self.inspect)

    @hypothesis.settings(few, max_examples=40)
    @hypothesis.given(strategies.data())
    def test_image_store(self, data: strategies.DataObject) -> None:
        store = self.root / "var/lib/docker/image/overlay2"
        file = data.draw(
            strategies.sampled_from(
                [
                    "repositories.json",
                    "imagedb/content/" + self.identity.replace(":", "/"),
                ]
            )
        )
        path = pathlib.Path(store, file)
        content = path.read_bytes()
        path.write_text(json.dumps(data.draw(changed(json.loads(content)))))
        self.tolerate(self.inspect)
        path.write_bytes(content)
