# SPDX-License-Identifier: Apache-2.0
"""From build to build, and back: what is kept, served and removed."""

import contextlib
import http.server
import json
import os
import pathlib
import re
import threading
import typing

from troveclient.apiclient import exceptions

from tests.functional import clouds
from tests.functional import forked
from tests.unit.cloud import images
from trove_tools.host import digests


class HistoryTest(clouds.TestCase):
    def activate(self, *args: str) -> typing.Any:
        outcome = self.command("activate-trove-image", *args, "-f", "json")
        self.assertEqual(0, outcome.status, outcome.stderr)
        return outcome.json()

    def names(self) -> set[str]:
        return {image.name for image in self.images()}

    def test_the_story(self) -> None:
        name = f"{self.datastore}:1.0"
        first, second = self.image_file(), self.image_file()
        one = self.loaded(first)
        self.assertEqual("unchanged", self.loaded(first)["upload"])
        self.activate(name)
        two = self.loaded(second)
        self.assertEqual("sent", two["upload"])
        self.assertTrue(two["default"])
        self.assertEqual(two["image_id"], self.activate(name)["image_id"])

        (row,) = self.activate("--list", self.datastore)
        self.assertEqual(second.stem, row["image"])
        self.assertEqual(first.stem, row["previous"])
        self.assertEqual("26.0.0", row["agent_version"])
        self.assertRegex(row["age"], r"^\d+ (s|min)$")

        back = self.activate("--rollback", name)
        self.assertEqual(one["image_id"], back["image_id"])
        self.assertEqual(two["image_id"], back["instead_of"])
        self.assertEqual(one["image_id"], self.activate(name)["image_id"])
        again = self.activate("--rollback", name)
        self.assertEqual({**back, "changed": False}, again)

        # what was withdrawn is no more gone back to, but can be loaded
        self.assertEqual("changed", self.loaded(second)["upload"])
        self.assertEqual(two["image_id"], self.activate(name)["image_id"])
        self.activate("--rollback", name, "--to-image", one["image_id"])
        self.assertEqual(one["image_id"], self.activate(name)["image_id"])
        self.activate("--rollback", name, "--to-image", two["image_id"])
        self.assertEqual(two["image_id"], self.activate(name)["image_id"])
        outcome = self.command(
            "activate-trove-image", "--rollback", name, "--to-image", "none"
        )
        self.assert_refused(outcome, 2, one["image_id"], two["image_id"])

    def test_pinned_versions_go_back_too(self) -> None:
        one = self.loaded(self.image_file(), "--pin")
        two = self.loaded(self.image_file(), "--pin")
        name = f"{self.datastore}:1.0"
        self.assertEqual(two["image_id"], self.activate(name)["image_id"])
        self.activate("--rollback", name)
        (version,) = self.versions()
        self.assertEqual(one["image_id"], version.image)

    def test_how_many_are_kept(self) -> None:
        paths = [self.image_file() for _ in range(4)]
        for path in paths[:3]:
            self.loaded(path)
        self.assertEqual({path.stem for path in paths[1:3]}, self.names())
        self.loaded(paths[3], "--keep", "1")
        self.assertEqual({paths[3].stem}, self.names())

    def test_a_dry_run_says_what_would_be_done(self) -> None:
        for _ in range(2):
            self.loaded(self.image_file())
        before = {image.id: image.updated_at for image in self.images()}
        outcome = self.load(
            self.image_file(), "--activate", "--dry-run", "-f", "json"
        )
        calls = [(call["service"], call["method"])
                 for call in outcome.json()]  # fmt: skip
        self.assertEqual(
            [("Glance", "POST"), ("Glance", "PUT"), ("Glance", "PATCH"),
             ("Trove", "PATCH"), ("Glance", "DELETE")],
            calls,
        )  # fmt: skip
        after = {image.id: image.updated_at for image in self.images()}
        self.assertEqual(before, after)
        self.assertFalse(self.versions()[0].active)


class TogetherTest(clouds.TestCase):
    """Loads of the same image at the same time."""

    def test_two_loads_make_one_image(self) -> None:
        path = self.image_file()
        args = [path, "--activate", "-f", "json"]
        children = [
            forked.start("load-trove-image", args, cwd=self.home)
            for _ in range(3)
        ]
        ends = [child.wait(200) for child in children]
        for status, _, said in ends:
            self.assertEqual(0, status, said)
        rows = [json.loads(stdout)[0] for _, stdout, _ in ends]
        self.assertEqual(1, len({row["image_id"] for row in rows}))
        self.assertEqual(1, len(self.images()))
        self.assertEqual(1, len(self.versions()))
        self.assertEqual(1, [row["upload"] for row in rows].count("sent"))


