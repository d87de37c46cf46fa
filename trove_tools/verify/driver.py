# SPDX-License-Identifier: Apache-2.0
"""Does the work of Trove's task manager, with Trove's own classes.

This file is a separate program: it runs with the Python of the environment in
which the services are installed, and imports nothing from this package.  It
reads requests, one line of JSON each, and writes one line of JSON as the
answer to each.  So Trove's code makes every byte that a guest gets, and
verify's own process loads no code of Trove.

Usage: driver.py DESCRIPTOR[,DESCRIPTOR] TROVE.CONF
"""

import json
import pathlib
import runpy
import socket
import sys
import threading
import traceback
import typing
import uuid

from oslo_log import log as logging
from trove import rpc
from trove.common import cfg
from trove.common import context
from trove.common import exception
from trove.common import notification
from trove.datastore import models as datastores
from trove.db import get_db_api
from trove.extensions.common import common as extensions
from trove.instance import models as instances
from trove.instance import service_status
from trove.instance import tasks
from trove.taskmanager import models as taskmanager

CONF = cfg.CONF

_CONDUCTOR = pathlib.Path(__file__).with_name("conductor.py")

Answer = dict[str, typing.Any]

_TENANT = "0" * 32


def make_context() -> context.TroveContext:
    """Return the context of a request to create an instance."""
    made = context.TroveContext(
        user_id="verify", project_id=_TENANT, is_admin=True
    )
    # the guest reports the end of prepare to this notification's server_type
    made.notification = notification.DBaaSInstanceCreate(
        made,
        request_id=made.request_id,
        server_type="taskmanager",
        client_ip="127.0.0.1",
        server_ip="127.0.0.1",
        tenant_id=_TENANT,
    )
    return made


class Driver:
    """Handles the requests for one instance, from its creation to its end."""

    def __init__(self) -> None:
        self._id = ""
        self._version = ""
        self._manager = ""
        self._flavor: dict[str, typing.Any] = {}

    def _tasks(self) -> taskmanager.FreshInstanceTasks:
        # FreshInstanceTasks.load() would also query Neutron for addresses
        return taskmanager.FreshInstanceTasks(
            make_context(),
            instances.DBInstance.find_by(id=self._id),
            None,
            instances.InstanceServiceStatus.find_by(instance_id=self._id),
        )

    def create(
        self,
        datastore: str,
        version: str,
        manager: str,
        memory: int,
        volume: int,
    ) -> Answer:
        """Create the database rows of an instance.

        :returns: the instance's id and user data; the injected files, their
            owner and group; and the volume's device.
        """
        datastores.update_datastore(datastore, None)
        datastores.update_datastore_version(
            datastore, version, manager, str(uuid.uuid4()), "", "", True
        )
        loaded = datastores.Datastore.load(datastore)
        row = datastores.DatastoreVersion.load(loaded, version)
        instance = instances.DBInstance.create(
            name="verify",
            flavor_id="1",
            tenant_id=_TENANT,
            volume_size=volume,
            datastore_version_id=row.id,
            task_status=tasks.InstanceTasks.BUILDING,
            region_id="verify",
        )
        instances.InstanceServiceStatus.create(
            instance_id=instance.id,
            status=service_status.ServiceStatuses.NEW,
        )
        self._id, self._version = instance.id, version
        self._manager = manager
        self._flavor = {"id": "1", "name": "verify", "ram": memory}
        making = self._tasks()
        files = making.get_injected_files(
            manager, version, networks=self.networks(instance.id)
        )
        user_data = making.prepare_cloud_config(files)
        own = making.prepare_userdata(manager)
        if own:
            user_data = making.combine_cloudinit_userdata(user_data, own)
        return {
            "id": instance.id,
            "user_data": user_data,
            "files": files,
            "owner": CONF.injected_config_owner,
            "group": CONF.injected_config_group,
            "device": CONF.get(manager).device_path,
        }

    def networks(self, instance: str) -> list[dict[str, str]]:
        """Return no further ports: there is only the management port."""
        return []

    def ping(self, seconds: int) -> Answer:
        """Ping the agent, and return whether it answers.

        :param seconds: timeout of the answer.
        """
        CONF.set_override("agent_call_low_timeout", seconds)
        try:
            # an agent with another key answers as well, but not with True
            return {"alive": self._tasks().guest.rpc_ping() is True}
        except exception.GuestTimeout:
            return {"alive": False}

    def prepare(self, database: str, user: str, password: str) -> Answer:
        """Make the agent prepare the instance with a database and a user."""
        named = [{"name": database}]
        making = self._tasks()
        config = making._render_config(self._flavor)
        making._guest_prepare(
            self._flavor["ram"],
            {
                "device_path": CONF.get(self._manager).device_path,
                "mount_point": CONF.get(self._manager).mount_point,
            },
            "",
            extensions.populate_validated_databases(named),
            extensions.populate_users(
                [{"name": user, "password": password, "databases": named}],
                [database],
            ),
            config_contents=config.config_contents,
            ds_version=self._version,
        )
        return {}

    def status(self) -> Answer:
        """Return the last status that the conductor got from the instance."""
        row = instances.InstanceServiceStatus.find_by(instance_id=self._id)
        try:
            fault = instances.DBInstanceFault.find_by(instance_id=self._id)
            faults = [fault.message, *str(fault.details or "").splitlines()]
        except exception.ModelNotFoundError:
            faults = []
        return {
            "status": row.get_status().description,
            "updated": str(row.updated_at),
            "faults": faults,
        }

    def restart(self) -> Answer:
        """Restart the database through the agent, and wait for the end."""
        self._tasks().guest.restart()
        return {}

    def answer(self, request: Answer, link: typing.TextIO) -> Answer:
        """Run a request and return its answer.

        :param request: the name of a method, as ``do``, and its arguments.
        :param link: the stream on which methods send requests to verify.
        """
        name = request.pop("do")
        try:
            answer: Answer = getattr(self, name)(**request)
            return answer
        except Exception as exc:
            # this goes to the driver's log
            traceback.print_exc()
            kind = type(exc).__name__
            return {"error": f"{kind}: {' '.join(str(exc).split())}"}


def main(
    descriptors: str, config: str, kind: typing.Callable[[], Driver] = Driver
) -> None:
    """Serve requests until verify closes the first socket.

    :param descriptors: the descriptors of the sockets, separated by commas; a
        request on one socket does not wait for requests on another one.
    :param config: the path of the configuration file.
    :param kind: the class that handles the requests of one socket.
    """
    logging.register_options(CONF)
    cfg.parse_args(["driver", "--config-file", config])
    logging.setup(CONF, "verify")
    rpc.init(CONF)
    get_db_api().configure_db()
    runpy.run_path(str(_CONDUCTOR))["commit_at_once"]()
    first, *others = map(int, descriptors.split(","))
    for descriptor in others:
        threading.Thread(
            target=_serve, args=(descriptor, kind), daemon=True
        ).start()
    _serve(first, kind)


def _serve(descriptor: int, kind: typing.Callable[[], Driver]) -> None:
    driver = kind()
    with (
        socket.socket(fileno=descriptor) as link,
        link.makefile("rw", encoding="utf-8") as stream,
    ):
        stream.write('{"ready": true}\n')
        stream.flush()
        for line in stream:
            answer = driver.answer(json.loads(line), stream)
            stream.write(json.dumps(answer) + "\n")
            stream.flush()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
