# SPDX-License-Identifier: Apache-2.0
"""Loads and activations that are disturbed at each request in turn.

Whatever happens at whichever request: Trove takes the old image or the new
one, complete, and nothing else; run again, the command ends in the same
state as one that was never disturbed; and nothing is left over.

All faults at all requests take some minutes: ``tools/run-tests --all``
tries them.  Otherwise each request gets some faults, so that each fault
comes at many requests.
"""

import itertools
import json
import logging
import os
import pathlib
import time
import typing

from testtools import content

from tests import base as tests_base
from tests.functional import clouds
from tests.functional import faultproxy
from tests.functional import forked
from tests.unit.cloud import images
from trove_tools.cloud import image as _image
from trove_tools.cloud import retry
from trove_tools.host import digests

#: Tried at each request of a run that does not try all.
_SAMPLE = 1

_RULES = {
    "configuration-parameters": [
        {"name": "one", "restart_required": True, "type": "integer",
         "min": 0, "max": 9},
        {"name": "two", "restart_required": False, "type": "string"},
    ]
}  # fmt: skip

#: What differs between two images that were loaded in the same way.
_OWN = ("id", "name", "checksum", "os_hash_value", "created_at", "file",
        "updated_at", "self", "direct_url", _image.SHA256)  # fmt: skip


