# SPDX-License-Identifier: Apache-2.0
"""The containers made of packages do what Trove's guest agent asks of them.

Made for real and run for real, as the agent runs them: user 1001:1001, the
agent's arguments, environment and health check.  Without an engine, in
namespaces: what is tested is the container, not Docker.
"""

import functools
import json
import os
import pathlib
import subprocess
import typing

from tests.image import base
from trove_tools.artifact import manifest
from trove_tools.catalog import loader
from trove_tools.host import process
from trove_tools.sources.container import lock
from trove_tools.sources.container import prepare
from trove_tools.sources.container import recipes

# $1: the container's root, $2: what to run in it, then its environment
_ENTER = """
set -eu
mount -t proc proc "$1/proc"
mount --bind /dev "$1/dev"
ip link set lo up
root=$1 script=$2
shift 2
exec chroot --userspec=1001:1001 "$root" \\
    /usr/bin/env -i "$@" /bin/sh -eu -c "$script"
"""

# what every contract begins with; stop waits for a clean end
_COMMON = """
start() { docker-entrypoint.sh "$@" & server=$!; wait_healthy; }
wait_healthy() {
    tries=0
    until healthy > /dev/null 2>&1; do
        tries=$((tries + 1))
        kill -0 $server
        [ $tries -lt 150 ]
        sleep 1
    done
}
stop() { kill -$1 $server; wait $server; }
"""

# of MariaDB and MySQL: when a data directory is made, and when none is
_NEW_DATA = r"""# a first start that did not end
echo > $D/.entrypoint-unfinished
start mysqld --datadir=$D
[ "$(sql "SHOW DATABASES LIKE 'kept'")" = "" ]
stop TERM
# no password, nothing made
rm -rf $D
if MYSQL_ROOT_PASSWORD= docker-entrypoint.sh --datadir=$D; then exit 1; fi
[ ! -e $D/mysql ]
"""

_MARIADB = (
    _COMMON
    + r"""
D=/var/lib/mysql/data
export MYSQL_ROOT_PASSWORD="p'w\\d" MYSQL_INITDB_SKIP_TZINFO=1
export MARIADB_AUTO_UPGRADE=1
healthy() {
    healthcheck.sh --defaults-file $D/.my-healthcheck.cnf --connect \
        --innodb_initialized
}
sql() {
    mariadb --user=root --password="$MYSQL_ROOT_PASSWORD" --batch \
        --skip-column-names --execute="$1"
}
# options only
start --datadir=$D
sql "CREATE DATABASE kept; CREATE TABLE kept.x (i INT);
     INSERT INTO kept.x VALUES (7)"
[ "$(sql "SELECT GROUP_CONCAT(host) FROM mysql.user
          WHERE user IN ('root', '')")" = localhost ]
[ "$(sql "SELECT @@skip_name_resolve")" = 1 ]
# nobody without a password
if mariadb --user=root --execute="SELECT 1"; then exit 1; fi
if healthcheck.sh --unknown; then exit 1; fi
stop TERM
# data of an older server, from a backup
rm $D/.my-healthcheck.cnf
echo 10.5.1 > $D/mariadb_upgrade_info
start --datadir=$D
[ "$(sql "SELECT i FROM kept.x")" = 7 ]
! grep -q 10.5.1 $D/mariadb_upgrade_info
stop TERM
"""
    + _NEW_DATA
    + r"""[ "$(docker-entrypoint.sh id -u)" = 1001 ]
echo contract kept
"""
)

_POSTGRESQL = (
    _COMMON
    + r"""
export PGDATA=/var/lib/postgresql/data/pgdata POSTGRES_PASSWORD="p'w\\d"
healthy() { pg_isready -U postgres; }
sql() { psql -U postgres -qtA -c "$1"; }
# as the agent leaves it
mkdir -p $PGDATA
start postgres -c listen_addresses='*'
sql "CREATE TABLE kept (i INT)"
[ "$(sql "SHOW lc_messages")" = en_US.utf8 ]
[ "$(PGPASSWORD=$POSTGRES_PASSWORD psql -h 127.0.0.1 -U postgres -tA \
    -c "SELECT 1")" = 1 ]
if PGPASSWORD=wrong psql -h 127.0.0.1 -U postgres -c ""; then exit 1; fi
pg_ctl reload -D $PGDATA
stop INT
# options only
start -c port=5432
[ "$(sql "SELECT COUNT(*) FROM kept")" = 0 ]
stop INT
# a first start that did not end
mkdir $PGDATA/.entrypoint-unfinished
start postgres
[ "$(sql "SELECT COUNT(*) FROM pg_tables WHERE tablename = 'kept'")" = 0 ]
stop INT
# no password, nothing made
rm -rf $PGDATA
if POSTGRES_PASSWORD= docker-entrypoint.sh postgres; then exit 1; fi
[ ! -e $PGDATA/PG_VERSION ]
[ "$(docker-entrypoint.sh id -u)" = 1001 ]
echo contract kept
"""
)


