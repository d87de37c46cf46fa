# SPDX-License-Identifier: Apache-2.0
"""Logs in to a cloud, and calls the APIs of its services.

openstacksdk finds the credentials (``--os-*``, ``OS_*``, clouds.yaml), keeps
the session, and finds the services.

The services are called through keystoneauth's adapters. This also holds for
Trove, although python-troveclient has a class for its management API: Glance
and Trove share one session with the same region, interface, certificates and
errors, and a request contains exactly the given parameters (troveclient cannot
leave out ``packages``, and sends ``'true'`` for true).
"""

import copy
import dataclasses
import logging
import typing
import urllib.parse
import warnings

from trove_tools import errors
from trove_tools.cloud import cloud_config
from trove_tools.cloud import failures
from trove_tools.cloud import retry
from trove_tools.config import options
from trove_tools.host import credentials

#: Seconds without an answer after which a call fails, unless clouds.yaml sets
#: ``api_timeout``.
TIMEOUT = 60

#: The usual name of the service project. Trove finds images and starts
#: instances as a user of this project.
SERVICE_PROJECT = "service"

_LIBRARIES = ("keystoneauth", "openstack", "osc_lib", "urllib3")

_IDENTITY = failures.Peer("keystone", "identity", "")


@dataclasses.dataclass(frozen=True)
class Change:
    """A call that would change something; see :attr:`Service.planned`."""

    service: str
    method: str
    url: str
    body: typing.Any = None


@dataclasses.dataclass(frozen=True)
class Service:
    """A service of the cloud.

    :param adapter: keystoneauth's adapter for the service's endpoint.
    :param peer: its name and address.
    :param notify: called with a message before each retry.
    :param planned: in a dry run, the list that records the calls with changes
        instead of making them.
    """

    adapter: typing.Any
    peer: failures.Peer
    notify: retry.Notify = retry.quiet
    planned: list[Change] | None = None

    @property
    def dry(self) -> bool:
        """Whether changes are only recorded."""
        return self.planned is not None

    def read(
        self, path: str, doing: str, again: bool = True, **kwargs: typing.Any
    ) -> typing.Any:
        """Send a GET request and return the decoded JSON.

        :param path: relative to the service's endpoint.
        :param doing: the purpose of the call, for the error.
        :param again: retry temporary failures.
        :param kwargs: for keystoneauth's adapter: params, headers, ...
        :returns: the decoded JSON.
        :raises CloudError: there was no answer, or an incomplete one.
        :raises Refused: the answer was an error.
        """

        def once() -> typing.Any:
            response = self.call("GET", path, doing, **kwargs)
            with failures.explained(self.peer):
                return response.json()

        return retry.attempts(self.notify)(once) if again else once()

    def call(
        self, method: str, path: str, doing: str, **kwargs: typing.Any
    ) -> typing.Any:
        """Send one request and return the answer.

        In a dry run, a request that would change something is only recorded,
        and None is returned.

        :param method: the HTTP method.
        :param path: relative to the service's endpoint.
        :param doing: the purpose of the call, for the error.
        :param kwargs: for keystoneauth's adapter: json, data, params, ...
        :returns: the response object of requests.
        :raises CloudError: there was no answer; the call may have succeeded.
        :raises Refused: the answer was an error.
        """
        if self.planned is not None and method != "GET":
            body = kwargs.get("json")
            if "data" in kwargs:
                body = f"<{len(kwargs['data'])} bytes>"
            url = f"{self.adapter.get_endpoint().rstrip('/')}{path}"
            self.planned.append(Change(self.peer.title, method, url, body))
            return None
        with failures.explained(self.peer):
            if self.adapter.session.timeout is None:
                kwargs.setdefault("timeout", TIMEOUT)
            response = self.adapter.request(
                path,
                method,
                raise_exc=False,
                # retries are decided and reported here
                connect_retries=0,
                status_code_retries=0,
                **kwargs,
            )
        failures.check(response, self.peer, doing)
        return response