class WaysTest(clouds.TestCase):
    """Ways for bytes to get into Glance."""

    def sent(self, *args: typing.Any) -> typing.Any:
        row = self.loaded(*args)
        self.assertEqual("sent", row["upload"])
        (image,) = self.images()
        return self.admin.image.get(f"/images/{image.id}").json()

    def test_into_one_store(self) -> None:
        image = self.sent(self.image_file(), "--store", "spare")
        self.assertEqual("spare", image["stores"])

    def test_into_several_stores(self) -> None:
        image = self.sent(
            self.image_file(), "--store", "files", "--store", "spare"
        )
        self.assertEqual({"files", "spare"}, set(image["stores"].split(",")))

    def test_a_store_that_is_not_there(self) -> None:
        outcome = self.load(self.image_file(), "--store", "none")
        self.assert_refused(outcome, 4, "none")
        self.assertEqual([], self.images())

    @contextlib.contextmanager
    def web(self) -> typing.Iterator[str]:
        """Serve this test's files, and return their address."""
        files = self.files
        fetched = self.fetched = list[typing.Any]()

        class Files(http.server.SimpleHTTPRequestHandler):
            def __init__(self, *args: typing.Any) -> None:
                super().__init__(*args, directory=os.fspath(files))

            def log_message(self, *args: typing.Any) -> None:
                fetched.append(args)

        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Files)
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield f"http://127.0.0.1:{server.server_port}"
        finally:
            server.shutdown()
            server.server_close()
            thread.join()

    def test_from_an_url(self) -> None:
        path = self.image_file(manifest=False)
        digest = digests.compute(path)["sha256"]
        what = ["--datastore", self.datastore, "--version", "1.0",
                "--manager", "mariadb", "--sha256"]  # fmt: skip
        with self.web() as address:
            url = f"{address}/{path.name}"
            outcome = self.load(url, *what, "0" * 64)
            self.assert_refused(outcome, 1, digest)
            image = self.sent(url, *what, digest)
            self.assertEqual(digest, image["trove_tools_sha256"])
            fetched = len(self.fetched)
            row = self.loaded(url, *what, digest)
            self.assertEqual("unchanged", row["upload"])
            self.assertEqual(fetched, len(self.fetched))


class ParametersTest(clouds.TestCase):
    def installed_trove(self) -> pathlib.Path:
        """Return the package of the cloud's own Trove, with its rules."""
        (trove,) = pathlib.Path(self.minicloud_state().venv).glob(
            "lib/python3*/site-packages/trove"
        )
        return trove

    def test_of_each_manager(self) -> None:
        """Trove takes them all, and then values that they allow."""
        trove = self.installed_trove()
        create = self.trove().configurations.create
        for manager, names in (
            ("mysql", ["innodb_buffer_pool_chunk_size"]),
            ("postgresql", ["max_connections",
                            "superuser_reserved_connections"]),
        ):  # fmt: skip
            served = images.datastore(
                self.unique("store"), "1.0", manager=manager
            )
            row = self.loaded(
                self.image_file(datastores=(served,)), "--parameters", trove,
                "--activate",
            )  # fmt: skip
            where = {
                "datastore": row["datastore"],
                "datastore_version": row["version"],
            }
            for name in names:
                create("a group", json.dumps({name: 2_000_000}), **where)
                self.assertRaises(
                    exceptions.UnprocessableEntity,
                    create, "a group", json.dumps({name: -1}), **where,
                )  # fmt: skip

    def test_those_of_trove_itself(self) -> None:
        trove = self.installed_trove()
        path = self.image_file()
        row = self.loaded(path, "--parameters", trove)
        added = re.match(r"(\d+) added", row["parameters"])
        assert added is not None
        known = self.parameters(row)
        self.assertEqual(int(added[1]), len(known))
        self.assertIn("unchanged", self.again(path, trove))

        changed = known["connect_timeout"]
        self.admin.database.put(
            f"{self.place(row)}/connect_timeout",
            json={"configuration-parameter": {
                "name": "connect_timeout", "restart_required": 1,
                "data_type": "integer", "min_size": 1, "max_size": 2,
            }},
        )  # fmt: skip
        self.admin.database.delete(f"{self.place(row)}/autocommit")
        self.assertNotEqual(known, self.parameters(row))
        self.assertIn("1 added, 1 changed", self.again(path, trove))
        self.assertEqual(known, self.parameters(row))
        self.assertEqual(changed, self.parameters(row)["connect_timeout"])

    def again(self, path: typing.Any, trove: typing.Any) -> str:
        row = self.loaded(path, "--parameters", trove)
        self.assertEqual("unchanged", row["upload"])
        told: str = row["parameters"]
        return told

    def place(self, row: typing.Any) -> str:
        return f"/mgmt/datastores/versions/{row['version_id']}/parameters"

    def parameters(self, row: typing.Any) -> dict[str, typing.Any]:
        answer = self.admin.database.get(self.place(row)).json()
        return {
            each["name"]: each for each in answer["configuration-parameters"]
        }
