# SPDX-License-Identifier: Apache-2.0
"""Runs the later operations of an instance with Trove's API and task manager.

This is a separate program, like :mod:`trove_tools.verify.driver`, which it
extends.  A request is handled like a user's request: the models of Trove's
API check it and call Trove's task manager, which runs in this process instead
of a separate one.  The task manager calls the agent, Nova, Cinder and Neutron;
the last three are in :mod:`trove_tools.verify.life.driver_cloud`.

Usage: driver.py DESCRIPTOR[,DESCRIPTOR] TROVE.CONF
"""

import importlib.util
import json
import logging
import pathlib
import sys
import threading
import types
import typing


def _load(name: str, file: pathlib.Path) -> types.ModuleType:
    """Import a file of this package, which Trove's environment lacks."""
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


_HERE = pathlib.Path(__file__).parent
# trove.conf names this module verify_cloud
cloud: typing.Any = _load("verify_cloud", _HERE / "driver_cloud.py")
base: typing.Any = _load("verify_driver", _HERE.parent / "driver.py")
requests: typing.Any = _load("verify_requests", _HERE / "driver_requests.py")

import trove  # noqa: E402
from trove.backup import models as backups  # noqa: E402
from trove.common import cfg  # noqa: E402
from trove.common import notification  # noqa: E402
from trove.configuration import models as configurations  # noqa: E402
from trove.configuration import service as configuration_api  # noqa: E402
from trove.datastore import models as datastores  # noqa: E402
from trove.instance import models as instances  # noqa: E402
from trove.instance import tasks  # noqa: E402
from trove.taskmanager import api as task_api  # noqa: E402
from trove.taskmanager import manager as taskmanager  # noqa: E402

CONF = cfg.CONF

Answer = dict[str, typing.Any]

# Trove's options for the timeouts of an agent's answers
_CALL = "agent_call_low_timeout"
_CALLS = ("agent_call_high_timeout", "agent_replication_snapshot_timeout")


class _TaskManager:
    """Runs the API's casts to the task manager at once."""

    def prepare(self, **_: object) -> "_TaskManager":
        return self

    def cast(
        self, context: typing.Any, method: str, /, **arguments: object
    ) -> None:
        getattr(taskmanager.Manager(), method)(context, **arguments)


class _Errors(logging.Handler):
    """Collects the errors that Trove logs in this thread.

    Trove does not raise many of them as exceptions.
    """

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.lines: list[str] = []
        self._thread = threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self._thread:
            self.lines.append(" ".join(record.getMessage().split()))


