# SPDX-License-Identifier: Apache-2.0
"""tools/minicloud: a small real cloud in a directory."""

import argparse
import dataclasses
import os
import pathlib
import shlex
import sys
import time

from trove_tools import console
from trove_tools import errors
from trove_tools import results
from trove_tools.cli import common
from trove_tools.config import kinds
from trove_tools.config import options

_CLOUDS = ("minicloud", "minicloud-demo")

_DESCRIPTION = """\
Run a real keystone, glance and trove-api on loopback, with all they have
in one directory: to try the commands, to write tests, to look around.

The cloud `minicloud` of DIR/clouds.yaml is an administrator's, the cloud
`minicloud-demo` an ordinary user's.  There is no compute service, so no
database can be created."""

SERVICES = ("keystone", "glance", "trove")


def _port(text: str) -> tuple[str, int]:
    name, _, number = text.partition("=")
    if name not in SERVICES:
        raise ValueError(errors.nearest(name, SERVICES, "services"))
    if not number.isdecimal() or not 0 < int(number) < 65536:
        raise ValueError("a port is a number from 1 to 65535")
    return name, int(number)


_START = (
    options.Option(
        "venv", "minicloud",
        "virtual environment of the services; made when it is not there"
        " (default: one in ~/.cache/trove-tools that all your miniclouds"
        " share)", kinds.path,
        variables=("TROVE_TOOLS_MINICLOUD_VENV",), metavar="DIR",
    ),
    options.Option(
        "port", "minicloud",
        "port of keystone, glance or trove (default: a free one, the same"
        " at each start)", _port, many=True, metavar="SERVICE=NUMBER",
    ),
)  # fmt: skip

_STATUSES = {
    **common.statuses(
        0, 1, 2, 3, 4, 130, failed="failed (status: not all services run)"
    ),
    errors.EXIT_CLOUD: "a service gave a wrong answer",
}


def _start(call: common.Call) -> int:
    flags, screen = call.flags, call.screen
    from minicloud import layout as layouts
    from minicloud import lifecycle

    begin = time.monotonic()
    layout = layouts.new_or_existing(flags.directory)
    with screen.progress("minicloud") as progress:
        started = lifecycle.start(
            layout,
            progress.state,
            venv=call.settings.venv,
            wanted=dict(call.settings.port),
        )
    seconds = time.monotonic() - begin
    if started:
        screen.say(f"the minicloud in {layout.root} runs ({seconds:.0f} s)")
        screen.say(f'to use it:  eval "$({_again("env", flags)})"')
        screen.say(f"to stop it:  {_again('stop', flags)}")
    else:
        screen.say(f"the minicloud in {layout.root} is already running")
    return errors.EXIT_OK


def _again(command: str, flags: argparse.Namespace) -> str:
    return f"tools/minicloud {command} {shlex.quote(str(flags.directory))}"


def _stop(call: common.Call) -> int:
    flags, screen = call.flags, call.screen
    from minicloud import layout as layouts
    from minicloud import lifecycle

    for name in flags.service:
        if name not in SERVICES:
            raise errors.UsageError(
                f"there is no service {name}",
                hint=errors.nearest(name, SERVICES, "services"),
            )
    layout = layouts.existing(flags.directory)
    ended = lifecycle.stop(layout, screen.say, flags.service)
    if ended:
        screen.say(f"stopped: {', '.join(ended)}")
    else:
        screen.say(f"nothing of this runs in {layout.root}")
    return errors.EXIT_OK


def _status(call: common.Call) -> int:
    from minicloud import layout as layouts
    from minicloud import lifecycle

    found = lifecycle.status(layouts.existing(call.flags.directory))
    rows = [dataclasses.asdict(one) for one in found]
    console.emit(rows, call.settings.format, result=results.SERVICES)
    good = all(one.state == "running" for one in found)
    return errors.EXIT_OK if good else errors.EXIT_FAILED


def _env(call: common.Call) -> int:
    flags = call.flags
    from minicloud import layout as layouts

    layout = layouts.existing(flags.directory)
    if not layout.clouds.exists():
        raise errors.TroveToolsError(
            f"the minicloud in {layout.root} was never ready",
            hint=f"start it with: {_again('start', flags)}",
        )
    chosen = {
        "OS_CLIENT_CONFIG_FILE": str(layout.clouds),
        "OS_CLOUD": flags.cloud,
        "TROVE_TOOLS_MINICLOUD": str(layout.root),
    }
    # credentials of another cloud would win over OS_CLOUD in some clients
    others = sorted(
        name for name in os.environ
        if name.startswith("OS_") and name not in chosen
    )  # fmt: skip
    for name in others:
        if shlex.quote(name) == name:
            print(f"unset {name}")
    for name, value in chosen.items():
        quoted = value.replace("'", "'\\''")
        print(f"export {name}='{quoted}'")
    return errors.EXIT_OK


_COMMON = ("config_file", "format", "quiet", "debug")
_DIRECTORY = common.argument(
    "directory", type=pathlib.Path, metavar="DIR", help="the cloud's directory"
)

PROGRAM = common.Program(
    name="minicloud",
    directory="tools/",
    description=_DESCRIPTION,
    examples=(
        "tools/minicloud start /tmp/cloud",
        'eval "$(tools/minicloud env /tmp/cloud)"',
        "openstack image list",
        "tools/minicloud stop /tmp/cloud && rm -r /tmp/cloud",
    ),
    statuses=_STATUSES,
    commands=(
        common.Command(
            "start",
            "bring the cloud up",
            _start,
            further=_COMMON,
            own=_START,
            arguments=(_DIRECTORY,),
            examples=(
                "start /tmp/cloud", "start /tmp/cloud --port keystone=35357",
            ),
        ),
        common.Command(
            "stop",
            "end the cloud; its data stays",
            _stop,
            further=_COMMON,
            arguments=(
                _DIRECTORY,
                common.argument(
                    "service", nargs="*", metavar="SERVICE",
                    help="end only keystone, glance or trove; `start` brings"
                    " back what is not there",
                ),
            ),
            examples=("stop /tmp/cloud", "stop /tmp/cloud glance"),
        ),
        common.Command(
            "status",
            "show the services and how they are",
            _status,
            further=_COMMON,
            arguments=(_DIRECTORY,),
            examples=("status /tmp/cloud", "status /tmp/cloud --format json"),
        ),
        common.Command(
            "env",
            "print shell lines that make clients use the cloud",
            _env,
            further=_COMMON,
            arguments=(
                _DIRECTORY,
                common.argument(
                    "--cloud", choices=_CLOUDS, default=_CLOUDS[0],
                    help="whose credentials (default: %(default)s)",
                ),
            ),
            examples=(
                "env /tmp/cloud", "env /tmp/cloud --cloud minicloud-demo",
            ),
        ),
    ),
)  # fmt: skip

main = PROGRAM.main
parser = PROGRAM.parser

if __name__ == "__main__":
    sys.exit(main())
