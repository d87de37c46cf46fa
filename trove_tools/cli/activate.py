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
)

_NOTES = """
Without VERSION, the newest that is registered becomes the default.
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
)


def activate_version(call: common.Call) -> int:
    """Activate a version, roll it back, or list versions.

    :returns: an exit status.
    """
    settings, screen = call.settings, call.screen
    from trove_tools.catalog import model
    from trove_tools.cloud import activation

    name = version = ""
    if call.flags.datastore:
        name, version = model.split_name(call.flags.datastore)
    if settings.list and settings.rollback:
        raise errors.UsageError(
            "--list changes nothing, and --rollback does",
            hint="leave one of them out",
        )
    if not name and not settings.list:
        raise errors.UsageError(
            "no DATASTORE was given",
            hint="list the versions: activate-trove-image --list",
        )
    if settings.rollback and not version:
        raise errors.UsageError(
            f"no version of {name} was given to roll back",
            hint=f"write --rollback {name}:VERSION",
        )
    if settings.to_image and not settings.rollback:
        raise errors.UsageError(
            "--to-image names an image to return to",
            hint="write --rollback DATASTORE:VERSION --to-image ID",
        )
    session = clouds.connect(settings, screen)
    if settings.list:
        rows = activation.list_versions(
            session.cloud, name or None, version or None
        )
        return session.print_rows(
            rows, settings.format, results.REGISTERED, _LISTED, screen
        )
    work = activation.Activation(session.cloud, screen)
    if settings.rollback:
        row = work.roll_back(name, version, settings.to_image)
    else:
        row = work.activate(name, version or None)
    return session.print_rows(
        [row], settings.format, results.ACTIVATE, _COLUMNS, screen
    )


PROGRAM = common.Program(
    name="activate-trove-image",
    description="Make a registered datastore version active and its"
    " datastore's default, if there is an image to start it from.",
    examples=_EXAMPLES,
    statuses=common.statuses(
        0, 1, 2, 3, 4, 130, failed="there is no older image to return to"
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
