# SPDX-License-Identifier: Apache-2.0
"""Makes packages that have a vendor's names, of a stand-in server."""

import gzip
import io
import os
import pathlib
import subprocess
import tarfile
import tempfile
import typing

from trove_tools.catalog import native

GUEST = pathlib.Path(__file__).parent / "guest"

_LIBRARY = "usr/lib/trove-standin"
_UNIT = """\
[Unit]
Description=Stand-in of {engine}
After=network.target

[Service]
ExecStart=/usr/bin/python3 /{library}/{engine}/server.py {engine} {version}

[Install]
WantedBy=multi-user.target
"""


class File(typing.NamedTuple):
    """A file in a package."""

    text: str
    mode: int = 0o644


def _read(name: str) -> str:
    return (GUEST / name).read_text()


def _server(engine: str) -> dict[str, File]:
    return {f"{_LIBRARY}/{engine}/server.py": File(_read("server.py"))}


#: What the engines' packages have besides, that elements or probes use.
_BESIDES: dict[str, dict[str, File]] = {
    **dict.fromkeys(
        ("mysql", "percona", "pxc"),
        {
            "usr/bin/mysql": File(_read("mysql"), 0o755),
            "var/lib/mysql/auto.cnf": File("[auto]\nserver-uuid=build\n"),
            "etc/mysql/conf.d/mysql.cnf": File("[mysql]\n"),
        },
    ),
    "cassandra": {
        "etc/cassandra/cassandra.yaml": File(
            "rpc_address: localhost\n# broadcast_rpc_address: 1.2.3.4\n"
        )
    },
    "couchdb": {
        "opt/couchdb/etc/local.d/README": File("Local settings.\n"),
        "opt/couchdb/etc/vm.args": File("-setcookie build\n"),
    },
    "vertica": {
        "opt/vertica/sbin/install_vertica": File(
            _read("install_vertica"), 0o755
        ),
        "opt/vertica/bin/admintools": File(_read("admintools"), 0o755),
    },
}

#: Users that the vendors' packages make.
_USERS = {"couchdb": "couchdb"}


def debs(
    engine: str,
    version: str,
    how: native.Native,
    names: typing.Sequence[str],
    directory: pathlib.Path,
    *,
    arch: str = "amd64",
) -> list[pathlib.Path]:
    """Make an engine's packages.

    :param names: theirs; the first one has the server.
    :returns: the packages.
    """
    server, *others = names
    service = how.services[0]
    files = {
        **_server(engine),
        f"usr/lib/systemd/system/{service}.service": File(
            _UNIT.format(
                engine=engine, version=version, library=_LIBRARY
            )
        ),
        **_BESIDES.get(engine, {}),
    }
    if engine == "vertica":
        # there is no unit before there is a database
        del files[f"usr/lib/systemd/system/{service}.service"]
    return [
        deb(directory, server, version, files, arch=arch, depends="python3",
            user=_USERS.get(engine)),
        *(deb(directory, name, version, {}, arch=arch) for name in others),
    ]  # fmt: skip


def deb(
    directory: pathlib.Path,
    name: str,
    version: str,
    files: dict[str, File],
    *,
    arch: str = "amd64",
    depends: str = "",
    user: str | None = None,
) -> pathlib.Path:
    """Make one Debian package."""
    control = (
        f"Package: {name}\nVersion: {version}\nArchitecture: {arch}\n"
        "Maintainer: Stand-in <standin@vendor.example>\n"
        + (f"Depends: {depends}\n" if depends else "")
        + "Description: stand-in\n"
    )
    meta = {"DEBIAN/control": File(control)}
    if user:
        meta["DEBIAN/postinst"] = File(
            f"#!/bin/sh\nid {user} >/dev/null 2>&1 ||"
            f" useradd --system {user}\n",
            0o755,
        )
    with tempfile.TemporaryDirectory() as place:
        for path, file in {**files, **meta}.items():
            target = pathlib.Path(place, path)
            target.parent.mkdir(parents=True, exist_ok=True)
            target.write_text(file.text)
            target.chmod(file.mode)
        pathlib.Path(place).chmod(0o755)
        result = directory / f"{name}_{version.replace(':', '%3a')}_{arch}.deb"
        subprocess.run(
            ["dpkg-deb", "--build", "--root-owner-group", "-Zxz", "-z0",
             place, result],
            # the same content makes the same package
            env={**os.environ, "SOURCE_DATE_EPOCH": "0"},
            check=True, capture_output=True,
        )  # fmt: skip
    return result


def db2(
    directory: pathlib.Path,
    version: str,
    *,
    top: str = "server_dec",
    machine: str = "linuxamd64",
) -> pathlib.Path:
    """Make an archive with an installer, as IBM gives it away."""
    file = directory / f"v{version}_linuxx64_server_dec.tar.gz"
    content = {
        f"{top}/db2_install": File(_read("db2_install"), 0o755),
        f"{top}/db2/{machine}/version": File(f"{version}\n"),
        f"{top}/db2/{machine}/server.py": File(_read("server.py")),
        f"{top}/db2/{machine}/db2icrt": File(_read("db2icrt"), 0o755),
    }
    with (
        gzip.GzipFile(file, "w", mtime=0) as packed,
        tarfile.open(fileobj=packed, mode="w") as archive,
    ):
        for path, each in content.items():
            member = tarfile.TarInfo(path)
            member.size = len(each.text.encode())
            member.mode = each.mode
            archive.addfile(member, io.BytesIO(each.text.encode()))
    return file