_MYSQL = (
    _COMMON
    + r"""
D=/var/lib/mysql/data
export MYSQL_ROOT_PASSWORD="p'w\\d" MYSQL_INITDB_SKIP_TZINFO=1
# as Trove has it: no shell replaces the variable
healthy() {
    mysqladmin ping -h 127.0.0.1 -u root '--password=$MYSQL_ROOT_PASSWORD'
}
sql() {
    MYSQL_PWD=$MYSQL_ROOT_PASSWORD mysql --user=root --batch \
        --skip-column-names --execute="$1"
}
as_user() {
    MYSQL_PWD=secret mysql --user=u --host=127.0.0.1 --batch \
        --skip-column-names "$@"
}
# options that are gone: of Trove's template, and of a configuration group
mkdir -p /tmp/conf.d
cat > /etc/mysql/my.cnf <<CNF
[mysqld]
innodb_log_files_in_group = 2
innodb-log-file-size=50M
max_connections = 77
init_connect = SET @kept = "a'b\\\\c #d"
!includedir /tmp/conf.d/
CNF
printf '[mysqld]\nexpire_logs_days = 7\n' > /tmp/conf.d/user.cnf
# options only
start --datadir=$D 2> /tmp/said
for name in innodb_log_files_in_group innodb-log-file-size expire_logs_days
do
    grep -q "no option $name; it is left out" /tmp/said
done
[ "$(grep -c 'left out' /tmp/said)" = 3 ]
[ "$(sql "SELECT @@max_connections")" = 77 ]
[ "$(sql "SELECT @@init_connect")" = "SET @kept = \"a'b\\\\c #d\"" ]
sql "CREATE DATABASE kept; CREATE TABLE kept.x (i INT);
     INSERT INTO kept.x VALUES (7);
     CREATE USER u@'%' IDENTIFIED BY 'secret';
     SET PERSIST max_connections = 78"
[ "$(sql "SELECT GROUP_CONCAT(host) FROM mysql.user
          WHERE user IN ('root', '')")" = localhost ]
[ "$(sql "SELECT plugin FROM mysql.user
          WHERE user = 'u'")" = caching_sha2_password ]
# without TLS only who has the server's key
if as_user --ssl-mode=DISABLED --execute="SELECT 1"; then exit 1; fi
as_user --ssl-mode=DISABLED --get-server-public-key --execute="SELECT 1"
as_user --execute="SHOW STATUS LIKE 'Ssl_version'" | grep -q TLS
# nobody without a password
if mysql --user=root --execute="SELECT 1"; then exit 1; fi
stop TERM
# what SET PERSIST wrote overrides the files
start mysqld --datadir=$D
[ "$(sql "SELECT i FROM kept.x")" = 7 ]
[ "$(sql "SELECT @@max_connections")" = 78 ]
stop TERM
"""
    + _NEW_DATA
    + r"""# an option that Trove gives is never left out
if docker-entrypoint.sh --no-such --datadir=$D 2> /tmp/said; then exit 1; fi
grep -q "unknown option '--no-such'" /tmp/said
[ "$(docker-entrypoint.sh id -u)" = 1001 ]
echo contract kept
"""
)


@functools.cache
def _make_again() -> dict[str, tuple[prepare.Prepared, pathlib.Path]]:
    """Make the image's containers again, with nothing kept from its build.

    :returns: what each is, and its archive, by the archive's name.
    """
    made = base.containers(
        *base.with_backup("mariadb"), *base.with_backup("postgresql")
    )
    return {archive.stem: (each, archive) for each, archive in made}