def read_pages(
    service: Service,
    path: str,
    doing: str,
    params: dict[str, typing.Any],
    again: bool = True,
) -> list[dict[str, typing.Any]]:
    """Return all entries of a list that a service divides into pages.

    :param service: the service, such as Nova.
    :param path: as in :meth:`Service.read`; the last part, in front of
        ``/detail``, is the key of the list in the answer.
    :param doing: the purpose of the call, for the error.
    :param params: the parameters of the query.
    :param again: retry temporary failures.
    :raises CloudError: as in :meth:`Service.read`.
    """
    key = path.removesuffix("/detail").rpartition("/")[2]
    params = dict(params)
    entries: list[dict[str, typing.Any]] = []
    while True:
        answer = service.read(path, doing, again, params=params)
        entries += answer[key]
        links = answer.get(f"{key}_links") or answer.get("links") or ()
        # Glance has no list of links
        following = answer.get("next") or next(
            (link["href"] for link in links if link.get("rel") == "next"), ""
        )
        query = urllib.parse.parse_qs(urllib.parse.urlsplit(following).query)
        if "marker" not in query:
            return entries
        params["marker"] = query["marker"][0]


@dataclasses.dataclass(frozen=True)
class Login:
    """A session with a cloud after a successful login.

    :param who: the user and the project, for messages.
    :param project_id: the project that owns new resources.
    :param sdk: openstacksdk's connection.
    :param notify: called with a message before each retry.
    :param planned: in a dry run, the list that records the changes.
    """

    who: str
    project_id: str
    sdk: typing.Any
    notify: retry.Notify = retry.quiet
    planned: list[Change] | None = None

    def has(self, kind: str) -> bool:
        """Return whether the cloud's catalog has a service.

        :param kind: its type, such as ``compute``.
        """
        return bool(self.sdk.config.get_session_endpoint(kind))

    def service(self, title: str, kind: str) -> Service:
        """Return a service of the cloud.

        :param title: its name, for messages.
        :param kind: its type, such as ``compute``.
        :raises CloudError: the cloud lacks it, or it does not answer.
        """
        return retry.attempts(self.notify, failures.may_pass_at_login)(
            lambda: dataclasses.replace(
                _service(self.sdk, title, kind, self.who),
                notify=self.notify,
                planned=self.planned,
            )
        )

    def find_projects(self, wanted: str) -> list[str]:
        """Return the ids of the projects with a name, else with an id.

        :param wanted: the name or the id.
        :returns: empty if there is none, or if this user may not see it.
        """
        doing = "looking for a project"
        keystone = self.service("keystone", "identity")
        path = "/projects"
        try:
            projects = keystone.read(path, doing, params={"name": wanted})[
                "projects"
            ]
            if not projects and wanted != SERVICE_PROJECT:
                answer = keystone.read(f"{path}/{wanted}", doing)
                projects = [answer["project"]]
        except failures.Refused as exc:
            if exc.status not in (401, 403, 404):
                raise
            return []
        return [project["id"] for project in projects]

    def find_project(self, wanted: str, option: str) -> str:
        """Return the id of the project with a name or an id.

        :param option: the option that names it.
        :raises UsageError: there is none, or there are several.
        """
        projects = self.find_projects(wanted)
        if len(projects) == 1:
            return projects[0]
        raise errors.UsageError(
            f"several projects are called {wanted!r}"
            if projects
            else f"there is no project {wanted!r} that this user can see",
            hint=f"correct {option}, or give an id",
        )

    def find_owner(self, wanted: str) -> str:
        """Return the id of the project that images belong to.

        :param wanted: its name or id. If :data:`SERVICE_PROJECT` is wanted and
            does not exist, images belong to the project of the login.
        :raises UsageError: there is no other project of this name.
        """
        session = self.sdk.session
        name = session.auth.get_access(session).project_name
        if wanted in (name, self.project_id):
            return self.project_id
        try:
            return self.find_project(wanted, "--image-project")
        except errors.UsageError:
            if wanted != SERVICE_PROJECT:
                raise
            return self.project_id


@dataclasses.dataclass(frozen=True)
class Cloud:
    """The login to a cloud, and the services that every load needs.

    :param owner: the project that the images belong to.
    """

    login: Login
    images: Service
    databases: Service
    owner: str = ""


