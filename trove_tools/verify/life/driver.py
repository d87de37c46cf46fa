# SPDX-License-Identifier: Apache-2.0
"""Does with an instance what Trove's API and task manager do later.

A program of its own, as :mod:`trove_tools.verify.driver`, which it extends.
A request goes the way that a user's request goes: Trove's models of its API
check it and call its task manager, which runs here and not in another
process, and that calls the agent, Nova, Cinder and Neutron.  The last three
are in :mod:`trove_tools.verify.life.driver_cloud`.

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
    """Import a file of this package, which Trove's Python lacks."""
    spec = importlib.util.spec_from_file_location(name, file)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


_HERE = pathlib.Path(__file__).parent
# the name that trove.conf calls it by
cloud: typing.Any = _load("verify_cloud", _HERE / "driver_cloud.py")
base: typing.Any = _load("verify_driver", _HERE.parent / "driver.py")
accounts: typing.Any = _load("verify_accounts", _HERE / "driver_accounts.py")
others: typing.Any = _load("verify_instances", _HERE / "driver_instances.py")

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

# options for how long Trove waits for an answer of an agent
_CALL = "agent_call_low_timeout"
_CALLS = ("agent_call_high_timeout", "agent_replication_snapshot_timeout")


class _TaskManager:
    """Runs at once what the API casts to the task manager."""

    def prepare(self, **_: object) -> "_TaskManager":
        return self

    def cast(
        self, context: typing.Any, method: str, /, **arguments: object
    ) -> None:
        getattr(taskmanager.Manager(), method)(context, **arguments)


class _Errors(logging.Handler):
    """Keeps what Trove logs as errors in this thread.

    Much of it is not raised.
    """

    def __init__(self) -> None:
        super().__init__(logging.ERROR)
        self.lines: list[str] = []
        self._thread = threading.get_ident()

    def emit(self, record: logging.LogRecord) -> None:
        if record.thread == self._thread:
            self.lines.append(" ".join(record.getMessage().split()))


class Life(
    accounts.Accounts,  # type: ignore[misc]
    others.Others,  # type: ignore[misc]
    base.Driver,  # type: ignore[misc]
):
    """The instances of one verify.

    :param errors: what Trove has logged during the last request.
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

        :param kind: of the notification, without its prefix.
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
        """Take note of the interfaces that ``create`` is to use.

        :param nics: by network, with ``address``, ``mac``, ``cidr`` and
            ``gateway``; the user's comes first, as Trove has it.
        """
        self._nics = nics
        return {}

    def networks(self, instance: str) -> list[dict[str, str]]:
        """Return the ports of an instance, as Trove passes them on."""
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
        """Give an instance what ``create`` leaves out: server and volume.

        :param memory: of its flavor, MiB.
        :param size: of its volume, GiB.
        :param seconds: that the agent gets to answer any call.
        :returns: the ids of both.
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
        """Ask the agent whether it is there."""
        answer: Answer = super().ping(seconds)
        CONF.set_override(_CALL, self._seconds)
        return answer

    def _load_parameters(self, version: str) -> None:
        """Tell Trove which configuration parameters there are."""
        row = datastores.DatastoreVersion.load_by_uuid(version)
        rules = (
            pathlib.Path(trove.__file__).parent
            / "templates" / row.manager / "validation-rules.json"
        )  # fmt: skip
        wanted = json.loads(rules.read_text())["configuration-parameters"]
        for one in wanted:
            # the largest are too large for SQLite as numbers
            limits = [
                str(one[name]) if name in one else None
                for name in ("max", "min")
            ]
            configurations.create_or_update_datastore_configuration_parameter(
                one["name"], version, one["restart_required"], one["type"],
                *limits,
            )  # fmt: skip

    def storage(self, url: str, token: str, here: str) -> Answer:
        """Take note of where Swift is.

        :param url: of the account, as a guest reaches it.
        :param here: the same, as it is reached from this host.
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
        """Make a configuration group and attach it.

        :returns: whether the database has to be restarted for it.
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
        """Detach the configuration group."""
        loaded = self.load(instance, "InstanceDetachConfiguration")
        loaded.detach_configuration()
        return self._needs_restart(instance)

    def _needs_restart(self, instance: str) -> Answer:
        row = instances.DBInstance.find_by(id=instance)
        required = tasks.InstanceTasks.RESTART_REQUIRED
        return {"restart": row.task_status == required}

    # the database and the guest

    def heartbeat(self, instance: str) -> Answer:
        """Have the agent look at the database now, and tell the conductor.

        By itself it does so once a minute: oslo.service runs no periodic
        task more often that does not name an interval.
        """
        guest = self.load(instance, "InstanceRestart").guest
        guest._call("update_status", CONF.agent_call_low_timeout, "1.0")
        return {}

    def restart(self, instance: str = "") -> Answer:
        """Restart the database."""
        self.load(instance or self._id, "InstanceRestart").restart()
        return {}

    def stop(self, instance: str) -> Answer:
        """Stop the database, as before a resize."""
        self.load(instance, "InstanceRestart").guest.stop_db()
        return {}

    def reboot(self, instance: str) -> Answer:
        """Reboot the guest."""
        self.load(instance, "InstanceReboot").reboot()
        return {}

    def resize_volume(self, instance: str, size: int, online: bool) -> Answer:
        """Enlarge the volume and its file system.

        :param size: GiB.
        :param online: while the database runs, which is Trove's default.
        """
        CONF.set_override("online_volume_resize", online)
        self.load(
            instance, "InstanceResizeVolume", new_size=size
        ).resize_volume(size)
        return {}

    def volume(self, instance: str) -> Answer:
        """Return what the agent says of the volume."""
        loaded = self.load(instance, "InstanceRestart")
        found: Answer = loaded.guest.get_volume_info()
        return found

    def rebuild(self, instance: str, image: str) -> Answer:
        """Put another image under the instance's volume."""
        self.load(instance, "InstanceUpgrade").rebuild(image)
        return {}

    def upgrade(self, instance: str, version: str, image: str) -> Answer:
        """Bring the instance to another version of its datastore.

        :param image: of that version.
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
        found = loaded.guest.guest_log_list()
        return {"logs": {log["name"]: log for log in found}}

    def log(self, instance: str, log: str, **wanted: bool) -> Answer:
        """Enable, disable, publish or discard a log.

        :returns: what the agent says of it then.
        """
        actions = ("enable", "disable", "publish", "discard")
        guest = self.load(instance, "InstanceRestart").guest
        found: Answer = guest.guest_log_action(
            log, *(wanted.get(action, False) for action in actions)
        )
        return found

    def settle(self, instance: str) -> Answer:
        """Forget what a failed action has left: task, replica and backup.

        Trove's own way is to reset the instance's status, after which it is
        in error until the next heartbeat.
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
        """Return what the conductor and the task manager know of it."""
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

        :returns: also, as ``logged``, what Trove has logged as errors.
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
    """Serve requests until there are no more."""
    base.main(descriptors, config, Life)


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2])
