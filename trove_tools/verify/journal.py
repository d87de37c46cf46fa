# SPDX-License-Identifier: Apache-2.0
"""What a guest's journal says about a failure.

The machine writes the guest's journal to a file from early in the boot on, so
it is here whatever becomes of the guest.
"""

import collections.abc
import pathlib
import re

from trove_tools.verify import evidence

AGENT = "journal of the guest agent"

# what oslo.log writes for each line of a traceback but the last one
_FRAME = re.compile(
    r"\S+ \S+ \d+ [A-Z]+ [\w.]+ (?: |Traceback|During handling"
    r"|The above exception|$)"
)
_LINE = re.compile(
    r"\[ *[0-9.]+\] (?P<who>[^\s\[:]+)(?:\[\d+\])?: ?(?P<text>.*)"
)
_LAST = 40


def _of_agent(who: str, text: str) -> bool:
    if who == "trove-guestagent":
        # one failure is logged several times, each with a hundred frames
        return _FRAME.match(text) is None
    return who == "systemd" and evidence.UNIT in text


def _of_docker(who: str, text: str) -> bool:
    return who in ("dockerd", "containerd", "docker")


def _of_cloud_init(who: str, text: str) -> bool:
    return who == "cloud-init" and bool(re.search("WARN|ERR|[Ff]ail", text))


def _of_kernel(who: str, text: str) -> bool:
    return who == "kernel" and bool(
        re.search('apparmor="DENIED"|Out of memory|I/O error', text)
    )


_KINDS: dict[str, collections.abc.Callable[[str, str], bool]] = {
    AGENT: _of_agent,
    "journal of docker": _of_docker,
    "journal of cloud-init": _of_cloud_init,
    "journal of the kernel": _of_kernel,
}


def logs(file: pathlib.Path) -> dict[str, list[str]]:
    """Return the ends of what may explain a failure, by kind.

    :param file: what the guest has written so far; may be absent.
    :returns: only kinds of which there is something.
    """
    try:
        lines = file.read_text(errors="replace").splitlines()
    except OSError:
        return {}
    found: dict[str, list[str]] = {}
    for line in lines:
        match = _LINE.match(line)
        if match is None:
            continue
        for kind, wanted in _KINDS.items():
            if wanted(match["who"], match["text"]):
                found.setdefault(kind, []).append(line)
    return {kind: said[-_LAST:] for kind, said in found.items()}
