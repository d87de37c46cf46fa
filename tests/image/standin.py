# SPDX-License-Identifier: Apache-2.0
"""A stand-in for MySQL's container: MariaDB's, under MySQL's names.

No Debian has packages of MySQL, and tests reach no registry that has its
container.  What Trove's guest agent asks of that one does this one as well:
user 1001, ``--datadir``, MySQL's configuration, ``mysqladmin ping``, no
privileges.
"""

import io
import json
import pathlib
import shutil
import tarfile
import typing

from trove_tools.sources.container import prepare

VERSION = "8.4.0"

# the configuration that Trove renders for MySQL, less what MariaDB refuses
_ENTRYPOINT = """\
#!/bin/bash
set -eu
if [ "${1:-}" = mysqld ]; then
    shift
fi
case ${1:-} in
    ""|-*) ;;
    *) exec "$@" ;;
esac
sed -e '/^secure-file-priv/d' -e 's/^\\([a-z_-]* *=\\)/loose-\\1/' \\
    /etc/mysql/my.cnf > /tmp/my.cnf
exec docker-entrypoint.sh --defaults-file=/tmp/my.cnf "$@"
"""
# as MySQL's own: a server that refuses a password is alive
_ADMIN = """\
#!/bin/sh
[ "$1" = ping ] || exit 2
said=$(mariadb --no-defaults --protocol=tcp --host=127.0.0.1 --user=root \\
    --password=none --execute='SELECT 1' 2>&1) && exit 0
case $said in
    *"Access denied"*) exit 0 ;;
esac
echo "$said" >&2
exit 1
"""
_FILES = {"mysql-entrypoint.sh": _ENTRYPOINT, "mysqladmin": _ADMIN}


def write(mariadb: pathlib.Path, file: pathlib.Path) -> str:
    """Write the image of the stand-in.

    :param mariadb: the archive of MariaDB's container.
    :param file: the archive to write.
    :returns: its id.
    """
    root = file.with_suffix(".root")
    config = layer_of(mariadb, root)
    with tarfile.open(root, "a") as layer:
        for name, text in _FILES.items():
            member = tarfile.TarInfo(f"./usr/local/bin/{name}")
            member.size, member.mode = len(text), 0o755
            layer.addfile(member, io.BytesIO(text.encode()))
    kept = [each for each in config["Env"] if "_VERSION=" not in each]
    config["Env"] = [*kept, f"MYSQL_VERSION={VERSION}"]
    config["Entrypoint"] = ["mysql-entrypoint.sh"]
    config["Cmd"] = ["mysqld"]
    digest = prepare.write_archive(
        [root], file, names=["mysql:8.4"], arch="amd64", config=config, epoch=0
    )
    root.unlink()
    return digest


def layer_of(image: pathlib.Path, root: pathlib.Path) -> dict[str, typing.Any]:
    """Write the one layer of an image; return its configuration."""
    with tarfile.open(image) as opened:

        def member(name: str) -> typing.IO[bytes]:
            stream = opened.extractfile(name)
            assert stream is not None
            return stream

        (listed,) = json.load(member("manifest.json"))
        (layer,) = listed["Layers"]
        with open(root, "wb") as stream:
            shutil.copyfileobj(member(layer), stream)
        found: dict[str, typing.Any] = json.load(member(listed["Config"]))
    return dict(found["config"])
