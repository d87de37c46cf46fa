# SPDX-License-Identifier: Apache-2.0
"""Instances that run an older image, against Trove's real API.

The minicloud starts no guests.  So a second API of Trove serves these tests,
with the same database, and with stand-ins of Nova and Neutron that this file
serves.  The instances are made with Trove's own models.  The stand-in of the
task manager does what a rebuild leads to: a while later the server runs the
image, and Trove's task is over.
"""

import collections.abc
import configparser
import http.server
import json
import pathlib
import sqlite3
import subprocess
import threading
import time
import typing
import urllib.parse
import urllib.request
import uuid

from testtools import content

from minicloud import layout as layouts
from minicloud import ports
from tests.functional import clouds

# makes an instance for each line of JSON, and prints its id
_MAKE = """
import json, sys
from oslo_log import log as logging
from trove.common import cfg
from trove.db import get_db_api
from trove.instance import models, service_status, tasks
logging.register_options(cfg.CONF)
cfg.parse_args(["make", "--config-file", sys.argv[1]])
get_db_api().configure_db()
for line in sys.stdin:
    values = json.loads(line)
    made = models.DBInstance.create(
        flavor_id="1", volume_size=1, tenant_id="p",
        task_status=tasks.InstanceTasks.NONE,
        region_id=cfg.CONF.service_credentials.region_name, **values)
    models.InstanceServiceStatus.create(
        instance_id=made.id,
        status=service_status.ServiceStatuses.HEALTHY)
    print(made.id)
"""

# of trove.instance.tasks
_NONE, _BUILDING = 1, 5
_READY = 60.0


class Nova:
    """The stand-in of Nova and Neutron.

    :ivar servers: Nova's answers, by the id of the server.
    """

    def __init__(self) -> None:
        self.servers: dict[str, dict[str, typing.Any]] = {}
        nova = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self) -> None:  # noqa: N802
                status, answer = nova.answer(self.path)
                content = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *args: typing.Any) -> None:
                pass

        self._http = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._http.server_port}"
        self._thread = threading.Thread(target=self._http.serve_forever)
        self._thread.start()

    def stop(self) -> None:
        """End the stand-in."""
        self._http.shutdown()
        self._http.server_close()
        self._thread.join()

    def answer(self, url: str) -> tuple[int, typing.Any]:
        """Return the status and the JSON of an answer."""
        parts = urllib.parse.urlsplit(url)
        query = urllib.parse.parse_qs(parts.query)
        last = parts.path.rpartition("/")[2]
        if last == "ports":
            return 200, {"ports": []}
        if last in self.servers:
            return 200, {"server": self.servers[last]}
        if last not in ("detail", "servers"):
            return 404, {"itemNotFound": {"message": url, "code": 404}}
        # pages of one server, so that every client has to turn them
        image = query.get("image", [None])[0]
        found = [
            server
            for server in self.servers.values()
            if image in (None, server["image"]["id"])
        ]
        ids = [server["id"] for server in found]
        begin = 0
        if "marker" in query:
            begin = ids.index(query["marker"][0]) + 1
        page: dict[str, typing.Any] = {"servers": found[begin : begin + 1]}
        if begin + 1 < len(found):
            marker = urllib.parse.urlencode(
                {**{name: values[0] for name, values in query.items()},
                 "marker": ids[begin]}
            )  # fmt: skip
            href = f"{self.url}{parts.path}?{marker}"
            page["servers_links"] = [{"rel": "next", "href": href}]
        return 200, page


