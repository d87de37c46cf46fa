# SPDX-License-Identifier: Apache-2.0
"""A cloud in memory, spoken to over HTTP.

The requests are those of the real libraries; only the wire is not there.
What keystone, Glance and Trove would do with them is done here as far as
the tests need it.  That they really do so, the functional tests show.
"""

import argparse
import hashlib
import json
import pathlib
import re
import typing
import urllib.parse

import fixtures
import requests_mock
from requests_mock.contrib import fixture as requests_fixture
import yaml

from trove_tools.cli import load
from trove_tools.config import options
from trove_tools.config import table

KEYSTONE = "http://keystone.test/v3"
GLANCE = "http://glance.test"
TROVE = "http://trove.test/v1.0/p1"

CONFLICT = "conflict"

_TAGS = ("trove", "mariadb", "11.8")

#: Glance's own fields, as its schema of images has them.
_FIELDS = (
    "id", "name", "status", "visibility", "protected", "os_hidden",
    "checksum", "os_hash_algo", "os_hash_value", "owner", "size",
    "virtual_size", "container_format", "disk_format", "created_at",
    "updated_at", "tags", "direct_url", "min_ram", "min_disk", "self",
    "file", "stores", "schema", "locations",
)  # fmt: skip


def settings(**given: typing.Any) -> options.Settings:
    """Return the options of ``load-trove-image``, some of them given."""
    declared = load.PROGRAM.command().declared()
    return table.settings(declared, argparse.Namespace(**given))


def image(
    name: str, number: int, **changes: typing.Any
) -> dict[str, typing.Any]:
    """Return an image as Glance shows it.

    :param number: makes its id and its age: a higher one is newer.
    """
    return {
        "id": f"image-{number}",
        "name": name,
        "status": "active",
        "owner": "p-service",
        "updated_at": "2026-01-01T00:00:00Z",
        "tags": list(_TAGS),
        "created_at": f"2026-01-01T00:00:{number:02}Z",
        "visibility": "private",
        **changes,
    }


def version(name: str, **changes: typing.Any) -> dict[str, typing.Any]:
    """Return a datastore version as Trove's management API shows it."""
    return {
        "id": f"version-{name}",
        "name": name,
        "version": name,
        "datastore_name": "mariadb",
        "datastore_manager": "mariadb",
        "image": None,
        "image_tags": ["trove", "mariadb", name],
        "packages": [""],
        "active": False,
        "default": False,
        **changes,
    }


