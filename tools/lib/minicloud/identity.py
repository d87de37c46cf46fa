# SPDX-License-Identifier: Apache-2.0
"""Users, projects, roles and the catalog of a new cloud.

Everything is looked for before it is made, so a start that was interrupted
half-way is completed by the next one.
"""

import collections.abc
import time
import typing
import urllib.parse

from minicloud import http
from minicloud import services
from minicloud import state as states
from trove_tools import errors
from trove_tools.host import process

#: Seconds after which what is refused is refused for good.
_SETTLED = 10.0

_INTERFACES = ("public", "internal", "admin")

#: User, its project, its role there.  The services' users are
#: administrators, as in any cloud: Trove acts for others in Glance.
_MEMBERS = (
    ("glance", "service", "admin"),
    ("trove", "service", "admin"),
    ("demo", "demo", "member"),
)


class Identity:
    """The identity service, with an administrator's token.

    :param url: its endpoint.
    :param password: of the user admin.
    :raises CloudError: it does not let us in.
    """

    def __init__(self, url: str, password: str) -> None:
        self._url = url
        self.token, self.project = log_in(url, "admin", "admin", password)

    def ensure(
        self,
        kind: str,
        key: collections.abc.Mapping[str, str],
        values: collections.abc.Mapping[str, typing.Any],
    ) -> str:
        """Make sure that there is one thing with these values.

        :param kind: singular of the collection, such as ``user``.
        :param key: what it is looked up by.
        :param values: what else it has to have.
        :returns: its id.
        """
        collection = f"{self._url}/{kind}s"
        query = urllib.parse.urlencode(key)
        found = self._need("GET", f"{collection}?{query}")[f"{kind}s"]
        if not found:
            body = {kind: {**key, **values}}
            return str(self._need("POST", collection, body)[kind]["id"])
        thing = found[0]
        if any(thing.get(name) != value for name, value in values.items()):
            body = {kind: dict(values)}
            self._need("PATCH", f"{collection}/{thing['id']}", body)
        return str(thing["id"])

    def grant(self, user: str, project: str, role: str) -> None:
        """Give a user a role in a project, all named by their ids."""
        place = f"projects/{project}/users/{user}/roles/{role}"
        self._need("PUT", f"{self._url}/{place}")

    def _need(
        self, method: str, url: str, body: typing.Any = None
    ) -> typing.Any:
        return http.need(method, url, token=self.token, body=body).body


def log_in(
    url: str, user: str, project: str, password: str
) -> tuple[str, str]:
    """Return a token for a project, and the project's id.

    :raises CloudError: the identity service refused.
    """
    domain = {"name": "Default"}
    who = {"name": user, "domain": domain, "password": password}
    body = {
        "auth": {
            "identity": {"methods": ["password"], "password": {"user": who}},
            "scope": {"project": {"name": project, "domain": domain}},
        }
    }
    reply = http.need("POST", f"{url}/auth/tokens", body=body)
    project_id = reply.body["token"]["project"]["id"]
    return reply.headers["x-subject-token"], str(project_id)


def populate(state: states.State) -> None:
    """Make the accounts and the catalog of a cloud.

    :param state: the ports and passwords that are wanted.
    """
    keystone = Identity(
        services.KEYSTONE.url(state.ports["keystone"]),
        state.passwords["admin"],
    )
    here = {"domain_id": "default"}
    roles = {
        name: keystone.ensure("role", {"name": name}, {})
        for name in ("admin", "member")
    }
    for user, project, role in _MEMBERS:
        project_id = keystone.ensure("project", {"name": project, **here}, {})
        # the stored password cannot be compared: this always writes it
        password = {"password": state.passwords[user]}
        user_id = keystone.ensure("user", {"name": user, **here}, password)
        keystone.grant(user_id, project_id, roles[role])
    for service in services.ALL:
        service_id = keystone.ensure(
            "service", {"name": service.name, "type": service.kind}, {}
        )
        for interface in _INTERFACES:
            keystone.ensure(
                "endpoint",
                {"service_id": service_id, "interface": interface},
                {
                    "url": service.url(state.ports[service.name]),
                    "region_id": services.REGION,
                },
            )


def probe(state: states.State) -> None:
    """Use every service once, as a client without special rights would.

    Keystone counts time in seconds: a token from the very second in which
    its user's password was written counts as revoked with those before it.
    So what is refused is tried again with a new one.

    :raises CloudError: one of them does not do its work.
    """
    deadline = time.monotonic() + process.scale_timeout(_SETTLED)
    while True:
        try:
            _use(state)
            return
        except errors.CloudError:
            if time.monotonic() > deadline:
                raise
        time.sleep(1)


def _use(state: states.State) -> None:
    url = services.KEYSTONE.url(state.ports["keystone"])
    token, project = log_in(url, "demo", "demo", state.passwords["demo"])
    image = services.GLANCE.url(state.ports["glance"])
    http.need("GET", f"{image}/v2/images?limit=1", token=token)
    database = services.TROVE.url(state.ports["trove"])
    database = database % {"tenant_id": project}
    http.need("GET", f"{database}/datastores", token=token)
