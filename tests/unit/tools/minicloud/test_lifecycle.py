# SPDX-License-Identifier: Apache-2.0
import pathlib
import sys
import typing

from minicloud import databases
from minicloud import identity
from minicloud import layout as layouts
from minicloud import lifecycle
from minicloud import ports
from minicloud import services
from minicloud import state as states
from tests import base
from trove_tools import errors
from trove_tools.verify import venv

#: Stands in for a service: answers every request with 200.
_SERVER = """
import http.server, sys
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
http.server.HTTPServer(("127.0.0.1", int(sys.argv[1])), Handler)\\
    .serve_forever()
"""


class LifecycleTest(base.TestCase):
    """The order of things, with stand-ins for the services.

    tests/functional has the same with the real ones.
    """

    def setUp(self) -> None:
        super().setUp()
        self.layout = layouts.new_or_existing(self.temp_dir() / "cloud")
        self.prepared: list[str] = []
        self.said: list[str] = []
        self.broken: set[str] = set()
        self.patch_object(venv, "ensure", lambda path, report: None)
        self.patch_object(databases, "prepare", self.prepare)
        self.patch_object(services, "serve", self.serve)
        self.patch_object(identity, "populate", lambda state: None)
        self.patch_object(identity, "probe", lambda state: None)
        self.addCleanup(lifecycle.stop, self.layout, self.said.append)

    def prepare(self, service: services.Service, *args: object) -> None:
        self.prepared.append(service.name)

    def serve(
        self,
        service: services.Service,
        place: pathlib.Path,
        layout: layouts.Layout,
        port: int,
    ) -> list[str]:
        if service.name in self.broken:
            return ["sh", "-c", "echo no such table: image; exit 1"]
        # isolated and without site, it starts at once
        return [sys.executable, "-ISc", _SERVER, str(port)]

    def start(self, **kwargs: typing.Any) -> list[str]:
        return lifecycle.start(self.layout, self.said.append, **kwargs)

    def states(self) -> dict[str, str]:
        return {one.name: one.state for one in lifecycle.status(self.layout)}

    def all_are(self, state: str) -> None:
        self.assertEqual({state}, set(self.states().values()))

    def test_up_and_down(self) -> None:
        names = ["keystone", "glance", "trove"]
        self.assertEqual(names, self.start())
        self.all_are("running")
        self.assertEqual(sorted(names), sorted(self.prepared))
        self.assertTrue(self.layout.clouds.exists())
        self.assertEqual([], self.start())

        ended = lifecycle.stop(self.layout, self.said.append, ["glance"])
        self.assertEqual(["glance"], ended)
        self.assertEqual("stopped", self.states()["glance"])
        self.assertEqual("running", self.states()["trove"])
        self.assertEqual(["glance"], self.start())

        self.assertEqual(names, lifecycle.stop(self.layout, self.said.append))
        self.all_are("stopped")
        self.assertEqual([], lifecycle.stop(self.layout, self.said.append))
        # the databases were made once
        self.assertEqual(3, len(self.prepared))

    def test_a_service_that_does_not_come_up(self) -> None:
        self.broken.add("glance")
        error = self.assertRaises(errors.TroveToolsError, self.start)
        self.assertIn("glance ended at once", error.message)
        self.assertIn("no such table: image", error.message)
        self.assertIn(str(self.layout.log("glance")), error.hint or "")
        self.all_are("stopped")
        self.assertFalse(self.layout.clouds.exists())
        self.broken.clear()
        self.assertEqual(3, len(self.start()))

    def test_a_cloud_that_does_not_do_its_work(self) -> None:
        def refuse(state: states.State) -> None:
            raise errors.CloudError("no")

        self.patch_object(identity, "probe", refuse)
        self.assertRaises(errors.CloudError, self.start)
        self.all_are("stopped")
        # it was not marked as prepared
        self.assertEqual("", states.load(self.layout).prepared)

    def test_ports_that_are_wished_for(self) -> None:
        port = ports.choose()
        self.start(wanted={"glance": port})
        chosen = states.load(self.layout).ports
        self.assertEqual(port, chosen["glance"])
        self.assertEqual([], self.start(wanted={"glance": port}))
        self.assertRaisesRegex(
            errors.UsageError,
            "running on port",
            self.start,
            wanted={"glance": port + 1},
        )
        lifecycle.stop(self.layout, self.said.append, ["trove"])
        self.assertRaisesRegex(
            errors.UsageError,
            "in use",
            self.start,
            wanted={"trove": port},
        )

    def test_a_port_that_was_lost(self) -> None:
        self.start()
        before = states.load(self.layout).ports
        lifecycle.stop(self.layout, self.said.append)
        lost = before["keystone"]
        is_free = ports.is_free
        self.patch_object(
            ports, "is_free", lambda port: port != lost and is_free(port)
        )
        self.start()
        after = states.load(self.layout).ports
        self.assertNotEqual(lost, after["keystone"])
        self.assertEqual(before["trove"], after["trove"])
        # the catalog has to learn of it
        self.assertEqual(6, len(self.prepared))

    def test_other_versions_of_the_services(self) -> None:
        self.start()
        self.patch_object(venv, "digest", lambda: "another")
        self.assertEqual(3, len(self.start()))
        self.assertEqual(6, len(self.prepared))
        self.all_are("running")

    def test_another_environment_needs_a_stop_first(self) -> None:
        here, there = pathlib.Path("/here"), pathlib.Path("/there")
        self.start(venv=here)
        self.assertEqual([], self.start(venv=here))
        self.assertRaisesRegex(
            errors.UsageError, "/here", self.start, venv=there
        )
        lifecycle.stop(self.layout, self.said.append)
        self.start(venv=there)
        self.assertEqual("/there", states.load(self.layout).venv)

    def test_an_environment_that_fails_is_not_remembered(self) -> None:
        self.start()
        lifecycle.stop(self.layout, self.said.append)
        before = states.load(self.layout).venv

        def fail(path: pathlib.Path, report: object) -> None:
            raise errors.UsageError("no")

        self.patch_object(venv, "ensure", fail)
        self.assertRaises(
            errors.UsageError, self.start, venv=pathlib.Path("/elsewhere")
        )
        self.assertEqual(before, states.load(self.layout).venv)
