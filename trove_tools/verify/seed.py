# SPDX-License-Identifier: Apache-2.0
"""The seed: what makes a guest under examination tell about itself.

A NoCloud seed is a CD labelled ``cidata``.  Ours is a boothook: cloud-init
runs it as soon as it finds it, early enough to watch the rest of the boot.
It starts :mod:`trove_tools.verify.guest_report` beside the boot, and has the
guest's journal written to a serial port; then it returns.

The guest that gets it is a throw-away overlay: the user and the password
for the probes exist nowhere else.
"""

import collections.abc
import dataclasses
import json
import pathlib
import secrets
import typing

from trove_tools import process
from trove_tools.verify import guest_report

TOOL = "genisoimage"

_END = "END_OF_TROVE_VERIFY"
_BOOTHOOK = """\
#cloud-boothook
#!/bin/sh
set -eu
umask 077
mkdir -p /run/trove-verify
cd /run/trove-verify
cat >settings.json <<'{end}'
{settings}
{end}
for python in python3 /usr/libexec/platform-python; do
    if command -v "$python" >/dev/null; then
        break
    fi
done
{programs}"""
_PROGRAM = """\
cat >{name}.py <<'{end}'
{script}
{end}
# no default dependencies: it runs beside the boot that it waits for
systemd-run --no-block --unit=trove-verify-{name} \\
    --property=DefaultDependencies=no \\
    "$(command -v "$python")" "$PWD/{name}.py" {arguments}
"""
# From now on all that is logged leaves the guest as it is written: what
# comes after may be a guest that answers nothing.
_JOURNAL = """\
systemd-run --no-block --unit=trove-verify-journal \\
    --property=DefaultDependencies=no --property=StandardOutput=file:{port} \\
    --nice=5 journalctl --boot --follow --lines=all --no-pager \\
    --no-hostname --output=short-monotonic
"""


@dataclasses.dataclass(frozen=True)
class Secrets:
    """What is made up for one guest and known to nobody else.

    :param nonce: marks what this guest reports.
    """

    nonce: str
    user: str
    password: str

    @classmethod
    def new(cls) -> typing.Self:
        """Make them up.

        Only letters and digits, and at least one of each kind that a
        server's password policy may ask for.
        """
        return cls(
            nonce=secrets.token_hex(16),
            user=f"verify_{secrets.token_hex(4)}",
            password=f"Aa1{secrets.token_hex(16)}",
        )

    def fill(self, command: str) -> str:
        """Put user and password into a command of the catalog.

        Not :meth:`str.format`: commands have braces of their own.
        """
        return command.replace("{user}", self.user).replace(
            "{password}", self.password
        )


def user_data(
    known: Secrets,
    setup: collections.abc.Mapping[str, collections.abc.Sequence[str]],
    *further: pathlib.Path,
) -> str:
    """Return the seed's user data.

    :param setup: the commands that prepare each probe, by its name.
    :param further: programs that the guest is to run besides.
    """
    settings = {
        "nonce": known.nonce,
        "setup": {
            name: [known.fill(command) for command in commands]
            for name, commands in setup.items()
        },
    }
    programs = [
        _PROGRAM.format(
            end=_END,
            name=file.stem,
            script=file.read_text(),
            arguments=arguments,
        )
        for file, arguments in (
            (pathlib.Path(guest_report.__file__), '"$PWD/settings.json"'),
            *((file, "") for file in further),
        )
    ]
    programs.insert(0, _JOURNAL.format(port=guest_report.JOURNAL))
    return _BOOTHOOK.format(
        end=_END, settings=json.dumps(settings), programs="".join(programs)
    )


def make(
    known: Secrets,
    setup: collections.abc.Mapping[str, collections.abc.Sequence[str]],
    directory: pathlib.Path,
) -> pathlib.Path:
    """Write the seed and return its image.

    :param directory: where; nobody else may read it.
    """
    content = directory / "seed"
    content.mkdir(mode=0o700)
    (content / "user-data").write_text(user_data(known, setup))
    (content / "meta-data").write_text(
        f"instance-id: verify-{known.nonce}\nlocal-hostname: trove-verify\n"
    )
    return write(content, "cidata", directory / "seed.iso")


def write(
    content: pathlib.Path, label: str, image: pathlib.Path
) -> pathlib.Path:
    """Write a CD that holds what is in a directory."""
    process.run(
        [
            TOOL, "-quiet", "-joliet", "-rock", "-volid", label,
            "-output", image, content,
        ]
    )  # fmt: skip
    return image
