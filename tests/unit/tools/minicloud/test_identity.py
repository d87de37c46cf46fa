# SPDX-License-Identifier: Apache-2.0
import typing
import urllib.parse

from minicloud import http
from minicloud import identity
from minicloud import state as states
from tests import base
from trove_tools import errors


class _Keystone:
    """As much of an identity service as is asked for."""

    def __init__(self) -> None:
        self.things: dict[str, list[dict[str, typing.Any]]] = {}
        self.grants: set[str] = set()
        self.calls: list[str] = []

    def need(
        self,
        method: str,
        url: str,
        *,
        token: str | None = None,
        body: typing.Any = None,
    ) -> http.Reply:
        parts = urllib.parse.urlsplit(url)
        words = parts.path.removeprefix("/v3/").split("/")
        if words == ["auth", "tokens"]:
            project = {"project": {"id": "p"}}
            return http.Reply(
                201, {"x-subject-token": "t"}, {"token": project}
            )
        assert token == "t"
        if method != "GET":
            self.calls.append(f"{method} {'/'.join(words)}")
        if method == "PUT":
            self.grants.add("/".join(words))
            return http.Reply(204, {}, None)
        kind = words[0]
        things = self.things.setdefault(kind, [])
        if method == "GET":
            wanted = dict(urllib.parse.parse_qsl(parts.query))
            found = [one for one in things if wanted.items() <= one.items()]
            return http.Reply(200, {}, {kind: found})
        (values,) = body.values()
        if method == "POST":
            thing = {"id": f"{kind[:-1]}{len(things)}", **values}
            things.append(thing)
        else:
            (thing,) = [one for one in things if one["id"] == words[1]]
            thing.update(values)
        # a password is never shown
        shown = {k: v for k, v in thing.items() if k != "password"}
        thing.pop("password", None)
        return http.Reply(200, {}, {kind[:-1]: shown})


class IdentityTest(base.TestCase):
    def setUp(self) -> None:
        super().setUp()
        self.keystone = _Keystone()
        self.patch_object(http, "need", self.keystone.need)
        self.state = states.new()
        self.state.ports = {"keystone": 5000, "glance": 9292, "trove": 8779}

    def test_a_new_cloud(self) -> None:
        identity.populate(self.state)
        things = self.keystone.things
        users = {user["name"]: user["id"] for user in things["users"]}
        self.assertEqual({"glance", "trove", "demo"}, set(users))
        roles = {role["id"]: role["name"] for role in things["roles"]}
        demo = {
            roles[grant.split("/")[-1]]
            for grant in self.keystone.grants
            if f"/{users['demo']}/" in grant
        }
        self.assertEqual({"member"}, demo)
        self.assertEqual(9, len(things["endpoints"]))
        self.assertEqual(
            {
                "http://127.0.0.1:5000/v3",
                "http://127.0.0.1:9292",
                "http://127.0.0.1:8779/v1.0/%(tenant_id)s",
            },
            {endpoint["url"] for endpoint in things["endpoints"]},
        )

    def test_again_makes_nothing_new(self) -> None:
        identity.populate(self.state)
        self.keystone.calls.clear()
        identity.populate(self.state)
        made = [one for one in self.keystone.calls if one.startswith("POST")]
        self.assertEqual([], made)

    def test_a_service_that_moved(self) -> None:
        identity.populate(self.state)
        self.keystone.calls.clear()
        self.state.ports["trove"] = 18779
        identity.populate(self.state)
        changed = [
            one
            for one in self.keystone.calls
            if one.startswith("PATCH endpoints/")
        ]
        self.assertEqual(3, len(changed))
        urls = {one["url"] for one in self.keystone.things["endpoints"]}
        self.assertIn("http://127.0.0.1:18779/v1.0/%(tenant_id)s", urls)
        self.assertEqual(3, len(urls))

    def test_a_service_that_refuses(self) -> None:
        def refuse(method: str, url: str, **kwargs: object) -> http.Reply:
            if "/datastores" in url:
                raise errors.CloudError("no")
            return self.keystone.need(method, url.replace("images", "x"),
                                      token="t")  # fmt: skip

        self.patch_object(http, "need", refuse)
        self.patch_object(identity, "_SETTLED", 0.0)
        self.patch_object(identity.time, "sleep", lambda seconds: None)
        self.assertRaises(errors.CloudError, identity.probe, self.state)

    def test_what_is_refused_at_first_is_tried_again(self) -> None:
        answers = [errors.CloudError("401"), None]

        def use(state: states.State) -> None:
            answer = answers.pop(0)
            if answer:
                raise answer

        self.patch_object(identity, "_use", use)
        self.patch_object(identity.time, "sleep", lambda seconds: None)
        identity.probe(self.state)
        self.assertEqual([], answers)
