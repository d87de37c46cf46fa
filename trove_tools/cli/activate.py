# SPDX-License-Identifier: Apache-2.0
"""activate-trove-image: make a datastore version the default for users."""


from trove_tools import errors
from trove_tools import results
from trove_tools.cli import cloud as clouds
from trove_tools.cli import common

_EXAMPLES = (
    "activate-trove-image mariadb:11.8",
    "activate-trove-image --rollback mariadb:11.8",
    "activate-trove-image --rollback mariadb:11.8 --to-image ID",
    "activate-trove-image --list",
    "activate-trove-image --instances mariadb:11.8",
    "activate-trove-image --rebuild-instances mariadb:11.8 --at-once 2",
)

_NOTES = """
Without VERSION, the newest that is registered becomes the default.

--rebuild-instances asks Trove to rebuild each instance of the version whose
server runs another image than the current one: Trove stops the database, Nova
replaces the system disk, and the database starts again.  Data, address, users
and configuration stay; connections are lost for some minutes.  The next one
begins when the instance is HEALTHY.  Replicas come before their source.  An
instance that is not healthy, has no data volume, or boots from a volume is
left as it is.  After an interruption, the same command continues; --dry-run
prints the calls.
"""

_COLUMNS = (
    "datastore",
    "version",
    "active",
    "default",
    "image",
    "image_id",
)

_LISTED = (
    "datastore",
    "version",
    "active",
    "default",
    "image",
    "age",
    "agent_version",
    "previous_age",
    "instances",
    "instances_behind",
)

_BEHIND = ("instance", "name", "status", "health", "image_id", "obstacle")

_REBUILT = ("instance", "name", "result", "seconds", "reason")

#: The options that each select another task than activating a version.
_TASKS = ("list", "rollback", "instances", "rebuild_instances")


def activate_version(call: common.Call) -> int:
    """Activate a version, or do what an option in :data:`_TASKS` names.

    :returns: an exit status.
    """
    settings, screen = call.settings, call.screen
    from trove_tools.catalog import model
    from trove_tools.cloud import activation
    from trove_tools.cloud import rebuild

    name = version = ""
    if call.flags.datastore:
        name, version = model.split_name(call.flags.datastore)
    tasks = [task for task in _TASKS if getattr(settings, task)]
    if len(tasks) > 1:
        flags = [f"--{task.replace('_', '-')}" for task in tasks]
        raise errors.UsageError(
            f"{' and '.join(flags)} cannot be used together",
            hint="leave one of them out",
        )
    if not name and not settings.list:
        raise errors.UsageError(
            "no DATASTORE was given",
            hint="list the versions: activate-trove-image --list",
        )
    if tasks and not settings.list and not version:
        flag = f"--{tasks[0].replace('_', '-')}"
        raise errors.UsageError(
            f"no version of {name} was given for {flag}",
            hint=f"write {flag} {name}:VERSION",
        )
    if settings.at_once < 1:
        raise errors.UsageError(
            "--at-once 0 would rebuild nothing",
            hint="write 1 or more",
        )
    if settings.to_image and not settings.rollback:
        raise errors.UsageError(
            "--to-image names an image to return to",
            hint="write --rollback DATASTORE:VERSION --to-image ID",
        )
    session = clouds.connect(settings, screen)
    if settings.list:
        rows = activation.list_versions(
            session.cloud, name or None, version or None, screen
        )
        return session.print_rows(rows, results.REGISTERED, _LISTED)
    work = activation.Activation(session.cloud, screen)
    if settings.instances:
        rows = work.list_behind(name, version)
        return session.print_rows(rows, results.INSTANCES, _BEHIND)
    if settings.rebuild_instances:
        rows = work.rebuild_behind(
            name, version, settings.at_once, settings.rebuild_timeout
        )
        status = session.print_rows(rows, results.REBUILT, _REBUILT)
        left = [each for each in rows if each["result"] in rebuild.LEFT]
        return errors.EXIT_FAILED if left else status
    if settings.rollback:
        row = work.roll_back(name, version, settings.to_image)
    else:
        row = work.activate(name, version or None)
    return session.print_rows([row], results.ACTIVATE, _COLUMNS)


PROGRAM = common.Program(
    name="activate-trove-image",
    description="Make a registered datastore version active and its"
    " datastore's default, if there is an image to start it from.",
    examples=_EXAMPLES,
    statuses=common.statuses(
        0, 1, 2, 3, 4, 130,
        failed="there is no older image to return to, or instances still run"
        " another image",
    ),
    notes=_NOTES,
    commands=(
        common.Command(
            "",
            "",
            activate_version,
            groups=(*clouds.GROUPS, "activate"),
            arguments=(
                common.argument(
                    "datastore",
                    metavar="DATASTORE[:VERSION]",
                    nargs="?",
                    default="",
                ),
            ),
        ),
    ),
)

main = PROGRAM.main
parser = PROGRAM.parser
