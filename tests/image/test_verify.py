# SPDX-License-Identifier: Apache-2.0
"""verify, with a real image: a good one, and one with planted faults.

A boot takes minutes where there is no KVM.  So only the good image is booted,
and the other one runs in a container where there can be one; both at the same
time, which also shows that two verifies do not meet.  Several faults are
planted in one guest.
"""

import concurrent.futures
import contextlib
import dataclasses
import json
import os
import pathlib
import socket
import tempfile
import threading
import typing

from tests.image import base
from trove_tools import console
from trove_tools.artifact import report
from trove_tools.artifact import verification
from trove_tools.catalog import gate
from trove_tools.catalog import loader
from trove_tools.catalog import model
from trove_tools.host import digests
from trove_tools.host import loopdevice
from trove_tools.host import process
from trove_tools.host import requirements
from trove_tools.verify import disks
from trove_tools.verify import ladder
from trove_tools.verify import levels
from trove_tools.verify import machine
from trove_tools.verify import machines
from trove_tools.verify import outcome
from trove_tools.verify import probes

# two guests at a time on two processors, without KVM
_TIMEOUT = 1200
_PLANTED = {
    "etc/systemd/system/planted.service": (
        "[Service]\n"
        "Type=oneshot\n"
        "ExecStart=/bin/sh -c 'echo a planted fault; exit 3'\n"
    ),
    # the server is there, but nobody outside reaches it
    "etc/mysql/mariadb.conf.d/zzz-planted.cnf": (
        "[mysqld]\nbind-address = 127.0.0.1\n"
    ),
}


class VerifyTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        if not requirements.may_be_root():
            self.skipTest("faults are planted by root, or with sudo")
        self.good = self.image()
        self.place = self.temp_dir()
        self.scratch = self.temp_dir()
        self.set_env(
            TMPDIR=str(self.scratch), XDG_STATE_HOME=str(self.place)
        )
        self.patch_object(probes, "_QUIET", 15.0)
        self.patch_object(tempfile, "tempdir", str(self.scratch))
        self.catalog = loader.load()

    def plant(self) -> pathlib.Path:
        """Return a raw copy of the image with faults in it."""
        broken = self.place / "broken.raw"
        process.run([disks.TOOL, "convert", "-O", "raw", self.good, broken])
        tree = self.place / "tree"
        for name, text in _PLANTED.items():
            file = tree / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        wants = tree / "etc/systemd/system/multi-user.target.wants"
        wants.mkdir()
        (wants / "planted.service").symlink_to("../planted.service")
        root = self.place / "root"
        root.mkdir()
        offset, _ = loopdevice.find_largest_partition(broken)
        options = f"loop,offset={offset}"
        self.as_root("mount", "-o", options, broken, root)
        try:
            self.as_root(
                "cp", "-r", "--preserve=links,mode", f"{tree}/.", root
            )
        finally:
            self.as_root("umount", root)
        return broken

    def as_root(self, *argv: process.Argument) -> None:
        process.run(process.as_root(argv))

    def test_a_good_image_and_a_broken_one(self) -> None:
        broken = self.plant()
        with (
            Listener() as listener,
            concurrent.futures.ThreadPoolExecutor(2) as pool,
        ):
            good = pool.submit(self.verify_good)
            bad = pool.submit(self.verify_broken, broken, listener.port)
            good.result()
            self.check_broken(bad.result())
            self.assertEqual(0, listener.connections)
        self.assertEqual([], os.listdir(self.scratch))

    def verify_good(self) -> None:
        """The command, on the image as it was built."""
        before = digests.compute(self.good)
        outcome = base.builder(
            "verify", self.good, "--force",
            "--level", "datastore",
            "--timeout", str(_TIMEOUT), "--format", "json",
        )  # fmt: skip
        self.assertEqual(0, outcome.status, outcome.stderr)
        found = outcome.json()
        self.assertTrue(found["ok"])
        guest = gate.find_system(self.catalog)
        datastores = list(gate.list_natives(self.catalog, guest).values())
        self.assertIn("mariadb", datastores)
        self.assertEqual({}, found["missing"])
        details = {check["name"]: check["detail"] for check in found["checks"]}
        self.assertEqual(
            {"image", "boot", "systemd", "network", "kernel settings",
             "volume", "file systems", "power off",
             *(f"{name}: probe" for name in datastores)},
            set(details),
        )  # fmt: skip
        self.assertIn("MariaDB", details["mariadb: probe"])
        self.assertGreater(found["facts"]["times"]["total"], 0)
        self.assertEqual(before, digests.compute(self.good))
        if (kept := verification.path(self.good)).exists():
            self.assertEqual(found, json.loads(kept.read_text()))
            self.assertIn(
                "verified: datastore (qemu", report.path(self.good).read_text()
            )

    def verify_broken(self, image: pathlib.Path, port: int) -> outcome.Report:
        """What the command calls, with questions of the test's own."""
        health = self.health()
        with open(os.devnull, "w") as nowhere:
            healths = {
                "mariadb": health,
                "wrong": dataclasses.replace(
                    health,
                    protocol="tcp",
                    port=22,
                    expect="^FTP",
                    # the guest reaches neither us nor anybody else
                    setup=(_unreachable("10.0.2.2", port),),
                ),
                # a volume's file system would be mounted there
                "moved": dataclasses.replace(
                    health,
                    setup=(
                        "mkdir /srv/volume",
                        "trove-move-data mariadb /srv/volume",
                        "mariadb --execute 'SHOW DATABASES' &&"
                        " ls /srv/volume/mariadb/mysql >/dev/null &&"
                        " mountpoint /var/lib/mysql; exit 5",
                    ),
                ),
                "unprepared": dataclasses.replace(
                    health, setup=("echo no {password} for you; exit 4",)
                ),
            }
            request = ladder.Request(
                levels.DATASTORE,
                healths=healths,
                machine=machine.QEMU
                if machines.find_absence(machine.CONTAINER, "amd64")
                else machine.CONTAINER,
                settings=machine.Settings(timeout=_TIMEOUT),
            )
            return ladder.verify(
                image, request, screen=console.Console(stream=nowhere)
            )

    def health(self) -> model.Health:
        return self.catalog.datastore("mariadb").runtime("native").health

    def check_broken(self, found: outcome.Report) -> None:
        of_name = {check.name: check for check in found.checks}
        self.assertFalse(found.ok)
        systemd = of_name["systemd"]
        self.assertEqual(
            "systemd is degraded, failed: planted.service", systemd.detail
        )
        self.assertIn("a planted fault", "\n".join(systemd.log))
        mariadb = of_name["mariadb: probe"]
        self.assertIn("no answer on port 3306 (", mariadb.detail)
        self.assertIn("the guest showed nothing new for", mariadb.detail)
        self.assertFalse(of_name["wrong: probe"].ok)
        self.assertIn("does not match '^FTP'", of_name["wrong: probe"].detail)
        moved = of_name["moved: probe"]
        self.assertIn("(status 5)", moved.detail)
        self.assertEqual("/var/lib/mysql is a mountpoint", moved.log[-1])
        unprepared = of_name["unprepared: probe"]
        self.assertIn("setup failed", unprepared.detail)
        self.assertEqual(["no *** for you"], unprepared.log)
        # what explains a failure is kept, and told
        kept = self.place / "trove-tools" / "verify" / "broken"
        self.assertEqual(str(kept), found.logs)
        (journal,) = kept.rglob(machine.JOURNAL)
        self.assertIn("planted", journal.read_text())
        # it is looked at to its end all the same
        self.assertTrue(of_name["power off"].ok)


def _unreachable(address: str, port: int) -> str:
    attempt = f"timeout 5 bash -c 'exec 3<>/dev/tcp/{address}/{port}'"
    return f"if {attempt}; then echo reached; exit 1; fi"


class Listener(contextlib.AbstractContextManager["Listener"]):
    """Counts who connects to a port of this host."""

    def __init__(self) -> None:
        self.connections = 0
        # on all addresses: whichever way a guest might come
        self._socket = socket.create_server(("", 0))
        self.port: int = self._socket.getsockname()[1]
        self._thread = threading.Thread(target=self._count, daemon=True)
        self._thread.start()

    def _count(self) -> None:
        while True:
            try:
                self._socket.accept()[0].close()
            except OSError:
                return
            self.connections += 1

    def __exit__(self, *args: typing.Any) -> None:
        with contextlib.suppress(OSError):
            self._socket.shutdown(socket.SHUT_RDWR)
        self._socket.close()
        self._thread.join(5)
