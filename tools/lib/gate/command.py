# SPDX-License-Identifier: Apache-2.0
"""tools/gate-jobs: which Zuul jobs a change runs, and why."""

import argparse
import pathlib
import sys
import typing

from trove_tools import console
from trove_tools import errors
from trove_tools import results
from trove_tools.cli import common
from trove_tools.config import options

#: The checkout that this module is in.
TOP = pathlib.Path(__file__).resolve().parents[3]

_DESCRIPTION = """\
Tell which Zuul jobs a change of some files runs and why, or write what
Zuul reads."""

_EXAMPLES = (
    "tools/gate-jobs --changed trove_tools/elements/trove-guest/element-deps",
    "tools/gate-jobs --pipeline gate --changed $(git diff --name-only HEAD~1)",
    "tools/gate-jobs --write",
)


def _add_arguments(parser: argparse.ArgumentParser) -> None:
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument(
        "--changed", metavar="FILE", nargs="+",
        help="files that a change touches, from the tree's top",
    )  # fmt: skip
    what.add_argument(
        "--write", action="store_true",
        help="bring zuul.d and tables of the documentation up to date",
    )  # fmt: skip
    parser.add_argument(
        "--pipeline", choices=("check", "gate"), default="check",
        help="Zuul's pipeline (default: %(default)s)",
    )  # fmt: skip


def _run(call: common.Call) -> int:
    # quickly said what is wrong with the command line
    from trove_tools.catalog import loader

    catalog = loader.load()
    if call.flags.write:
        return _write(catalog, call.screen)
    return _changed(catalog, call.flags, call.settings, call.screen)


def _changed(
    catalog: typing.Any,
    flags: argparse.Namespace,
    values: options.Settings,
    screen: console.Console,
) -> int:
    from gate import selection

    files = [_relative(name) for name in flags.changed]
    for file in files:
        if not selection.explained(catalog, file):
            raise errors.UsageError(
                f"{file}: nothing says which jobs it has to do with",
                hint="is the path from the tree's top? a new kind of file"
                " needs a rule in tools/lib/gate/rules.yaml",
            )
    every = selection.jobs(catalog, flags.pipeline)
    found = selection.run(catalog, flags.pipeline, files)
    console.emit(
        [
            {
                "job": job.name,
                "voting": "yes" if job.voting else "no",
                "because": why,
            }
            for job, why in found
        ],
        values.format,
        result=results.JOBS,
    )
    screen.say(f"{flags.pipeline}: {len(found)} of {len(every)} jobs")
    return errors.EXIT_OK


def _write(catalog: typing.Any, screen: console.Console) -> int:
    from gate import page
    from gate import render

    if not (TOP / render.DIRECTORY).is_dir():
        raise errors.UsageError(
            f"{TOP} is no checkout of trove-tools",
            hint="zuul.d is in a checkout only: run tools/gate-jobs there",
        )
    changed = [*render.write(catalog, TOP), *page.write(catalog, TOP)]
    for name in changed:
        screen.say(f"wrote {name}")
    if not changed:
        screen.say("all is up to date")
    return errors.EXIT_OK


def _relative(name: str) -> str:
    """Return a path from the tree's top; it need not exist any more."""
    path = pathlib.Path(name)
    if path.is_absolute() and path.is_relative_to(TOP):
        path = path.relative_to(TOP)
    return path.as_posix()


PROGRAM = common.Program(
    name="gate-jobs",
    description=_DESCRIPTION,
    examples=_EXAMPLES,
    statuses=common.statuses(0, 1, 2, 130),
    commands=(
        common.Command(
            "",
            "",
            _run,
            further=("config_file", "format", "quiet", "debug"),
            arguments=(_add_arguments,),
        ),
    ),
)

main = PROGRAM.main
parser = PROGRAM.parser

if __name__ == "__main__":
    sys.exit(main())
