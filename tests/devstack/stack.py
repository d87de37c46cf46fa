# SPDX-License-Identifier: Apache-2.0
"""devstack as far as the plugin sees it: its functions, recorded.

Each function of devstack's and each command of ours that the plugin calls
is written down with its arguments.  What devstack's own functions do, such
as a service's being enabled, is done here in the plainest way; the
commands that need no cloud are the real ones.
"""

import dataclasses
import os
import pathlib
import shlex
import subprocess
import sys
import typing

from tests import base

DEVSTACK = base.ROOT / "devstack"

#: Between the words of a call, and between calls.
_WORD, _CALL = "\x1f", "\x1e"

_FUNCTIONS = r"""
record() {
    local word
    for word in "$@"; do printf '%s\037' "$word"; done >>"$CALLS"
    printf '\036' >>"$CALLS"
}
die() {
    local line=$1
    shift
    echo "[ERROR] $*" >&2
    exit 1
}
trueorfalse() {
    case ${!2:-} in
        1|[yY]es|YES|[tT]rue|TRUE) echo True ;;
        0|[nN]o|NO|[fF]alse|FALSE) echo False ;;
        *) echo "$1" ;;
    esac
}
is_service_enabled() {
    local service
    for service in "$@"; do
        [[ ,$ENABLED_SERVICES, == *,$service,* ]] && return 0
        [[ $service == trove && ,$ENABLED_SERVICES == *,tr-* ]] && return 0
        [[ $service == cinder && ,$ENABLED_SERVICES == *,c-* ]] && return 0
    done
    return 1
}
is_plugin_enabled() { [[ ,$DEVSTACK_PLUGINS, == *,$1,* ]]; }
get_python_exec_prefix() { echo "$BIN"; }
warn() { local status=$?; echo "[WARNING] $2" >&2; return $status; }
define_plugin() { record define_plugin "$@"; }
plugin_requires() { record plugin_requires "$@"; }
echo_summary() { record echo_summary "$@"; }
setup_develop() { record setup_develop "$@"; }
iniset() { record iniset "$@"; }
async_runfunc() {
    record async_runfunc "$@"
    # as devstack does: no failure in there ends the run by itself
    if "$@"; then echo 0; else echo $?; fi >"$DEST/async-status"
}
async_wait() {
    record async_wait "$@"
    local status
    status=$(<"$DEST/async-status")
    [[ $status == 0 ]] || echo "=== Wait failure dump ===" >&2
    return "$status"
}
enable_plugin() {
    DEVSTACK_PLUGINS+=",$1"
    GITDIR[$1]=$DEST/$1
}
declare -A GITDIR
"""

#: What stack.sh does with plugins, in its order, and with its error trap.
#: devstack itself is not as strict.
_PHASES = r"""
set -o errexit -o nounset -o pipefail
trap 'echo "stack.sh failed" >&2' ERR
source "$PLUGIN/override-defaults"
source "$PLUGIN/settings"
eval "$AFTER_SETTINGS"
for phase in "${PHASES[@]}"; do
    record phase $phase
    set -o xtrace
    source "$PLUGIN/plugin.sh" $phase
    { shopt -qo xtrace && record xtrace kept; } 2>/dev/null
    set +o xtrace
done
"""

#: A command of ours that needs a cloud, or half an hour.
_COMMAND = r"""#!/bin/bash
source "$FUNCTIONS"
record "${{0##*/}}" "$@"
{script}
"""

_BUILDER = r"""#!/bin/bash
source "$FUNCTIONS"
record trove-image-builder "$@"
if [[ $1 == plan ]]; then
    {real} || exit 0
    exec {python} -m trove_tools.cli.builder "$@"
fi
{script}
"""

_REAL = r"""#!/bin/bash
source "$FUNCTIONS"
record trove-devstack "$@"
case $1 in
    {real}) exec {python} -c \
        'import sys; from trove_tools.cli import devstack
sys.exit(devstack.main())' "$@" ;;
esac
{script}
"""

STACK = ("stack pre-install", "stack install", "stack post-config",
         "stack extra", "stack test-config")  # fmt: skip

SERVICES = "key,g-api,n-api,n-cpu,c-vol,q-svc,tempest,trove,tr-api,tr-tmgr"


@dataclasses.dataclass(frozen=True)
class Ran:
    """What a run of some phases did."""

    status: int
    calls: list[list[str]]
    stderr: str

    def builds(self) -> list[list[str]]:
        """Return the arguments of each build."""
        return [
            words
            for words in self.named("trove-image-builder")
            if words[0] == "build"
        ]

    def named(self, name: str) -> list[list[str]]:
        """Return the arguments of each call of one function or command."""
        return [call[1:] for call in self.calls if call[0] == name]

    @property
    def order(self) -> list[str]:
        """The names of what was called, one after the other."""
        return [call[0] for call in self.calls]

    def ini(self) -> dict[tuple[str, str, str], str]:
        """Return what was written: file, section and option, and value."""
        return {
            (pathlib.Path(file).name, section, option): value
            for file, section, option, value in self.named("iniset")
        }


