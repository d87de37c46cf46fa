# SPDX-License-Identifier: Apache-2.0
"""trove-devstack: the Python part of the devstack plugin."""

import collections.abc
import dataclasses
import pathlib
import sys
import typing

from trove_tools import console
from trove_tools import errors
from trove_tools import results
from trove_tools.cli import common
from trove_tools.host import bounds
from trove_tools.host import paths

_NOTES = """
`settings`, `tempest` and `images` print lines for the shell's `read`; the
other commands accept --format.
"""


def _lines(rows: collections.abc.Iterable[tuple[str, ...]]) -> int:
    for row in rows:
        print(*row)
    sys.stdout.flush()
    return errors.EXIT_OK


def _settings(call: common.Call) -> int:
    settings = call.settings
    from trove_tools.devstack import datastores

    choices = datastores.parse(call.flags.datastores, call.catalog)
    return _lines(
        datastores.settings(
            choices,
            call.catalog,
            volumes=settings.volumes,
            system=settings.guest,
            sources=settings.container_source,
        )
    )


def _validate(call: common.Call) -> int:
    from trove_tools.cli import load
    from trove_tools.devstack import resources

    resources.parse_quotas(call.settings.quota)
    load.parser().parse_args([*call.flags.load_options, "IMAGE"])
    return errors.EXIT_OK


def _images(call: common.Call) -> int:
    flags = call.flags
    from trove_tools.devstack import datastores

    hint = "give it what trove-image-builder build --format json printed"
    paths.require_file(flags.built, "file", hint)
    try:
        results = bounds.read_json(flags.built)
    except ValueError as exc:
        raise errors.UsageError(
            f"file {flags.built} is not JSON: {exc}", hint=hint
        ) from exc
    return _lines(datastores.list_steps(results))


def _prepare(call: common.Call) -> int:
    settings = call.settings
    from trove_tools.cloud import connection
    from trove_tools.devstack import resources

    limits = resources.parse_quotas(settings.quota)
    login = connection.log_in(settings)
    result: dict[str, typing.Any] = {}
    if settings.flavors:
        outcome = resources.ensure(login.service("Nova", "compute"))
        result["flavors"] = dataclasses.asdict(outcome)
        for name in outcome.different:
            call.screen.warn(
                f"flavor {name} exists with other sizes than Trove's tests"
                " expect; it was not changed"
            )
    if limits:
        project = login.find_project(
            settings.service_project, "--service-project"
        )
        result["raised"] = resources.raise_quotas(login, project, limits)
    if settings.user_cloud:
        user = connection.log_in(
            settings.replaced(os_cloud=settings.user_cloud)
        )
        findings = resources.check_cloud(user, [])
        result["checks"] = [dataclasses.asdict(each) for each in findings]
    console.emit(result, settings.format, result=results.PREPARE)
    return errors.EXIT_OK


def _check(call: common.Call) -> int:
    from trove_tools.cloud import connection
    from trove_tools.devstack import datastores
    from trove_tools.devstack import resources

    choices = datastores.parse(call.flags.datastores, call.catalog)
    findings = resources.check_cloud(connection.log_in(call.settings), choices)
    rows = [dataclasses.asdict(each) for each in findings]
    console.emit(
        rows,
        call.settings.format,
        ("check", "ok", "found"),
        result=results.CHECK,
    )
    wrong = [each for each in findings if not each.ok]
    if wrong:
        raise errors.TroveToolsError(
            "; ".join(
                f"not so: {each.check} ({each.found})" for each in wrong
            ),
            hint="; ".join(each.remedy for each in wrong),
        )
    return errors.EXIT_OK


def _tempest(call: common.Call) -> int:
    settings = call.settings
    from trove_tools.cloud import connection
    from trove_tools.devstack import tempest

    login = connection.log_in(settings)
    rows = tempest.list_settings(
        tempest.inspect_cloud(login),
        call.catalog,
        network=settings.network,
        timeout=settings.build_timeout,
        only=call.flags.datastores,
    )
    path = settings.tempest_conf
    if path is None:
        return _lines(rows)
    general = tempest.list_general_settings(login, path.parent.absolute())
    try:
        tempest.write_conf(path, [*general, *rows])
    except OSError as exc:
        raise errors.UsageError(
            f"{path} cannot be written: {exc.strerror}"
        ) from exc
    call.screen.say(f"tempest's configuration is in {path}")
    return errors.EXIT_OK

_DATASTORES = "DATASTORE[:VERSION]"

PROGRAM = common.Program(
    name="trove-devstack",
    description="Prepare a cloud for Trove's tests, as the devstack plugin"
    " does, with one command for each phase.",
    examples=(
        "trove-devstack prepare --os-cloud devstack-admin",
        "trove-devstack check --os-cloud devstack mysql",
    ),
    notes=_NOTES,
    statuses=common.statuses(0, 1, 2, 4, 130, failed="a check failed"),
    commands=(
        common.Command(
            "settings",
            "print the settings of datastores for Trove's configuration",
            _settings,
            groups=("common", "guest", "container", "settings"),
            arguments=(
                common.argument("datastores", metavar=_DATASTORES, nargs="+"),
            ),
            examples=(
                "settings mysql mariadb:11.8", "settings mariadb --no-volumes",
            ),
        ),
        common.Command(
            "validate",
            "check the values for later phases, without a cloud",
            _validate,
            groups=("common", "quota"),
            arguments=(
                common.argument(
                    "load_options", metavar="OPTION", nargs="*",
                    help="after --: an option for load-trove-image",
                ),
            ),
            examples=(
                "validate --quota instances=30",
                "validate --quota cores=60 -- --keep 3",
            ),
        ),
        common.Command(
            "images",
            "print the next steps for images that were built",
            _images,
            groups=("common",),
            arguments=(
                common.argument(
                    "built", metavar="FILE", type=pathlib.Path,
                    help="output of trove-image-builder build --format json",
                ),
            ),
            examples=("images built.json", "images built.json >steps"),
        ),
        common.Command(
            "prepare",
            "create the flavors for Trove's tests, and raise quotas",
            _prepare,
            groups=("common", "prepare", "quota", "cloud"),
            examples=(
                "prepare --os-cloud devstack-admin --quota instances=30",
                "prepare --os-cloud devstack-admin --user-cloud devstack",
            ),
        ),
        common.Command(
            "check",
            "check that a user of the cloud can create the datastores",
            _check,
            groups=("common", "cloud"),
            arguments=(
                common.argument("datastores", metavar=_DATASTORES, nargs="+"),
            ),
            examples=(
                "check --os-cloud devstack mysql",
                "check --os-cloud devstack mariadb:11.8 --format json",
            ),
        ),
        common.Command(
            "tempest",
            "print the settings of trove-tempest-plugin for a cloud",
            _tempest,
            groups=("common", "tempest", "cloud"),
            arguments=(
                common.argument("datastores", metavar=_DATASTORES, nargs="*"),
            ),
            examples=(
                "tempest --os-cloud devstack-admin >tempest.settings",
                "tempest --os-cloud devstack-admin --tempest-conf"
                " tempest.conf",
            ),
        ),
    ),
)  # fmt: skip

main = PROGRAM.main
parser = PROGRAM.parser

if __name__ == "__main__":
    sys.exit(main())
