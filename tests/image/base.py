# SPDX-License-Identifier: Apache-2.0
"""The base of the tests that look at a real image.

They share two, which the real command builds.  Whoever runs them may have
built them and names them in ``TROVE_TOOLS_TEST_IMAGE`` and
``TROVE_TOOLS_TEST_CONTAINER_IMAGE``.  Otherwise the first test that needs
one builds it.
"""

import atexit
import collections.abc
import functools
import os
import pathlib
import tempfile

import fasteners

from tests import base
from tests import commands
from tests import registry
from tests.image import standin
from tests.standins import authority
from tests.standins import vendors
from trove_tools import errors
from trove_tools.build import cache
from trove_tools.build import containers as shared
from trove_tools.catalog import gate
from trove_tools.catalog import loader
from trove_tools.host import debian
from trove_tools.sources.container import lock
from trove_tools.sources.container import prepare
from trove_tools.sources.container import rootfs
from trove_tools.sources.container import sources
from trove_tools.verify import broker
from trove_tools.verify import machine
from trove_tools.verify import machines

VARIABLE = "TROVE_TOOLS_TEST_IMAGE"
CONTAINER_VARIABLE = "TROVE_TOOLS_TEST_CONTAINER_IMAGE"
OUTPUT = "TROVE_TOOLS_TEST_OUTPUT"

#: What no file in the images is newer than.
EPOCH = "1785542400"

_BUILD_TIMEOUT = 2400.0
# as Trove publishes it
_MYSQL = "openstack.trove/mysql:8.4"


def output() -> pathlib.Path:
    """Return the directory that all tests of a run share."""
    place = os.environ.get(OUTPUT)
    if place is None:
        # this user's, and the same one for each process of a run
        shared = f"trove-tools-images-{os.getuid()}"
        place = os.path.join(tempfile.gettempdir(), shared)
    return pathlib.Path(place)


def builder(
    *args: str | os.PathLike[str], timeout: float = 1800.0
) -> commands.Outcome:
    """Run trove-image-builder as a process of its own."""
    return commands.run("trove-image-builder", *args, timeout=timeout)


def natives() -> list[str]:
    """Return what to build: all native datastores of the gate in one."""
    catalog = loader.load()
    system = gate.find_system(catalog)
    return [
        *gate.list_natives(catalog, system).values(),
        "--guest", system, "--runtime", "native", "--together",
    ]  # fmt: skip


#: An image, or what went wrong.
_Built = tuple[pathlib.Path | None, str]
_Build = collections.abc.Callable[[], _Built]


def _once_a_run(variable: str) -> collections.abc.Callable[[_Build], _Build]:
    """Return a decorator: all processes of a run share the image.

    :param variable: may name an image that was built already.
    """

    def decorate(build: _Build) -> _Build:
        @functools.cache
        def get() -> _Built:
            named = os.environ.get(variable)
            if named:
                return pathlib.Path(named), ""
            known = place("images") / f"{variable}.path"
            with fasteners.InterProcessLock(known.with_suffix(".lock")):
                # without a directory of the run's own it may be an old one
                if OUTPUT in os.environ and known.exists():
                    return pathlib.Path(known.read_text()), ""
                image, problem = build()
                if image is not None:
                    known.write_text(os.fspath(image))
            return image, problem

        return get

    return decorate


def _build(*words: str | os.PathLike[str]) -> _Built:
    built = builder(
        "build", *words, "--output-dir", place("images"), "--format", "json",
        timeout=_BUILD_TIMEOUT,
    )  # fmt: skip
    if built.status != 0:
        return None, built.stderr
    return pathlib.Path(built.json()["image"]), ""


@_once_a_run(VARIABLE)
def _native_image() -> _Built:
    """Build the image of all native datastores of the gate."""
    words = natives()
    catalog = loader.load()
    home = place("vendors")
    with (
        tempfile.TemporaryDirectory() as scratch,
        vendors.Vendors(
            pathlib.Path(scratch),
            catalog,
            [word for word in words if word in catalog.datastores],
            home=home,
        ) as standins,
    ):
        trusted = home / "authority.pem"
        # another one would be another image
        if not trusted.exists():
            authority.Authority(home, "Stand-in CA", days=3650)
        return _build(
            *words, *standins.options(), *_shared(), "--guest-ca", trusted
        )


def place(name: str) -> pathlib.Path:
    """Return a directory in that one, which is there."""
    found = output() / name
    found.mkdir(parents=True, exist_ok=True)
    return found


@functools.cache
def container(
    name: str, version: str | None = None
) -> tuple[prepare.Prepared, pathlib.Path]:
    """Make a datastore's container of packages, once a process.

    The essential packages are those of the image's build.

    :param version: the default when not given.
    :returns: what it is, and its archive.
    """
    archives = shared.Archives(cache.Cache(cache_directory()))
    ((made, archive),) = containers(
        _container(name, version), keep=archives.keep
    )
    return made, archive