class InstancesTest(clouds.TestCase):
    def setUp(self) -> None:
        super().setUp()
        layout = layouts.Layout(self.minicloud_dir)
        self.venv = pathlib.Path(self.minicloud_state().venv)
        self.database = layout.database("trove")
        self.nova = Nova()
        self.addCleanup(self.nova.stop)
        self.config = self._start_trove(layout)
        self.instances: dict[str, str] = {}
        self.addCleanup(self._remove_instances)

    def _start_trove(self, layout: layouts.Layout) -> pathlib.Path:
        """Start Trove's API with the stand-ins; return its configuration."""
        port = ports.choose(self.minicloud_state().ports.values())
        config = configparser.RawConfigParser()
        config.read(layout.etc / "trove.conf")
        nowhere = uuid.uuid4().hex
        config["DEFAULT"].update(
            {
                "bind_port": str(port),
                "nova_compute_url": self.nova.url,
                "neutron_url": self.nova.url,
                # the default one asks the catalog, which has no Neutron
                "remote_neutron_client": "trove.common.clients.neutron_client",
                # there is no guest that could tell the size of its volume
                "agent_call_low_timeout": "1",
                # nor one that reports that it lives
                "agent_heartbeat_expiry": "3600",
            }
        )
        config["service_credentials"]["project_id"] = nowhere
        path = self.temp_dir() / "trove.conf"
        with path.open("w") as stream:
            config.write(stream)
        path.chmod(0o600)
        log = self._open_log()
        process = subprocess.Popen(
            [self.venv / "bin/trove-api", "--config-file", path],
            stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=path.parent,
        )  # fmt: skip
        self.addCleanup(process.wait)
        self.addCleanup(process.terminate)
        url = f"http://127.0.0.1:{port}"
        deadline = time.monotonic() + _READY
        while True:
            try:
                urllib.request.urlopen(f"{url}/healthcheck").close()
                break
            except OSError:
                if time.monotonic() > deadline or process.poll() is not None:
                    raise
                time.sleep(0.2)
        project = self.admin.current_project_id
        self.altered_clouds(
            database_endpoint_override=f"{url}/v1.0/{project}",
            compute_endpoint_override=f"{self.nova.url}/v2.1",
        )
        return path

    def _open_log(self) -> typing.BinaryIO:
        path = self.temp_dir() / "trove.log"
        log = path.open("wb")
        self.addCleanup(log.close)
        self.addOnException(
            lambda info: self.addDetail(
                "trove.log", content.text_content(path.read_text()[-9000:])
            )
        )
        return log

    def make_instances(
        self, image_id: str, *names: str, **columns: typing.Any
    ) -> None:
        """Make healthy instances whose servers run an image."""
        (version,) = self.versions()
        lines = []
        for name in names:
            server = str(uuid.uuid4())
            self.nova.servers[server] = {
                "id": server,
                "name": name,
                "status": "ACTIVE",
                "tenant_id": "p",
                "hostId": "h",
                "addresses": {},
                "image": {"id": image_id},
                "created": "2020-01-01T00:00:00Z",
            }
            lines.append(
                {"name": name, "compute_instance_id": server,
                 "volume_id": str(uuid.uuid4()),
                 "datastore_version_id": version.id, **columns}
            )  # fmt: skip
        made = subprocess.run(
            [self.venv / "bin/python", "-c", _MAKE, self.config],
            input="\n".join(map(json.dumps, lines)),
            capture_output=True, text=True,
        )  # fmt: skip
        self.assertEqual(0, made.returncode, made.stderr)
        self.instances |= zip(names, made.stdout.split(), strict=True)

    def _sql(self, text: str, *values: typing.Any) -> list[typing.Any]:
        with sqlite3.connect(self.database, timeout=30) as database:
            return database.execute(text, values).fetchall()

    def _remove_instances(self) -> None:
        for each in self.instances.values():
            self._sql("DELETE FROM service_statuses WHERE instance_id=?", each)
            self._sql("DELETE FROM instances WHERE id=?", each)

    def play_task_manager(
        self, image_id: str, failing: collections.abc.Container[str] = ()
    ) -> "TaskManager":
        """Begin to do what rebuilds lead to, until the test ends.

        :param failing: names of instances whose rebuild leaves their image.
        """
        played = TaskManager(self, image_id, failing)
        played.start()
        self.addCleanup(played.end)
        return played

    def activate(self, *args: str, status: int = 0) -> typing.Any:
        outcome = self.command("activate-trove-image", *args, "-f", "json")
        self.assertEqual(status, outcome.status, outcome.stderr)
        return outcome.json()

    def test_from_an_old_image_to_the_new_one(self) -> None:
        name = f"{self.datastore}:1.0"
        one = self.loaded(self.image_file(), "--activate")["image_id"]
        self.make_instances(one, "first", "second")
        self.make_instances(
            one, "replica", slave_of_id=self.instances["first"]
        )
        (row,) = self.activate("--list", self.datastore)
        self.assertEqual((3, 0), (row["instances"], row["instances_behind"]))
        self.assertEqual([], self.activate("--instances", name))

        two = self.loaded(self.image_file())["image_id"]
        (row,) = self.activate("--list", self.datastore)
        self.assertEqual((0, 3), (row["instances"], row["instances_behind"]))
        self.assertEqual({one: 3}, row["instances_by_image"])
        behind = self.activate("--instances", name)
        self.assertEqual("replica", behind[0]["name"])
        self.assertEqual(
            {("ACTIVE", "HEALTHY", one, None)},
            {(r["status"], r["health"], r["image_id"], r["obstacle"])
             for r in behind},
        )  # fmt: skip

        calls = self.activate("--rebuild-instances", name, "--dry-run")
        self.assertEqual(
            [{"rebuild": {"image_id": two}}] * 3,
            [call["body"] for call in calls],
        )
        self.assertRegex(
            calls[0]["url"], f"/mgmt/instances/{self.instances['replica']}/"
        )

        played = self.play_task_manager(two)
        done = self.activate("--rebuild-instances", name)
        self.assertEqual(
            [("replica", "rebuilt"), ("first", "rebuilt"),
             ("second", "rebuilt")],
            sorted(((r["name"], r["result"]) for r in done),
                   key=lambda pair: (pair[0] != "replica", pair)),
        )  # fmt: skip
        self.assertEqual(self.instances["replica"], played.begun[0])
        self.assertEqual(1, played.most)
        (row,) = self.activate("--list", self.datastore)
        self.assertEqual((3, 0), (row["instances"], row["instances_behind"]))
        outcome = self.command(
            "activate-trove-image", "--rebuild-instances", name
        )
        self.assertEqual(0, outcome.status)
        self.assertIn("all 3 instances", outcome.stderr)

    def test_one_that_fails_stops_it_and_a_second_run_continues(self) -> None:
        name = f"{self.datastore}:1.0"
        one = self.loaded(self.image_file(), "--activate")["image_id"]
        self.make_instances(one, "a", "b", "c")
        two = self.loaded(self.image_file())["image_id"]
        first, *others = sorted(self.instances, key=self.instances.__getitem__)
        played = self.play_task_manager(two, [first])
        rows = self.activate("--rebuild-instances", name, status=1)
        results = {row["name"]: row["result"] for row in rows}
        self.assertEqual(
            {first: "failed", **dict.fromkeys(others, "waiting")}, results
        )
        self.assertIn("Trove gave up", rows[0]["reason"])
        self.assertEqual([self.instances[first]], played.begun)

        played.failing = ()
        rows = self.activate("--rebuild-instances", name, "--at-once", "2")
        self.assertEqual({"rebuilt"}, {row["result"] for row in rows})
        self.assertEqual(3, len(rows))
        self.assertLessEqual(played.most, 2)

    def test_a_user_without_the_role(self) -> None:
        self.loaded(self.image_file(), "--activate")
        outcome = self.command(
            "activate-trove-image", "--instances", f"{self.datastore}:1.0",
            "--os-cloud", "minicloud-demo",
        )  # fmt: skip
        self.assert_refused(outcome, 4, "admin role")


