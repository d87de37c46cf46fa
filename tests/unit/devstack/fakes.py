# SPDX-License-Identifier: Apache-2.0
"""Services that hold flavors, quotas and datastores in memory."""

import json
import re
import typing

import requests

from trove_tools.cloud import failures


class Service:
    """One service: answers by method and path, and what was asked.

    :param answers: for ``METHOD path``, a regular expression, the body of
        the answer, or its status when it is a number.
    """

    def __init__(self, answers: dict[str, typing.Any]) -> None:
        self.answers = answers
        self.calls: list[str] = []
        self.bodies: list[typing.Any] = []

    def read(
        self, path: str, doing: str, **kwargs: typing.Any
    ) -> typing.Any:
        """Return the JSON of an answer."""
        return self.call("GET", path, doing, **kwargs).json()

    def call(
        self, method: str, path: str, doing: str, **kwargs: typing.Any
    ) -> requests.Response:
        """Answer as :class:`trove_tools.cloud.connection.Service` does."""
        call = f"{method} {path}"
        self.calls.append(call)
        self.bodies.append(kwargs.get("json"))
        for pattern, body in self.answers.items():
            if re.fullmatch(pattern, call):
                answer = requests.Response()
                answer.status_code = body if isinstance(body, int) else 200
                answer._content = json.dumps(
                    {} if isinstance(body, int) else body
                ).encode()
                answer.headers["Content-Type"] = "application/json"
                peer = failures.Peer("Nova", "compute", "http://n", "user x")
                failures.check(answer, peer, doing)
                return answer
        raise AssertionError(f"nobody answers {call}")


class Login:
    """A cloud with some services.

    :param services: by type.
    """

    who = "user demo in project demo"
    project_id = "p1"
    sdk: typing.Any = None

    def __init__(self, **services: Service) -> None:
        self.services = {
            kind.replace("_", "-"): service
            for kind, service in services.items()
        }

    def has(self, kind: str) -> bool:
        """Tell whether there is such a service."""
        return kind in self.services

    def service(self, title: str, kind: str) -> typing.Any:
        """Return a service."""
        return self.services[kind]


def flavor(name: str, ram: int, disk: int, **more: int) -> dict[str, object]:
    """Return a flavor as Nova shows it."""
    return {
        "id": f"id-{name}",
        "name": name,
        "ram": ram,
        "disk": disk,
        "vcpus": more.get("vcpus", 1),
        "OS-FLV-EXT-DATA:ephemeral": more.get("ephemeral", 0),
    }
