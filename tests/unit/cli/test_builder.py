# SPDX-License-Identifier: Apache-2.0
"""trove-image-builder's command line, and how it refuses."""

import dataclasses
import json
import os
import typing

import ddt

from tests import base
from tests import signing
from tests.unit.verify import samples
from trove_tools import errors
from trove_tools.artifact import manifest
from trove_tools.catalog import loader
from trove_tools.cli import build as building
from trove_tools.cli import builder
from trove_tools.cli import catalog
from trove_tools.cli import exit_status
from trove_tools.host import process
from trove_tools.host import requirements
from trove_tools.plan import plan
from trove_tools.verify import disks


class CommandCase(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.set_env(HOME=str(self.temp_dir()), XDG_CACHE_HOME=None)
        # the handlers would outlive the test
        self.patch_object(exit_status, "_unwind_on_signals", lambda: None)

    def call(self, *words: str) -> tuple[int, str, str]:
        out, err = self.capture()
        status = builder.main(words)
        for stream in (out, err):
            stream.seek(0)
        return status, out.read(), err.read()

    def refused(self, status: int, *words: str) -> str:
        """Run a command that must fail, and return what it said."""
        found, out, err = self.call(*words)
        self.assertEqual((status, ""), (found, out), err)
        self.assertTrue(err.startswith("error: "), err)
        self.assertNotIn("Traceback", err)
        self.assertIn("\nhint: ", err)
        return err


class ReadingTest(CommandCase):
    def test_list(self) -> None:
        status, out, _ = self.call("list", "--format", "json")
        self.assertEqual(0, status)
        rows = json.loads(out)
        self.assertIn(
            ("mariadb", "11.8", True),
            [(row["datastore"], row["version"], row["default"])
             for row in rows],
        )  # fmt: skip

    def test_list_has_a_line_for_each_datastore(self) -> None:
        status, out, err = self.call("list")
        self.assertEqual(0, status)
        rows = out.splitlines()[2:]
        known = loader.load().datastores
        self.assertEqual(list(known), [row.split()[0] for row in rows])
        self.assertLessEqual(max(map(len, out.splitlines())), 80)
        self.assertIn("11.8, 10.11, 10.6", out)
        self.assertIn("--long", err)

    def test_list_of_some(self) -> None:
        _, out, _ = self.call("list", "redis", "mariadb", "-f", "json")
        names = [row["datastore"] for row in json.loads(out)]
        self.assertEqual({"redis", "mariadb"}, set(names))
        _, out, _ = self.call("list", "redis", "mariadb", "--long")
        self.assertIn("guest systems", out.splitlines()[0])
        self.assertEqual(len(names), len(out.splitlines()) - 2)

    def test_what_scripts_get_of_list(self) -> None:
        _, out, _ = self.call("list", "-f", "json")
        self.assertEqual(
            ["datastore", "version", "default", "runtime", "guest_systems",
             "tier", "manager", "from", "gate"],
            list(json.loads(out)[0]),
        )  # fmt: skip
        _, long, _ = self.call("list", "-f", "json", "--long")
        self.assertEqual(out, long)

    def test_show(self) -> None:
        status, out, _ = self.call("show", "mariadb", "-f", "shell")
        self.assertEqual(0, status)
        self.assertIn("SHOWN_NAME=mariadb\n", out)

    def test_plan_in_every_form(self) -> None:
        for form in ("table", "json", "shell"):
            status, out, _ = self.call("plan", "mariadb", "-f", form)
            self.assertEqual(0, status)
            self.assertIn("trove-mariadb-11.8-debian-13-amd64", out)

    def test_plans_of_several(self) -> None:
        status, out, _ = self.call(
            "plan", "mariadb:11.8", "mariadb:10.11", "-f", "json"
        )
        self.assertEqual(0, status)
        self.assertEqual(2, len(json.loads(out)))

    def test_one_image_for_several(self) -> None:
        status, out, _ = self.call(
            "plan", "mariadb", "postgresql", "--together", "-f", "json"
        )
        self.assertEqual(0, status)
        plan = json.loads(out)
        self.assertEqual(
            "trove-mariadb-11.8-postgresql-17-debian-13-amd64", plan["name"]
        )
        # with what takes backups of each
        self.assertEqual(4, len(plan["layers"][2]["containers"]))
        self.assertTrue(plan["local_manifests"])


@ddt.ddt
class RefusalTest(CommandCase):
    @ddt.data(
        ("list mariabd", "did you mean mariadb?"),
        ("build mariabd", "did you mean mariadb?"),
        ("build mariadb:11.9", "did you mean 11.8?"),
        ("build mariadb --guest debian-31", "did you mean debian-13?"),
        ("build mariadb --outptu-dir x", "did you mean --output-dir?"),
        ("build mariadb --compression lz4", "known values: none, zlib, zstd"),
        ("build mariadb --disk-size big", "wanted: a whole number"),
        ("build", "or --all"),
        ("build mariadb --all", "leave one of the two out"),
        ("plan --all", "--package couchbase=FILE|URL"),
        ("biuld mariadb", "did you mean build?"),
        ("list --catalog /nowhere", "--catalog"),
        ("list --config-file /nowhere", "--config-file"),
        ("plan mariadb mariadb:10.11 --name x", "--name"),
        ("plan mariadb mariadb:10.11 --together", "--together"),
        ("plan mysql:8.4 --container-source packages", "registry"),
    )
    @ddt.unpack
    def test_usage(self, words: str, hint: str) -> None:
        said = self.refused(errors.EXIT_USAGE, *words.split())
        self.assertIn(hint, said.partition("hint: ")[2])

    def test_variable_with_a_bad_value(self) -> None:
        self.set_env(GUEST_IMAGESIZE="much")
        said = self.refused(errors.EXIT_USAGE, "plan", "mariadb")
        self.assertIn("GUEST_IMAGESIZE", said)

    def test_broken_catalog(self) -> None:
        place = self.temp_dir()
        (place / "x.yaml").write_text("name: x\ntier: y\n")
        said = self.refused(
            errors.EXIT_USAGE, "list", "--catalog", str(place)
        )
        self.assertIn(f"{place}/x.yaml:2: tier: 'y' is not one of", said)
        self.assertIn("'versions' is a required property", said)

    def test_missing_tools_are_named_with_their_packages(self) -> None:
        self.set_env(PATH=str(self.temp_dir()))
        self.patch_object(process, "_SYSTEM_PLACES", ())
        said = self.refused(
            errors.EXIT_MISSING,
            "build", "mariadb", "-o", str(self.temp_dir()),
        )  # fmt: skip
        self.assertIn("debootstrap", said)
        self.assertIn("qemu-utils", said)

    def test_too_little_disk(self) -> None:
        self.patch_object(requirements.process, "require", lambda *tools: None)
        self.patch_object(requirements, "may_be_root", lambda: True)
        self.patch_object(requirements, "WORK_SPACE", 10**6)
        output = self.temp_dir()
        said = self.refused(
            errors.EXIT_MISSING, "build", "mariadb", "-o", str(output)
        )
        self.assertIn("too little disk space", said)
        self.assertIn("GiB needed", said)
        self.assertEqual([], list(output.iterdir()))

    def test_no_root(self) -> None:
        self.patch_object(requirements.process, "require", lambda *tools: None)
        self.patch_object(requirements, "may_be_root", lambda: False)
        said = self.refused(errors.EXIT_MISSING, "build", "mariadb")
        self.assertIn("sudo", said)

    def test_output_that_cannot_be_written(self) -> None:
        self.patch_object(requirements.process, "require", lambda *tools: None)
        self.patch_object(requirements, "may_be_root", lambda: True)
        self.patch_object(requirements, "require_space", lambda *places: None)
        file = self.temp_dir() / "file"
        file.touch()
        said = self.refused(
            errors.EXIT_USAGE, "build", "mariadb", "-o", str(file / "x")
        )
        self.assertIn(f"cannot write to {file}/x", said)

    def test_output_with_a_name_that_is_too_long(self) -> None:
        said = self.refused(
            2, "build", "mariadb", "--output-dir", "x" * 300,
            "--cache-dir", str(self.temp_dir()),
        )  # fmt: skip
        self.assertIn("File name too long", said)
        self.assertIn("--output-dir", said)

    def test_value_that_begins_with_a_dash(self) -> None:
        said = self.refused(2, "build", "mariadb", "--output-dir", "--x")
        self.assertIn("--output-dir=-x", said)

    def test_where_mmdebstrap_cannot_work(self) -> None:
        place = self.temp_dir() / "a b"
        place.mkdir()
        said = self.refused(
            2, "backup-container", "mariadb", "--work-dir", str(place),
            "--output-dir", str(place),
        )  # fmt: skip
        self.assertIn(str(place), said)
        self.assertIn("--work-dir", said)

    def test_a_defect_of_ours_is_called_so(self) -> None:
        self.patch_object(catalog, "list_datastores", lambda *words: 1 / 0)
        status, _, err = self.call("list")
        self.assertEqual(errors.EXIT_FAILED, status)
        self.assertIn("--debug", err)
        self.assertNotIn("Traceback", err)

    def test_interrupt(self) -> None:
        def interrupt(*words: object) -> None:
            raise KeyboardInterrupt

        self.patch_object(catalog, "list_datastores", interrupt)
        status, _, err = self.call("list")
        self.assertEqual(errors.EXIT_INTERRUPTED, status)
        self.assertIn("interrupted; unfinished work was undone", err)

    def test_interrupt_of_work_that_goes_on(self) -> None:
        def interrupt(*words: object) -> None:
            raise KeyboardInterrupt("Trove goes on")

        self.patch_object(catalog, "list_datastores", interrupt)
        _, _, err = self.call("list")
        self.assertIn("interrupted; Trove goes on", err)
        self.assertNotIn("undone", err)


class VerifyTest(CommandCase):
    def test_no_such_image(self) -> None:
        said = self.refused(errors.EXIT_USAGE, "verify", "/nowhere.qcow2")
        self.assertIn("/nowhere.qcow2 cannot be read", said)

    def test_no_manifest(self) -> None:
        image = self.temp_dir() / "x.qcow2"
        image.write_text("x")
        self.patch_object(disks, "inspect_image", lambda image: None)
        said = self.refused(errors.EXIT_USAGE, "verify", str(image))
        self.assertIn("--datastore", said)

    def test_manifest_that_cannot_be_read(self) -> None:
        image = self.temp_dir() / "x.qcow2"
        image.write_text("x")
        manifest.sidecar(image).mkdir()
        manifest.path(image).write_text("{")
        said = self.refused(errors.EXIT_FAILED, "verify", str(image))
        self.assertIn(str(manifest.path(image)), said)

    def test_an_image_of_another_series(self) -> None:
        image = self.temp_dir() / "x.qcow2"
        image.write_text("x")
        entry = manifest.Datastore(
            "mysql", "8.4", "mysql", "container", (), 1, 1
        )
        made = dataclasses.replace(
            samples.manifest(), series={"trove": "25"}, datastores=(entry,)
        )
        self.patch_object(manifest, "read", lambda *_: made)
        said = self.refused(errors.EXIT_FAILED, "verify", str(image))
        self.assertIn("was built for Trove 25", said)
        self.assertIn("hint: use the release of its series", said)


class DoctorTest(CommandCase):
    def test_missing_tools(self) -> None:
        self.set_env(PATH=str(self.temp_dir()))
        self.patch_object(process, "_SYSTEM_PLACES", ())
        status, out, _ = self.call("doctor", "-f", "json")
        self.assertEqual(errors.EXIT_MISSING, status)
        rows = {row["check"]: row for row in json.loads(out)}
        self.assertFalse(rows["qemu-img (to build)"]["ok"])
        self.assertIn("qemu-utils", rows["qemu-img (to build)"]["remedy"])
        self.assertIn("what runs a guest", rows)

    def keys(self, *words: str) -> dict[str, dict[str, typing.Any]]:
        """Return what doctor finds of keys, and their program."""
        status, out, _ = self.call("doctor", "-f", "json", *words)
        rows = {row["check"]: row for row in json.loads(out)}
        return {name: row for name, row in rows.items() if "key" in name}

    def test_keys(self) -> None:
        signing.need(self)
        self.assertEqual({}, self.keys())
        key = signing.make_key(self.temp_dir() / "key")
        public = signing.public(key)
        found = self.keys("--sign-key", str(key), "--trusted-key", str(public))
        self.assertEqual([True] * 3, [row["ok"] for row in found.values()])
        self.assertRegex(found["--sign-key"]["found"], "^SHA256:")
        self.assertEqual(
            found["--sign-key"]["found"], found["--trusted-key"]["found"]
        )
        key.chmod(0o644)
        found = self.keys("--sign-key", str(key))
        self.assertFalse(found["keys"]["ok"])
        self.assertIn("chmod 600", found["keys"]["remedy"])

    def test_no_tool_for_keys(self) -> None:
        self.set_env(PATH=str(self.temp_dir()))
        self.patch_object(process, "_SYSTEM_PLACES", ())
        found = self.keys("--sign-key", "/nowhere")
        (row,) = found.values()
        self.assertFalse(row["ok"])
        self.assertIn("openssh", row["remedy"])

    def test_space_is_added_up_by_file_system(self) -> None:
        place = self.temp_dir()
        (finding,) = requirements.check_space(
            place / "out", place, place / "cache"
        )
        total = (
            requirements.WORK_SPACE
            + requirements.OUTPUT_SPACE
            + requirements.CACHE_SPACE
        )
        self.assertIn(f"{total} GiB needed", finding.found)


class PidFileTest(CommandCase):
    def setUp(self) -> None:
        super().setUp()
        self.file = self.temp_dir() / "build.pid"

    def test_as_long_as_the_build(self) -> None:
        def build(*words: object) -> int:
            self.assertEqual(f"{os.getpid()}\n", self.file.read_text())
            return 0

        self.patch_object(plan, "make_all", lambda *words: [])
        self.patch_object(building, "build", build)
        status, _, err = self.call(
            "build", "mariadb", "--pid-file", str(self.file)
        )
        self.assertEqual((0, ""), (status, err))
        self.assertFalse(self.file.exists())

    def test_no_such_directory(self) -> None:
        said = self.refused(
            errors.EXIT_USAGE,
            "build", "mariadb", "--pid-file", str(self.file / "x"),
        )  # fmt: skip
        self.assertIn("--pid-file", said)