class TaskManager(threading.Thread):
    """The stand-in of Trove's task manager.

    :ivar begun: the ids of the instances that were rebuilt, in order.
    :ivar most: how many were rebuilt at a time.
    """

    def __init__(
        self,
        test: InstancesTest,
        image_id: str,
        failing: collections.abc.Container[str],
    ) -> None:
        super().__init__()
        self._test = test
        self._image_id = image_id
        self._over = threading.Event()
        self.failing = failing
        self.begun: list[str] = []
        self.most = 0

    def run(self) -> None:
        """Finish each rebuild two seconds after it began."""
        seen: dict[str, float] = {}
        while not self._over.wait(0.2):
            building = {
                row[0]: row[1:]
                for row in self._test._sql(
                    "SELECT id, name, compute_instance_id FROM instances"
                    " WHERE task_id=?", _BUILDING,
                )
                if row[0] in self._test.instances.values()
            }  # fmt: skip
            self.most = max(self.most, len(building))
            for instance, (name, server) in building.items():
                if instance not in seen:
                    seen[instance] = time.monotonic()
                    self.begun.append(instance)
                elif time.monotonic() > seen[instance] + 2:
                    del seen[instance]
                    self._finish(instance, name, server)

    def _finish(self, instance: str, name: str, server: str) -> None:
        if name not in self.failing:
            self._test.nova.servers[server]["image"] = {"id": self._image_id}
        self._test._sql(
            "UPDATE instances SET task_id=? WHERE id=?", _NONE, instance
        )

    def end(self) -> None:
        """End the thread."""
        self._over.set()
        self.join()
