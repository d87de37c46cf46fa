# SPDX-License-Identifier: Apache-2.0
"""Reads a guest's progress and failures from its console and its journal.

The machine writes the journal to a file from early in the boot, so verify can
read it whatever happens to the guest.
"""

import collections.abc
import pathlib
import re

from trove_tools.verify import evidence
from trove_tools.verify import limits

TAIL_LINES = 15

_ESCAPES = re.compile(
    r"\x1b(?:"
    r"\[[0-9;?]*[ -/]*[@-~]"  # colours, cursor
    r"|\][^\x07\x1b]*(?:\x07|\x1b\\)"  # window titles
    r"|[()]."  # character sets
    r"|[@-Z=>c])"
)
# moves the cursor to the left of the screen, where the next text begins
_MOVE = re.compile(r"\x1b\[(?:\d*;)?0*[1-6]?H")
_WIDTH = 200
_LOGIN = re.compile(r"^\S* ?login: ?$", re.MULTILINE)
# console messages of failures from which no guest recovers
_FATAL = (
    (r"No bootable device", "the firmware found nothing to boot from"),
    (r"grub rescue>", "the boot loader (GRUB) does not find its own files"),
    (r"Minimal BASH-like line editing", "GRUB found no configuration"),
    (r"Kernel panic - not syncing", "the guest's kernel panicked"),
    (r"\(initramfs\) ", "the initramfs does not find the root file system"),
    (r"[Ee]mergency mode", "systemd gave up and went into emergency mode"),
)
# for each stage: the text on the console, the name of the stage, and the next
# stage.  The text of any stage may be missing: a quiet kernel prints nothing,
# and systemd's log may go elsewhere
_STAGES = (
    (r"GRUB|Loading Linux", "the boot loader", "the kernel"),
    (r"Linux version|^\[ *\d+\.\d+\] ", "the kernel", "its initramfs"),
    # initramfs-tools, dracut
    (
        r"^Loading, please wait|^Begin: |dracut-|initrd\.target",
        "the initramfs",
        "the root file system",
    ),
    (
        r"^Welcome to (?!GRUB)|^\[  OK  \] |systemd\[1\]: ",
        "systemd",
        "cloud-init",
    ),
    (r"cloud-init\[\d+\]: ", "cloud-init", "the network and the seed"),
)
_BEGINNING = "waiting for firmware and boot loader"
# number of characters at the end in which fatal messages are searched
_RECENT = 4096
AGENT_JOURNAL = "journal of the guest agent"

# oslo.log's output for each line of a traceback except the last one
_FRAME = re.compile(
    r"\S+ \S+ \d+ [A-Z]+ [\w.]+ (?: |Traceback|During handling"
    r"|The above exception|$)"
)
_LINE = re.compile(
    r"\[ *[0-9.]+\] (?P<who>[^\s\[:]+)(?:\[\d+\])?: ?(?P<text>.*)"
)
_LAST = 40


def strip_escapes(text: str) -> str:
    """Return console output as plain lines, without escape sequences."""
    text = _ESCAPES.sub("", text).replace("\r\n", "\n").replace("\r", "\n")
    return "".join(c for c in text if c == "\n" or c == "\t" or c >= " ")


class Console:
    """The console of one guest.

    :param file: the file with the guest's output; it may not exist yet.
    :param stage: what the boot waits for, in words for the user; empty when
        the boot is over.
    """

    def __init__(self, file: pathlib.Path) -> None:
        self._tail = limits.Tail(file)
        self._text = ""
        self._follows = True
        self.stage = _BEGINNING

    def read(self) -> None:
        """Read the output of the guest since the last call."""
        text = self._tail.more().decode(errors="replace")
        self._text += text
        if text and self._follows:
            self.stage = _stage(strip_escapes(self._text))

    def restart(self) -> None:
        """Discard the output so far, because the guest is started again."""
        self.read()
        self._text, self._follows, self.stage = "", True, _BEGINNING

    def finish(self, stage: str) -> None:
        """Set the stage, and do not derive it from the output any more.

        :param stage: the new stage, in words for the user.
        """
        self._follows, self.stage = False, stage

    def asks_for_login(self) -> bool:
        """Return whether the console shows a login prompt."""
        return bool(_LOGIN.search(self._recent()))

    def cause_of_death(self) -> str:
        """Return why the guest cannot recover; empty if it may recover."""
        recent = self._recent()
        for sign, meaning in _FATAL:
            if re.search(sign, recent):
                return meaning
        return ""

    def _recent(self) -> str:
        return strip_escapes(self._text[-_RECENT:])

    def tail(self) -> list[str]:
        """Return the last lines of the console that contain text."""
        self.read()
        lines: list[str] = []
        # a boot loader draws its menu twice, and with lines without text
        for text in strip_escapes(_MOVE.sub("\n", self._text)).splitlines():
            line = " ".join(text.split())[:_WIDTH]
            if re.search(r"\w", line) and line not in lines[-1:]:
                lines.append(line)
        return lines[-TAIL_LINES:]


def _stage(text: str) -> str:
    """Return the stage of the boot, according to the console.

    :param text: all output of the console, without escape sequences.
    """
    if _LOGIN.search(text):
        return "the guest asks for a login; waiting for its cloud-init"
    for sign, seen, awaited in reversed(_STAGES):
        if re.search(sign, text, re.MULTILINE):
            return f"{seen} has started; waiting for {awaited}"
    return _BEGINNING


def _of_agent(who: str, text: str) -> bool:
    if who == "trove-guestagent":
        # leave out the frames of a traceback: the agent logs one failure
        # several times, each time with a hundred frames
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
    AGENT_JOURNAL: _of_agent,
    "journal of docker": _of_docker,
    "journal of cloud-init": _of_cloud_init,
    "journal of the kernel": _of_kernel,
}


def read_journal(file: pathlib.Path) -> dict[str, list[str]]:
    """Return the last journal lines that may explain a failure, by kind.

    :param file: the file with the guest's journal; it may not exist.
    :returns: the kinds that have lines.
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