def containers(
    *wanted: sources.Container, keep: rootfs.Keep | None = None
) -> list[tuple[prepare.Prepared, pathlib.Path]]:
    """Make containers of packages, as a build of one image does.

    :param keep: keeps the essential packages of a suite.
    :returns: for each: what it is, and its archive.
    """
    host = debian.read_mirrors("debian")
    directory = pathlib.Path(tempfile.mkdtemp(dir=place("containers")))
    atexit.register(base.remove, directory)
    conditions = rootfs.Conditions(
        "debian", "amd64", host, epoch=int(EPOCH), keep=keep
    )
    obtained = [
        prepare.obtain(each, directory, conditions, lambda text: None)
        for each in wanted
    ]
    return [
        (made, directory / made.container.file)
        for made in prepare.write_archives(obtained, directory, conditions)
    ]


def _container(name: str, version: str | None) -> sources.Container:
    catalog = loader.load()
    datastore = catalog.datastore(name)
    wanted = datastore.runtime("container").container
    assert wanted is not None
    return sources.make(
        datastore, version or datastore.default_version, wanted,
        catalog.guest("debian-13"), source="packages", mirror=None,
        locked=None,
    )  # fmt: skip


def with_backup(name: str) -> tuple[sources.Container, sources.Container]:
    """Return the containers that an image with a datastore has."""
    catalog = loader.load()
    datastore = catalog.datastore(name)
    backup = sources.make_backup(
        datastore, datastore.default_version,
        datastore.runtime("container").container, catalog.guest("debian-13"),
        requirement=catalog.series.requirement, constraints=None,
    )  # fmt: skip
    return _container(name, None), backup


def lock_file() -> pathlib.Path:
    """Return what pins the container that comes from a registry."""
    return place("images") / "containers.lock"


@_once_a_run(CONTAINER_VARIABLE)
def _container_image() -> _Built:
    """Build the image of three datastores; MySQL comes from a registry."""
    with tempfile.TemporaryDirectory(dir=place("containers")) as name:
        archive = pathlib.Path(name) / "mysql.tar"
        standin.write(container("mariadb")[1], archive)
        with registry.registry(pathlib.Path(name)) as running:
            digest = running.push(archive, _MYSQL)
            lock.write(lock_file(), {f"quay.io/{_MYSQL}": digest})
            return _build(
                *_container_words(running.mirror),
                "--lock", lock_file().with_suffix(".written"), *_shared(),
            )  # fmt: skip


def _container_words(mirror: str) -> tuple[str | os.PathLike[str], ...]:
    return (
        "mariadb", "postgresql", "mysql", "--together",
        "--container-source", "mysql=registry",
        "--registry-mirror", mirror, "--locked", lock_file(),
    )  # fmt: skip


def _shared() -> tuple[str | os.PathLike[str], ...]:
    """Return what all builds of images that tests share are given."""
    return ("--cache-dir", cache_directory(), "--source-date-epoch", EPOCH)


def cache_directory() -> pathlib.Path:
    """Return the cache of layers that all builds of a run share."""
    return place("cache")


class TestCase(base.TestCase):
    """A test with real images."""

    # builds and boots have limits of their own
    timeout = None

    def image(self) -> pathlib.Path:
        """Return the image; it is everybody's, so look, do not touch.

        It has MariaDB, and what else the gate is to boot: one datastore of
        each kind.  Stand-ins take the place of their vendors.
        """
        return self._there(_native_image())

    def need_container_machine(
        self, *require: collections.abc.Callable[[], object]
    ) -> None:
        """Skip the test where verify cannot run a guest with Trove's agent.

        :param require: raise an error for what else the test needs.
        """
        why = machines.find_absence(machine.CONTAINER, "amd64")
        if why:
            self.skipTest(why.message)
        try:
            for check in (broker.require, *require):
                check()
        except errors.TroveToolsError as exc:
            self.skipTest(exc.message)

    def container_image(self) -> pathlib.Path:
        """Return one whose datastores Trove's agent runs; as above.

        MariaDB's and PostgreSQL's containers are made of packages; MySQL's
        is a stand-in from a registry on loopback.
        """
        return self._there(_container_image())

    def container_image_again(self) -> pathlib.Path:
        """Build that image a second time, from the cached lower layers.

        No registry is there any more, and none is needed.
        """
        self.container_image()
        return self.build(*_container_words("127.0.0.1:9"))

    def build(self, *words: str | os.PathLike[str]) -> pathlib.Path:
        """Build an image of this test alone, on the layers of the others.

        :param words: datastores and options.
        """
        built = builder(
            "build", *words, *_shared(), "--output-dir", self.temp_dir(),
            "--format", "json", timeout=_BUILD_TIMEOUT,
        )  # fmt: skip
        self.assertEqual(0, built.status, built.stderr)
        return pathlib.Path(built.json()["image"])

    def _there(self, built: _Built) -> pathlib.Path:
        image, problem = built
        if image is None:
            self.fail(f"the image cannot be built:\n{problem}")
        return image