class FaultTest(clouds.TestCase):
    timeout = 3600
    # hundreds of runs would log more than the 4 MiB that a test may tell
    log_level = logging.WARNING

    def setUp(self) -> None:
        super().setUp()
        self.rules = self.files / "rules.json"
        self.rules.write_text(json.dumps(_RULES))
        self.proxy = faultproxy.Proxy(self.minicloud_state().ports)
        self.addCleanup(self.proxy.close)
        self.project = self.admin.current_project_id
        # a busy host must not hurt a run that is not to be disturbed
        self.watched_only = self.through_proxy()
        self.disturbed = self.through_proxy(api_timeout=faultproxy.PATIENCE)
        direct = str(self.minicloud_dir / "clouds.yaml")
        self.set_env(OS_CLIENT_CONFIG_FILE=direct)
        self.tried = self.survived = self.number = 0

    def through_proxy(self, **changes: typing.Any) -> dict[str, str]:
        """Return an environment in which commands talk to the proxy.

        :param changes: what else to change in each cloud.
        """
        ports = self.proxy.ports
        keystone = f"http://127.0.0.1:{ports['keystone']}/v3"
        clouds_yaml = self.altered_clouds(
            auth={"auth_url": keystone},
            identity_endpoint_override=keystone,
            image_endpoint_override=f"http://127.0.0.1:{ports['glance']}",
            database_endpoint_override=(
                f"http://127.0.0.1:{ports['trove']}/v1.0/{self.project}"
            ),
            **changes,
        )
        return {"OS_CLIENT_CONFIG_FILE": str(clouds_yaml)}

    def build(self) -> pathlib.Path:
        """Return a new image, unlike every other one.

        Glance knows the age of images in seconds, so that all images of one
        second count as the newest: no two are created in the same one.
        """
        newest = self.served()
        while newest and newest["created_at"] >= time.strftime(
            "%Y-%m-%dT%H:%M:%SZ", time.gmtime()
        ):
            time.sleep(0.05)
        self.number += 1
        path = self.files / f"{self.datastore}-{self.number}.qcow2"
        path.write_bytes(images.qcow2(data=os.urandom(64) * 1024))
        entry = images.datastore(self.datastore, "1.0", manager="mariadb")
        images.describe(path, datastores=(entry,))
        return path

    def watched(self) -> str:
        """Return the path at Glance that Trove asks for."""
        tags = "&".join(f"tag={t}" for t in ("trove", self.datastore, "1.0"))
        return f"/v2/images?{tags}&status=active&sort=created_at:desc&limit=1"

    def served(self) -> typing.Any:
        answer = self.admin.image.get(self.watched().removeprefix("/v2"))
        found = answer.json()["images"]
        return found[0] if found else None

    def run_disturbed(
        self, plan: faultproxy.Plan, name: str, *args: typing.Any
    ) -> tuple[tuple[int, str, str], faultproxy.Seen]:
        def first() -> None:
            if plan.number:
                retry.PAUSE = 0.02
                retry.SEEN_WITHIN = 0.5
            # not before it is known whom to kill
            os.read(ready, 1)

        ready, go = os.pipe()
        env = self.disturbed if plan.number else self.watched_only
        child = forked.start(name, args, env, self.home, first)
        self.proxy.plan(plan, child.pid)
        os.write(go, b"!")
        outcome = child.wait(300)
        os.close(ready)
        os.close(go)
        return outcome, self.proxy.seen()

    def plan(self, number: int = 0, kind: str = "") -> faultproxy.Plan:
        token = self.admin.session.get_token()
        return faultproxy.Plan(number, kind, self.watched(), token)

    def state(self) -> typing.Any:
        """Return all that is there, without what differs each time."""
        found = [
            record
            for record in self.admin.image.get(
                "/images?limit=500&sort=created_at:asc"
            ).json()["images"]
            if self.datastore in record["name"]
            or record.get(_image.SERVES) == f"{self.datastore}:1.0"
        ]
        for record in found:
            record["tags"].sort()
        trove = self.admin.database
        versions = [
            version
            for version in trove.get("/mgmt/datastore-versions").json()[
                "versions"
            ]
            if version["datastore_name"] == self.datastore
        ]
        parameters = [
            trove.get(
                f"/mgmt/datastores/versions/{version['id']}/parameters"
            ).json()["configuration-parameters"]
            for version in versions
        ]
        return {
            "images": [_without(record, _OWN) for record in found],
            "versions": [
                _without(version, ("id", "datastore_id"))
                for version in versions
            ],
            "parameters": [
                sorted(
                    (
                        _without(each, ("datastore_version_id",))
                        for each in known
                    ),
                    key=lambda each: str(each["name"]),
                )
                for known in parameters
            ],
        }

    def incomplete(self) -> list[str]:
        """Return the images of anybody's that are not complete."""
        return [
            record["id"]
            for record in self.admin.image.get("/images?limit=500").json()[
                "images"
            ]
            if _image.UPLOADING in record
            and record.get(_image.SERVES, self.datastore).startswith(
                self.datastore
            )
            and self.datastore in record["name"]
        ]

    def cases(
        self, requests: list[str], changes: bool = False
    ) -> list[tuple[int, str]]:
        """Return which fault comes at which request.

        :param requests: what a run that was not disturbed has sent.
        :param changes: at those that change something, where not all are
            tried.
        """
        numbers = range(1, len(requests) + 1)
        kinds = faultproxy.KINDS
        if tests_base.all_of_them():
            return list(itertools.product(numbers, kinds))
        # 14 kinds and a step of 5: all of them come in turn
        return [
            (number, kinds[(5 * number + more) % len(kinds)])
            for number in numbers
            for more in range(_SAMPLE)
            if not changes or " GET " not in requests[number - 1]
        ]

    def check_outcome(
        self,
        case: tuple[int, str],
        outcome: tuple[int, str, str],
        seen: faultproxy.Seen,
    ) -> None:
        status, _, said = outcome
        where = f"{case}: {seen.requests[-1:]}\n{said}"
        self.assertTrue(seen.hurt, where)
        if case[1] in faultproxy.KILLS:
            self.assertEqual(-9, status, where)
        else:
            self.assertIn(status, (0, 4), where)
        self.assertNotIn("Traceback", said, where)
        service, method, _ = seen.requests[case[0] - 1].split(" ", 2)
        if case[1] == faultproxy.SWALLOW and faultproxy.changes_something(
            service, method
        ):
            # what was not done is not claimed, unless it was done again
            noticed = "is still in Glance" in said or "trying again" in said
            self.assertTrue(status == 4 or noticed, where)

    def check_served(
        self,
        case: tuple[int, str],
        seen: faultproxy.Seen,
        before: typing.Any,
        path: pathlib.Path,
    ) -> None:
        """Check that Trove saw the old image, or the new one, complete."""
        digest = digests.compute(path)["sha512"]
        switched = False
        for image in seen.served:
            if image and image["os_hash_value"] == digest:
                switched = True
                self.assertNotIn(_image.UPLOADING, image, case)
                self.assertEqual("debian", image["os_distro"], case)
            else:
                self.assertFalse(switched, case)
                self.assertEqual(
                    before and before["id"], image and image["id"], case
                )

    def survive(self, case: tuple[int, str], expected: typing.Any) -> None:
        """Check that all is as after a run that was not disturbed."""
        self.assertEqual([], self.incomplete(), case)
        self.assertEqual(expected, self.state(), case)
        self.survived += 1

    def note(self, what: str, requests: int) -> None:
        """Write down how many faults there were."""
        text = (
            f"{what}: {self.tried} faults tried at {requests} requests,"
            f" {self.survived} survived\n"
        )
        self.addDetail("faults", content.text_content(text))
        if directory := os.environ.get("TROVE_TOOLS_TEST_OUTPUT"):
            name = what.replace(" ", "-")
            pathlib.Path(directory, f"{name}.note").write_text(text)

    def test_load_of_a_new_build(self) -> None:
        args = ["--parameters", self.rules]
        for _ in range(3):
            # until there is an old one to be removed, too
            outcome, seen = self.run_disturbed(
                self.plan(), "load-trove-image", self.build(), *args,
                "--activate",
            )  # fmt: skip
            self.assertEqual(0, outcome[0], outcome[2])
        expected, requests = self.state(), seen.requests
        self.assertEqual(2, len(expected["images"]), outcome[2])
        for case in self.cases(requests):
            self.tried += 1
            before, path = self.served(), self.build()
            outcome, seen = self.run_disturbed(
                self.plan(*case), "load-trove-image", path, *args
            )
            self.check_outcome(case, outcome, seen)
            self.check_served(case, seen, before, path)
            self.again(path, *args)
            self.survive(case, expected)
        self.note("load of a new build", len(requests))

    def test_swallowed_changes(self) -> None:
        """Each change of a load is answered, and not made."""
        args = ["--parameters", self.rules, "--activate", "--member", "demo",
                "--property", "hw_disk_bus=scsi"]  # fmt: skip
        _, seen = self.run_disturbed(
            self.plan(), "load-trove-image", self.build(), *args
        )
        expected = self.state()
        changes = [
            number
            for number, request in enumerate(seen.requests, 1)
            if faultproxy.changes_something(*request.split(" ")[:2])
        ]
        # an image, its bytes, a member, the tags; a version, its two
        # parameters, and the activation
        self.assertEqual(8, len(changes), seen.requests)
        for number in changes:
            self._clean()
            self.tried += 1
            case = number, faultproxy.SWALLOW
            path = self.build()
            outcome, seen = self.run_disturbed(
                self.plan(*case), "load-trove-image", path, *args
            )
            self.check_outcome(case, outcome, seen)
            if outcome[0]:
                self.again(path, *args)
            self.survive(case, expected)
        self.note("swallowed changes", len(changes))

    def again(self, path: pathlib.Path, *args: typing.Any) -> None:
        outcome = self.load(path, *args)
        self.assertEqual(0, outcome.status, outcome.stderr)
        digest = digests.compute(path)["sha512"]
        self.assertEqual(digest, self.served()["os_hash_value"])

    def test_first_load(self) -> None:
        args = ["--parameters", self.rules, "--activate"]
        _, seen = self.run_disturbed(
            self.plan(), "load-trove-image", self.build(), *args
        )
        expected, requests = self.state(), seen.requests
        # what it reads is what another load reads
        for case in self.cases(requests, changes=True):
            self._clean()
            self.tried += 1
            path = self.build()
            outcome, seen = self.run_disturbed(
                self.plan(*case), "load-trove-image", path, *args
            )
            self.check_outcome(case, outcome, seen)
            self.check_served(case, seen, None, path)
            self.again(path, *args)
            self.survive(case, expected)
        self.note("first load", len(requests))

    def test_activation(self) -> None:
        row = self.loaded(self.build(), "--parameters", self.rules)
        name = f"{self.datastore}:1.0"
        path = f"/mgmt/datastore-versions/{row['version_id']}"
        no = {"active": False, "default": False}
        _, seen = self.run_disturbed(self.plan(), "activate-trove-image", name)
        expected, requests = self.state(), seen.requests
        self.assertTrue(expected["versions"][0]["default"])
        for case in self.cases(requests):
            self.admin.database.patch(path, json=no)
            self.tried += 1
            outcome, seen = self.run_disturbed(
                self.plan(*case), "activate-trove-image", name
            )
            self.check_outcome(case, outcome, seen)
            for image in seen.served:
                self.assertEqual(row["image_id"], image["id"], case)
            again = self.command("activate-trove-image", name)
            self.assertEqual(0, again.status, again.stderr)
            self.survive(case, expected)
        self.note("activation", len(requests))

    def test_rollback(self) -> None:
        name = f"{self.datastore}:1.0"
        for pin in ([], ["--pin"]):
            loaded = [self.build() for _ in range(3)]
            args = ["--keep", "3", *pin]
            rows = [self.loaded(path, *args) for path in loaded]
            _, seen = self.run_disturbed(
                self.plan(), "activate-trove-image", "--rollback", name
            )
            expected, requests = self.state(), seen.requests
            changes = [
                number
                for number, request in enumerate(requests, 1)
                if " PATCH " in request
            ]
            self.assertNotEqual([], changes)
            # a rerun after these must not go back to the first image
            cases = set(itertools.product(changes, faultproxy.KILLS))
            if not pin or tests_base.all_of_them():
                cases |= set(self.cases(requests))
            for case in sorted(cases):
                self.loaded(loaded[-1], *args)
                self.tried += 1
                outcome, seen = self.run_disturbed(
                    self.plan(*case), "activate-trove-image", "--rollback",
                    name,
                )  # fmt: skip
                self.check_outcome(case, outcome, seen)
                again = self.command(
                    "activate-trove-image", "--rollback", name, "-f", "json"
                )
                self.assertEqual(0, again.status, again.stderr)
                self.assertEqual(
                    rows[1]["image_id"], again.json()["image_id"], case
                )
                self.survive(case, expected)
            self._clean()
        self.note("rollback", len(requests))


def _without(
    record: dict[str, typing.Any], names: tuple[str, ...]
) -> dict[str, typing.Any]:
    return {key: value for key, value in record.items() if key not in names}
