# SPDX-License-Identifier: Apache-2.0
"""The backup container takes a backup of a real server, and restores it.

Called as Trove's guest agent calls it, with a stand-in for Swift.  Without
an engine, in namespaces: what is tested is the container, not Docker.
"""

import os
import pathlib
import subprocess

from tests.image import base
from tests.image import standin
from trove_tools.host import process
from trove_tools.sources.container import recipes

# $1: this directory; the server's root is "server", the container's "backup"
_SCRIPT = r"""
set -eu
cd "$1"
ip link set lo up
for root in server backup; do
    mount -t proc proc $root/proc
    mount --bind /dev $root/dev
done
python3 swift.py 8080 2> swift.log &
password=pw
database() {
    chroot --userspec=1001:1001 server /usr/bin/env -i PATH=$DB_PATH "$@"
}
start() {
    # no function, whose shell would be what is killed
    chroot --userspec=1001:1001 server /usr/bin/env -i PATH=$DB_PATH \
        MYSQL_ROOT_PASSWORD=$password \
        docker-entrypoint.sh --datadir=/var/lib/mysql/data &
    server=$!
    tries=0
    until sql "SELECT 1" > /dev/null 2>&1; do
        tries=$((tries + 1))
        kill -0 $server
        [ $tries -lt 150 ]
        sleep 1
    done
}
sql() {
    database mariadb --user=root --password=$password --batch \
        --skip-column-names --execute="$1"
}
trove_backup() {
    chroot backup /usr/bin/env -i -C /opt/trove/site-packages/backup "$@"
}
start
sql "CREATE DATABASE kept; CREATE TABLE kept.x (i INT);
     INSERT INTO kept.x VALUES (7)"
for shared in var/lib/mysql run/mysqld; do
    mkdir -p server/$shared backup/$shared
    mount --bind server/$shared backup/$shared
done
swift="--storage-driver=swift --driver=mariabackup --os-token=token
    --swift-url=http://127.0.0.1:8080/v1/AUTH_verify"
. ./environment
trove_backup $ENVIRONMENT $ENTRYPOINT python3 main.py --backup \
    --backup-id=b1 $swift --db-host=localhost --db-user=root \
    --db-password=$password --swift-container=database_backups \
    --swift-extra-metadata=datastore:mariadb,datastore_version:11.8 \
    2>&1 | tee said
said=$(tail -n 1 said)
location=${said##*location: }
rest=${said##*checksum: }
kill $server
wait $server
find server/var/lib/mysql/data -mindepth 1 -delete
trove_backup $ENVIRONMENT $ENTRYPOINT python3 main.py --nobackup $swift \
    --restore-from=$location --restore-checksum=${rest%%,*} 2>&1
chown -R 1001:1001 server/var/lib/mysql
start
[ "$(sql "SELECT i FROM kept.x")" = 7 ]
kill $server
wait $server
echo backup kept
"""

# all that Trove's program may load, by its own tables
_LOAD = """
import main
from oslo_config import cfg
from oslo_utils import importutils
cfg.CONF.register_cli_opts(main.cli_opts)
for table in (main.driver_mapping, main.storage_mapping):
    for name in table.values():
        importutils.import_class(name)
        print(name)
"""


class BackupTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.need_time("some minutes")
        if os.geteuid() != 0:
            self.skipTest("entering a container's root needs root")
        self.need_mount_namespaces()
        process.require("mmdebstrap", "unshare", "ip")
        self.place = self.temp_dir()

    def unpack(self, archive: pathlib.Path, name: str) -> list[str]:
        """Unpack a container; return its environment."""
        layer = self.place / f"{name}.root"
        config = standin.layer_of(archive, layer)
        root = self.place / name
        root.mkdir()
        process.run(
            ["tar", "--extract", "--numeric-owner", "--file", layer,
             "--directory", root]
        )  # fmt: skip
        layer.unlink()
        entry = " ".join(config["Entrypoint"])
        environment = " ".join(config["Env"])
        (self.place / "environment").write_text(
            f"ENVIRONMENT='{environment}'\nENTRYPOINT='{entry}'\n"
        )
        found: list[str] = config["Env"]
        return found

    def make(self, datastore: str) -> dict[str, str]:
        """Make a backup container; return what the builder said of it."""
        outcome = base.builder(
            "backup-container", datastore, "--output-dir", self.place,
            "--format", "json",
        )  # fmt: skip
        self.assertEqual(0, outcome.status, outcome.stderr)
        made: dict[str, str] = outcome.json()
        return made

    def test_the_program_loads_with_every_tool(self) -> None:
        # the one whose tool brings the fewest libraries
        made = self.make("postgresql")
        environment = self.unpack(pathlib.Path(made["archive"]), "backup")
        done = process.run(
            ["chroot", self.place / "backup", "/usr/bin/env", "-i", "-C",
             f"/{recipes.PROGRAM}", *environment, "python3", "-c", _LOAD]
        )  # fmt: skip
        self.assertIn("backup.drivers.postgres.PgBasebackup\n", done.stdout)

    def test_backup_and_restore(self) -> None:
        made = self.make("mariadb")
        _, mariadb = base.container("mariadb")
        environment = self.unpack(mariadb, "server")
        (path,) = [one for one in environment if one.startswith("PATH=")]
        # last: its environment is the one that is kept
        self.unpack(pathlib.Path(made["archive"]), "backup")
        source = pathlib.Path(__file__).with_name("swift.py")
        (self.place / "swift.py").write_text(source.read_text())
        done = subprocess.run(
            ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--net",
             "--ipc", "sh", "-c", _SCRIPT, "sh", self.place],
            stdin=subprocess.DEVNULL, capture_output=True, text=True,
            env={"PATH": os.environ["PATH"], "DB_PATH": path[5:]},
        )  # fmt: skip
        said = f"{done.stdout[-3000:]}{done.stderr[-3000:]}"
        self.assertEqual(0, done.returncode, said)
        self.assertIn("backup kept", done.stdout)
        self.assertRegex(made["trove"], r"^\d+\.\d")