def log_in(
    settings: options.Settings,
    notify: retry.Notify = retry.quiet,
    planned: list[Change] | None = None,
) -> Login:
    """Log in to the cloud that the options select.

    :param settings: the options of the group ``cloud``, and ``debug``.
    :param notify: called with a message before each retry.
    :param planned: in a dry run, the list that records the changes.
    :raises UsageError: no cloud or no credentials were specified.
    :raises CloudError: keystone cannot be reached or refuses.
    """
    _logging(settings.debug)
    from keystoneauth1 import exceptions as ksa
    from openstack import connection

    chosen = cloud_config.choose(settings)
    auth_url = credentials.hide(
        str(chosen.config.get("auth", {}).get("auth_url", ""))
    )
    identity = dataclasses.replace(_IDENTITY, url=auth_url)
    with failures.explained(identity):
        cloud_config.session(chosen)
        cloud = connection.Connection(config=chosen)

    def log_in() -> typing.Any:
        # keystoneauth requests keystone's versions while it holds the lock of
        # the login. If the answer is 401, it would request a token and wait
        # for its own lock forever: so this session provides no token.
        apart = copy.copy(cloud.session)
        apart.auth = None
        with failures.explained(identity):
            try:
                return cloud.session.auth.get_access(apart)
            except ksa.MissingAuthPlugin as exc:
                raise errors.CloudError(
                    f"keystone at {auth_url} does not list its versions: it"
                    " requires a login first (401)",
                    hint="check that this is keystone's address, and that no"
                    " proxy in between requires credentials",
                ) from exc

    access = retry.attempts(notify, failures.may_pass_at_login)(log_in)
    who = f"user {access.username or access.user_id}"
    if not access.project_id:
        raise errors.UsageError(
            f"no project was specified for {who}",
            hint="name it in clouds.yaml, in OS_PROJECT_NAME or with"
            " --os-project-name (and its domain)",
        )
    who += f" in project {access.project_name or access.project_id}"
    return Login(who, access.project_id, cloud, notify, planned)


def connect(
    settings: options.Settings,
    notify: retry.Notify = retry.quiet,
    planned: list[Change] | None = None,
) -> Cloud:
    """Log in, and find Glance and Trove.

    :param settings: as :func:`log_in` takes them.
    :param notify: called with a message before each retry.
    :param planned: in a dry run, the list that records the changes.
    :raises UsageError: no cloud or no credentials were specified.
    :raises CloudError: keystone cannot be reached or refuses, or the
        cloud lacks a service.
    """
    login = log_in(settings, notify, planned)
    # Trove first, because a cloud may not have it
    databases = login.service("Trove", "database")
    images = login.service("Glance", "image")
    owner = login.find_owner(settings.image_project)
    return Cloud(login, images, databases, owner)


def _service(cloud: typing.Any, title: str, kind: str, who: str) -> Service:
    from keystoneauth1 import adapter
    from openstack import exceptions as sdk

    def at(url: str | None) -> Service:
        plain = adapter.Adapter(
            cloud.session, service_type=kind, endpoint_override=url
        )
        return Service(plain, peer)

    peer = failures.Peer(title, kind, f"the {kind} endpoint", who)
    with failures.explained(peer):
        url = cloud.config.get_session_endpoint(kind)
    if not url:
        raise failures.no_endpoint(peer)
    peer = dataclasses.replace(peer, url=url)
    if kind == "database":
        # Trove has one API version, which is part of its endpoint: version
        # discovery fails, and openstacksdk would try it four times
        return at(url)
    with failures.explained(peer):
        try:
            proxy = getattr(cloud, kind.replace("-", "_"))
            # not the proxy's own method, which differs for keystone
            return at(adapter.Adapter.get_endpoint(proxy))
        except sdk.NotSupported:
            # openstacksdk also raises this for a service that does not answer;
            # a plain call then fails with the reason
            answer = cloud.session.get(
                url, authenticated=False, raise_exc=False
            )
            failures.check(answer, peer, "asking for its versions")
            raise


def _logging(debug: bool) -> None:
    """Show the log messages of the libraries only with --debug.

    Otherwise their warnings would obscure the error message of this command.
    """
    if debug:
        import openstack

        openstack.enable_logging(debug=True, http_debug=True)
        return
    for name in _LIBRARIES:
        logging.getLogger(name).addHandler(logging.NullHandler())
        warnings.filterwarnings("ignore", module=name)