class ContractTest(base.TestCase):

    def setUp(self) -> None:
        super().setUp()
        if os.geteuid() != 0:
            self.skipTest("making a container's root needs root")
        self.need_mount_namespaces()
        process.require("mmdebstrap", "unshare", "ip")
        self.place = self.temp_dir()

    def keep(
        self,
        name: str,
        contract: str,
        version: str | None = None,
        size: int = 150,
    ) -> None:
        """Make a datastore's container, and run a contract in it.

        :param version: if it is not the one in the image.
        :param size: MiB that it has at most: the server and what it needs.
        """
        before = self.hosts_apt()
        if version is None:
            made, archive = _make_again()[name]
        else:
            made, archive = base.container(name, version)
        # apt works in the container's root, never on the host
        self.assertEqual(set(), before - self.hosts_apt())
        version = version or loader.load().datastore(name).default_version
        self.assertRegex(made.installed, rf"(^|:){version}\.")
        self.assertLess(made.size, size * 1024**2)
        root = self.place / "root"
        self.unpack(archive, root)
        # what the agent mounts there
        configuration = root / "etc/mysql"
        configuration.mkdir(exist_ok=True)
        os.chown(configuration, 1001, 1001)
        config = recipes.read(name).configuration(version)
        done = subprocess.run(
            ["unshare", "--mount", "--pid", "--fork", "--kill-child",
             "--net", "--ipc", "sh", "-c", _ENTER, "sh", root, contract,
             *config["Env"]],
            stdin=subprocess.DEVNULL, capture_output=True, text=True,
        )  # fmt: skip
        said = f"{done.stdout[-3000:]}{done.stderr[-3000:]}"
        self.assertEqual(0, done.returncode, said)
        self.assertIn("contract kept", done.stdout)

    def hosts_apt(self) -> set[str]:
        """Return the files that apt keeps on this host, but for locks."""
        marker = pathlib.Path("/var/cache/apt/archives/trove-tools_1_all.deb")
        if not marker.exists():
            marker.touch()
            self.addCleanup(marker.unlink, missing_ok=True)
        return {
            os.fspath(path)
            for place in (marker.parent, pathlib.Path("/var/lib/apt/lists"))
            for path in place.iterdir()
        }

    def unpack(self, archive: pathlib.Path, root: pathlib.Path) -> None:
        root.mkdir()
        for layer in self.layers(archive):
            self.tar(
                "--extract", "--file", archive, "--directory", self.place,
                layer,
            )  # fmt: skip
            self.tar(
                "--extract", "--numeric-owner", "--file", self.place / layer,
                "--directory", root,
            )  # fmt: skip
        for secret in ("ssl/private", "shadow-", "machine-id", "apt/sources*"):
            self.assertEqual([], list(root.glob(f"etc/{secret}")))

    def layers(self, archive: pathlib.Path) -> list[str]:
        """Return the names of an archive's layers, the lowest first."""
        (image,) = json.loads(
            self.tar("--extract", "-O", "--file", archive, "manifest.json")
        )
        layers: list[str] = image["Layers"]
        return layers

    def tar(self, *argv: typing.Any) -> str:
        done = subprocess.run(
            ["tar", *argv], check=True, capture_output=True, text=True
        )
        return done.stdout

    def test_mariadb(self) -> None:
        self.keep("mariadb", _MARIADB)

    def test_postgresql(self) -> None:
        self.keep("postgresql", _POSTGRESQL)

    def test_mysql_of_another_suite(self) -> None:
        # the server alone has 73, and what it knows of languages 32
        self.keep("mysql", _MYSQL, "9.7", 250)

    def test_same_packages_same_bytes(self) -> None:
        # made for that image some time ago, and made again here
        known = manifest.read(self.container_image())
        assert known is not None
        found = {
            each.names[0]: each.digest
            for datastore in known.datastores
            for each in datastore.containers
            if each.source == "packages"
        }
        made = [*_make_again().values()]
        self.assertEqual(
            found,
            {each.container.names[0]: each.digest for each, _ in made},
        )
        # what they have in common is in the image once
        lowest = {self.layers(archive)[0] for _, archive in made}
        self.assertEqual(1, len(lowest))
        backups = {
            tuple(self.layers(archive)[:2])
            for each, archive in made
            if each.container.backup
        }
        self.assertEqual(1, len(backups))


class RegistryTest(base.TestCase):
    """What a whole build takes from a registry."""

    def test_it_is_what_the_lock_file_says(self) -> None:
        known = manifest.read(self.container_image())
        assert known is not None
        (*_, mysql) = known.datastores
        (container,) = mysql.containers
        self.assertEqual(("mysql", "8.4.0"), (mysql.name, mysql.installed))
        self.assertEqual("registry", container.source)
        locked = lock.read(base.lock_file())
        self.assertEqual(
            {container.reference: container.digest}, locked
        )
        written = base.lock_file().with_suffix(".written")
        self.assertEqual(locked, lock.read(written))