class StackCase(base.TestCase):
    """A test of the plugin in a devstack of its own."""

    timeout = 240

    def setUp(self) -> None:
        super().setUp()
        self.dest = self.temp_dir()
        self.bin = self.dest / "venv" / "bin"
        self.bin.mkdir(parents=True)
        self.scripts: dict[str, str] = {
            "trove-image-builder": "echo '[]'",
            "load-trove-image": "",
            "trove-devstack": "",
        }
        self.plans = False
        self.real = "settings|validate|images"

    def trove(self) -> None:
        """Give devstack a checkout of Trove, as far as a plan reads it."""
        checkout = self.dest / "trove"
        (checkout / "trove" / "guestagent").mkdir(parents=True)
        (checkout / "setup.cfg").write_text("[metadata]\nname = trove\n")

    def requirements(self) -> None:
        """Give devstack its repository of upper constraints."""
        place = self.dest / "requirements"
        place.mkdir()
        (place / "upper-constraints.txt").write_text("kombu===5.6.2\n")
        git = ["git", "-C", place, "-c", "user.name=t", "-c", "user.email=t@t"]
        for command in (["init", "-q"], ["add", "."],
                        ["commit", "-q", "-m", "x"]):  # fmt: skip
            subprocess.run([*git, *command], check=True)
        # what devstack does to it
        (place / "upper-constraints.txt").write_text("-e file:///here\n")

    def stack(
        self,
        *phases: str,
        services: str = SERVICES,
        plugins: str | None = None,
        after_settings: str = "",
        **variables: str,
    ) -> Ran:
        """Run phases of stack.sh.

        :param phases: mode and phase; all those of ``stack`` by default.
        :param plugins: shell lines that enable plugins.
        :param after_settings: shell lines that follow the settings.
        :param variables: what stands in localrc.
        """
        calls = self.dest / "calls"
        calls.unlink(missing_ok=True)
        functions = self.dest / "functions"
        functions.write_text(_FUNCTIONS)
        for name, script in self.scripts.items():
            text = {
                "trove-devstack": _REAL,
                "trove-image-builder": _BUILDER,
            }.get(name, _COMMAND)
            program = self.bin / name
            program.write_text(
                text.format(
                    script=script,
                    python=sys.executable,
                    # what the real command does
                    real=self.real
                    if name == "trove-devstack"
                    else str(self.plans).lower(),
                )
            )
            program.chmod(0o755)
        if plugins is None:
            plugins = (
                "enable_plugin trove; enable_plugin trove-tools;"
                f" GITDIR[trove-tools]={shlex.quote(str(base.ROOT))}"
            )
        dest = shlex.quote(str(self.dest))
        lines = [
            f"source {shlex.quote(str(functions))}",
            f"DEST={dest} DATA_DIR=$DEST/data TROVE_DIR=$DEST/trove",
            "REQUIREMENTS_DIR=$DEST/requirements",
            "TROVE_CONF=$DEST/trove.conf",
            "TROVE_GUESTAGENT_CONF=$DEST/trove-guestagent.conf",
            "TEMPEST_CONFIG=$DEST/tempest.conf",
            "SERVICE_PROJECT_NAME=service PRIVATE_NETWORK_NAME=private",
            f"ENABLED_SERVICES={services} DEVSTACK_PLUGINS=",
            f"AFTER_SETTINGS={shlex.quote(after_settings)}",
            plugins,
            *(f"{k}={shlex.quote(v)}" for k, v in variables.items()),
            f"PLUGIN={shlex.quote(str(DEVSTACK))}",
            f"PHASES=({' '.join(map(shlex.quote, phases or STACK))})",
            _PHASES,
        ]
        done = subprocess.run(
            ["/bin/bash", "-c", "\n".join(lines)],
            env={
                **os.environ,
                "BIN": str(self.bin),
                "CALLS": str(calls),
                "FUNCTIONS": str(functions),
                "PYTHONPATH": str(base.ROOT),
            },
            cwd=self.dest,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
        )
        text = calls.read_text() if calls.exists() else ""
        return Ran(
            done.returncode,
            [each.split(_WORD)[:-1] for each in text.split(_CALL)[:-1]],
            done.stderr,
        )

    def builds(self, *images: tuple[str, ...], **facts: typing.Any) -> None:
        """Have the builder print images that have these datastores."""
        from tests.unit.cloud import images as _images

        rows = []
        for number, served in enumerate(images):
            path = self.dest / f"image {number}.qcow2"
            path.write_bytes(b"image")
            _images.describe(
                path,
                datastores=tuple(
                    _images.datastore(name, version, manager=manager)
                    for name, version, manager in served
                ),
            )
            rows.append(f'{{"image": "{path}"}}')
        self.scripts["trove-image-builder"] = (
            f"cat <<'JSON'\n[{', '.join(rows)}]\nJSON"
        )