class Life(requests.Requests, base.Driver):  # type: ignore[misc]
    """Handles the requests for the instances of one verification.

    :param errors: the errors that Trove logged during the last request.
    """

    def __init__(self) -> None:
        super().__init__()
        self._catalog: list[Answer] = []
        self._token = ""
        self._seconds = 0
        self._nics: list[Answer] = []
        self.errors = _Errors()
        logging.getLogger("trove").addHandler(self.errors)
        task_api.API.get_client = lambda *_, **__: _TaskManager()

    def make_context(self, kind: str, **payload: object) -> typing.Any:
        """Return a user's context with the notification of an action.

        :param kind: the notification's class name without its prefix.
        """
        made = base.make_context()
        made.auth_token = self._token
        made.service_catalog = self._catalog
        made.notification = getattr(notification, f"DBaaS{kind}")(
            made,
            request_id=made.request_id,
            server_type="api",
            client_ip="127.0.0.1",
            server_ip="127.0.0.1",
            tenant_id=made.project_id,
            **payload,
        )
        return made

    def load(self, instance: str, kind: str, **payload: object) -> typing.Any:
        return instances.Instance.load(
            self.make_context(kind, instance_id=instance, **payload), instance
        )

    def plug(self, nics: list[Answer]) -> Answer:
        """Set the interfaces that ``create`` uses.

        :param nics: each with ``network``, ``address``, ``mac``, ``cidr`` and
            ``gateway``; the user's interface is first, as in Trove.
        """
        self._nics = nics
        return {}

    def networks(self, instance: str) -> list[dict[str, str]]:
        """Make the ports of an instance, and return them in Trove's format."""
        return [
            {"port-id": cloud.add_port(f"trove-{instance}", **nic)}
            for nic in self._nics
        ]

    def adopt(
        self,
        instance: str,
        image: str,
        memory: int,
        size: int,
        seconds: int,
    ) -> Answer:
        """Add to an instance what ``create`` leaves out: server and volume.

        :param memory: memory of its flavor, MiB.
        :param size: size of its volume, GiB.
        :param seconds: timeout of the agent's answer to any call.
        :returns: the ids of the server and of the volume.
        """
        self._seconds = seconds
        for option in (_CALL, *_CALLS):
            CONF.set_override(option, seconds)
        row = instances.DBInstance.find_by(id=instance)
        cloud.FLAVORS["1"] = cloud.Flavor("1", "verify", memory)
        volume = cloud.Volume(f"volume-{instance}", size, "in-use")
        server = cloud.Server(
            f"server-{instance}", "verify", {"id": image}, {"id": "1"}
        )
        cloud.VOLUMES[volume.id] = volume
        cloud.SERVERS[server.id] = server
        for port in cloud.PORTS.values():
            if port["name"] == f"trove-{instance}":
                port["device_id"] = server.id
        row.volume_id, row.compute_instance_id = volume.id, server.id
        row.set_task_status(tasks.InstanceTasks.NONE)
        row.save()
        self._load_parameters(row.datastore_version_id)
        return {"server": server.id, "volume": volume.id}

    def ping(self, seconds: int) -> Answer:
        """Ping the agent, and return whether it answers."""
        answer: Answer = super().ping(seconds)
        CONF.set_override(_CALL, self._seconds)
        return answer

    def _load_parameters(self, version: str) -> None:
        """Load the configuration parameters of a version into Trove."""
        row = datastores.DatastoreVersion.load_by_uuid(version)
        rules = (
            pathlib.Path(trove.__file__).parent
            / "templates" / row.manager / "validation-rules.json"
        )  # fmt: skip
        wanted = json.loads(rules.read_text())["configuration-parameters"]
        for one in wanted:
            # text, because the largest numbers are too large for SQLite
            limits = [
                str(one[name]) if name in one else None
                for name in ("max", "min")
            ]
            configurations.create_or_update_datastore_configuration_parameter(
                one["name"], version, one["restart_required"], one["type"],
                *limits,
            )  # fmt: skip

    def storage(self, url: str, token: str, here: str) -> Answer:
        """Set the URLs of the Swift account, and its token.

        :param url: the URL at which a guest reaches the account.
        :param here: the URL at which this host reaches the account.
        """
        self._token = token
        cloud.SWIFT = here
        self._catalog = [
            {
                "type": CONF.swift_service_type,
                "name": "swift",
                "endpoints": [
                    {
                        "region": CONF.service_credentials.region_name,
                        "publicURL": url,
                    }
                ],
            }
        ]
        return {}

    # configuration

    def attach_configuration(self, instance: str, values: Answer) -> Answer:
        """Make a configuration group, and attach it to an instance.

        :returns: whether the database needs a restart.
        """
        loaded = self.load(
            instance, "InstanceAttachConfiguration", configuration_id=""
        )
        version = loaded.datastore_version
        configuration_api.ConfigurationsController._validate_configuration(
            values,
            version,
            configurations.DatastoreConfigurationParameters.load_parameters(
                version.id
            ),
        )
        group = configurations.Configuration.create(
            "verify", "", loaded.tenant_id, None, version.id
        )
        configurations.Configuration.create_items(group.id, values)
        loaded.attach_configuration(group.id)
        return self._needs_restart(instance)

    def detach_configuration(self, instance: str) -> Answer:
        """Detach the configuration group from an instance."""
        loaded = self.load(instance, "InstanceDetachConfiguration")
        loaded.detach_configuration()
        return self._needs_restart(instance)

    def _needs_restart(self, instance: str) -> Answer:
        row = instances.DBInstance.find_by(id=instance)
        required = tasks.InstanceTasks.RESTART_REQUIRED
        return {"restart": row.task_status == required}

    # the database and the guest

    def heartbeat(self, instance: str) -> Answer:
        """Make the agent report the database's status to the conductor now.

        Without this, the agent reports only once a minute, which is the
        default interval of a periodic task of oslo.service.
        """
        guest = self.load(instance, "InstanceRestart").guest
        guest._call("update_status", CONF.agent_call_low_timeout, "1.0")
        return {}

    def restart(self, instance: str = "") -> Answer:
        """Restart the database."""
        self.load(instance or self._id, "InstanceRestart").restart()
        return {}

    def stop(self, instance: str) -> Answer:
        """Stop the database, as Trove does before a resize."""
        self.load(instance, "InstanceRestart").guest.stop_db()
        return {}

    def reboot(self, instance: str) -> Answer:
        """Reboot the guest."""
        self.load(instance, "InstanceReboot").reboot()
        return {}

    def resize_volume(self, instance: str, size: int, online: bool) -> Answer:
        """Enlarge the volume and its file system.

        :param size: the volume's new size, GiB.
        :param online: whether the database runs meanwhile, which is Trove's
            default.
        """
        CONF.set_override("online_volume_resize", online)
        self.load(
            instance, "InstanceResizeVolume", new_size=size
        ).resize_volume(size)
        return {}

    def volume(self, instance: str) -> Answer:
        """Return the agent's data about the volume."""
        loaded = self.load(instance, "InstanceRestart")
        values: Answer = loaded.guest.get_volume_info()
        return values

    def rebuild(self, instance: str, image: str) -> Answer:
        """Replace the image of the instance's server; its volume remains."""
        self.load(instance, "InstanceUpgrade").rebuild(image)
        return {}

    def upgrade(self, instance: str, version: str, image: str) -> Answer:
        """Upgrade the instance to another version of its datastore.

        :param image: the id of that version's image.
        """
        loaded = self.load(
            instance, "InstanceUpgrade", datastore_version_id=version
        )
        datastores.update_datastore_version(
            loaded.datastore.name, version, loaded.datastore_version.manager,
            image, "", "", True,
        )  # fmt: skip
        loaded.upgrade(
            datastores.DatastoreVersion.load(loaded.datastore, version)
        )
        return {}

    # logs

    def logs(self, instance: str) -> Answer:
        """List the guest's logs."""
        loaded = self.load(instance, "InstanceRestart")
        listed = loaded.guest.guest_log_list()
        return {"logs": {log["name"]: log for log in listed}}

    def log(self, instance: str, log: str, **wanted: bool) -> Answer:
        """Enable, disable, publish or discard a log.

        :returns: the agent's description of the log afterwards.
        """
        actions = ("enable", "disable", "publish", "discard")
        guest = self.load(instance, "InstanceRestart").guest
        description: Answer = guest.guest_log_action(
            log, *(wanted.get(action, False) for action in actions)
        )
        return description

    def settle(self, instance: str) -> Answer:
        """Clear the task, replicas and backups that a failed action left.

        Trove's own reset of an instance's status does this as well, but the
        instance is in error afterwards until the next heartbeat.
        """
        row = instances.DBInstance.find_by(id=instance)
        row.set_task_status(tasks.InstanceTasks.NONE)
        row.save()
        for replica in instances.DBInstance.find_all(slave_of_id=instance):
            replica.slave_of_id = None
            replica.save()
        while backup := backups.Backup.running(instance):
            backup.state = backups.BackupState.FAILED
            backup.save()
        return {}

    def state(self, instance: str) -> Answer:
        """Return an instance's status, task, replication, size and version."""
        self._id = instance
        row = instances.DBInstance.find_by(id=instance)
        return {
            **self.status(),
            "task": row.task_status.action,
            "replica_of": row.slave_of_id,
            "size": row.volume_size,
            "version": datastores.DatastoreVersion.load_by_uuid(
                row.datastore_version_id
            ).name,
        }

    def answer(self, request: Answer, link: typing.TextIO) -> Answer:
        """Run a request and return its answer.

        :returns: the answer, in which ``logged`` is a list of the errors that
            Trove logged.
        """

        def ask(name: str, **arguments: object) -> Answer:
            link.write(json.dumps({"cloud": name, **arguments}) + "\n")
            link.flush()
            answer: Answer = json.loads(link.readline())
            if "error" in answer:
                raise RuntimeError(answer["error"])
            return answer

        cloud.LINK.ask = ask
        self.errors.lines.clear()
        answer: Answer = super().answer(request, link)
        return {**answer, "logged": list(self.errors.lines)}


def main(descriptors: str, config: str) -> None:
    """Serve requests until verify closes the first socket."""
    base.main(descriptors, config, Life)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