class Cloud(fixtures.Fixture):
    """The cloud, and a clouds.yaml with ``here`` in it.

    :ivar images: what Glance has, by id.
    :ivar versions: what Trove has, by id.
    :ivar parameters: its configuration parameters, by version id.
    :ivar instances: Trove's; none where it cannot tell.
    :ivar members: the projects that an image is shared with, by its id.
    :ivar removed: the ids of images that were there.
    :ivar projects: what keystone knows of the project service.
    :ivar calls: what was asked of Glance and Trove, as ``METHOD path``.
    :ivar bodies: the JSON bodies of those calls.
    :ivar swallowed: a regular expression on calls that are answered as if
        they had been done.
    :ivar faults: a regular expression on a call, and the status and text
        with which it fails.
    """

    def __init__(self, directory: pathlib.Path) -> None:
        super().__init__()
        self.directory = directory
        self.images: dict[str, dict[str, typing.Any]] = {}
        self.versions: dict[str, dict[str, typing.Any]] = {}
        self.calls: list[str] = []
        self.bodies: list[typing.Any] = []
        self.faults: list[tuple[str, int, str]] = []
        self.swallowed = ""
        self.sent = b""
        self.parameters: dict[str, list[dict[str, typing.Any]]] = {}
        self.instances: list[dict[str, typing.Any]] | None = None
        self.removed: set[str] = set()
        self.members: dict[str, list[str]] = {}
        self.projects = [{"id": "p-service", "name": "service"}]
        self.services = {
            "identity": KEYSTONE, "image": GLANCE, "database": TROVE,
        }  # fmt: skip

    def _setUp(self) -> None:  # noqa: N802
        clouds = self.directory / "clouds.yaml"
        login = {
            "auth_url": KEYSTONE,
            "username": "admin",
            "password": "from-file",
            "project_name": "admin",
            "user_domain_name": "Default",
            "project_domain_name": "Default",
        }
        clouds.write_text(
            yaml.safe_dump({"clouds": {"here": {"auth": login}}})
        )
        for name, value in (
            ("OS_CLIENT_CONFIG_FILE", str(clouds)),
            ("OS_CLOUD", "here"),
        ):
            self.useFixture(fixtures.EnvironmentVariable(name, value))
        self.wire = self.useFixture(requests_fixture.Fixture())
        self.wire.get(KEYSTONE, json=self._keystone())
        self.wire.post(
            f"{KEYSTONE}/auth/tokens",
            json=self._token,
            headers={"X-Subject-Token": "token"},
        )
        self.wire.get(
            re.compile(f"{KEYSTONE}/projects"),
            json=lambda request, context: {"projects": self.projects},
        )
        self.wire.get(f"{GLANCE}/", json=self._glance())
        self.wire.register_uri(
            requests_mock.ANY,
            re.compile(f"{GLANCE}/v2/|{TROVE}/"),
            content=self._serve,
        )

    def _keystone(self) -> typing.Any:
        links = [{"rel": "self", "href": KEYSTONE}]
        return {"version": {"id": "v3.14", "status": "stable", "links": links}}

    def _glance(self) -> typing.Any:
        links = [{"rel": "self", "href": f"{GLANCE}/v2/"}]
        return {
            "versions": [{"id": "v2.17", "status": "CURRENT", "links": links}]
        }

    def _token(self, request: typing.Any, context: typing.Any) -> typing.Any:
        asked = request.json()["auth"]
        self.login = asked["identity"]["password"]["user"]
        token: dict[str, typing.Any] = {
            "methods": ["password"],
            "expires_at": "2999-01-01T00:00:00.000000Z",
            "issued_at": "2026-01-01T00:00:00.000000Z",
            "user": {"id": "u1", "name": "admin", "domain": {"id": "d"}},
        }
        if "scope" in asked:
            token["project"] = {
                "id": "p1", "name": "admin", "domain": {"id": "d"},
            }  # fmt: skip
            token["catalog"] = [
                {
                    "type": kind,
                    "name": kind,
                    "id": kind,
                    "endpoints": [
                        {
                            "id": kind,
                            "interface": "public",
                            "region": "RegionOne",
                            "region_id": "RegionOne",
                            "url": url,
                        }
                    ],
                }
                for kind, url in self.services.items()
            ]
        context.status_code = 201
        return {"token": token}

    def _serve(self, request: typing.Any, context: typing.Any) -> bytes:
        url = urllib.parse.urlsplit(request.url)
        path = url.path.removeprefix("/v2").removeprefix("/v1.0/p1")
        call = f"{request.method} {path}"
        self.calls.append(call)
        if request.headers.get("Content-Type", "").startswith("application/o"):
            body = request.body
            if "json-patch" in request.headers["Content-Type"]:
                body = json.loads(body)
        else:
            body = json.loads(request.body) if request.body else None
        if not call.startswith("PUT"):
            self.bodies.append(body)
        for pattern, status, text in self.faults:
            if re.fullmatch(pattern, call):
                context.status_code = status
                context.headers["Content-Type"] = "application/json"
                fault = {"fault": {"code": status, "message": text}}
                return json.dumps(fault).encode()
        if re.fullmatch(self.swallowed, call):
            context.status_code = 202
            return b"{}"
        query = urllib.parse.parse_qs(url.query)
        parts = path.strip("/").split("/")
        if parts[0] == "schemas":
            known: dict[str, typing.Any] = {name: {} for name in _FIELDS}
            # what an operator describes in schema-image.json
            known["os_distro"] = {"is_base": False}
            answer: typing.Any = {"properties": known}
        elif parts[0] == "images" and parts[-1] == "members":
            answer = self._members(request.method, parts[1], body)
        elif parts[0] == "images":
            answer = self._images(request.method, parts[1:], query, body)
            if answer == CONFLICT:
                context.status_code = 409
                return b"{}"
        elif parts[1] == "instances":
            answer = self.instances and {"instances": self.instances}
        elif "parameters" in parts:
            answer = self._parameters(request.method, parts[3:], body)
        else:
            answer = self._versions(request.method, parts[2:], body)
        context.status_code = 200 if answer is not None else 404
        return json.dumps(answer).encode()

    def _images(
        self,
        method: str,
        parts: list[str],
        query: dict[str, list[str]],
        body: typing.Any,
    ) -> typing.Any:
        if not parts:
            if method == "GET":
                return {"images": self._find(query)}
            image_id = body["id"]
            if image_id in self.images or image_id in self.removed:
                return CONFLICT
            number = len(self.images) + len(self.removed) + 1
            new = image("", number, status="queued", tags=[])
            del new["owner"]
            self.images[image_id] = {**new, **body}
            return self.images[image_id]
        record = self.images.get(parts[0])
        if record is None:
            return None
        if method == "DELETE":
            self.removed.add(parts[0])
            return self.images.pop(parts[0])
        if method == "PATCH":
            for change in body:
                name = change["path"].removeprefix("/")
                if change["op"] == "remove":
                    del record[name]
                else:
                    record[name] = change["value"]
        if method == "PUT":
            self.sent = b"".join(body)
            record["status"] = "active"
            record["size"] = len(self.sent)
            record["os_hash_algo"] = "sha512"
            record["os_hash_value"] = hashlib.sha512(self.sent).hexdigest()
        return record

    def _members(self, method: str, image_id: str, body: typing.Any) -> object:
        known = self.members.setdefault(image_id, [])
        if method == "POST":
            known.append(body["member"])
        found = [{"member_id": each, "status": "pending"} for each in known]
        return {"members": found}

    def _find(self, query: dict[str, list[str]]) -> list[typing.Any]:
        wanted = {
            name: values[0]
            for name, values in query.items()
            if name not in ("tag", "sort", "limit", "visibility")
        }
        found = [
            record
            for record in self.images.values()
            if set(query.get("tag", [])) <= set(record["tags"])
            if all(record.get(name) == each for name, each in wanted.items())
        ]
        found.sort(key=lambda record: record["created_at"], reverse=True)
        return found[: int(query.get("limit", ["99"])[0])]

    def _parameters(
        self, method: str, parts: list[str], body: typing.Any
    ) -> typing.Any:
        known = self.parameters.setdefault(parts[0], [])
        if method == "GET":
            return {"configuration-parameters": known}
        told = body["configuration-parameter"]
        known[:] = [each for each in known if each["name"] != told["name"]]
        shown = {
            "name": told["name"],
            "restart_required": bool(told["restart_required"]),
            "type": told["data_type"],
        }
        # no size where it is 0, as Trove answers
        for name in ("min_size", "max_size"):
            if told.get(name):
                shown[name] = told[name]
        known.append(shown)
        return shown

    def _versions(
        self, method: str, parts: list[str], body: typing.Any
    ) -> typing.Any:
        if not parts:
            if method == "GET":
                return {"versions": list(self.versions.values())}
            given = {"image_tags": [""], **body["version"]}
            new = {**version(given["name"]), **given}
            self.versions[new["id"]] = new
            return {}
        record = self.versions.get(parts[0])
        if record is None:
            return None
        if method == "PATCH":
            # what Trove does: tags without an image take the image away
            if "image_tags" in body:
                record["image"] = ""
            record.update(body)
        return {"version": record}
