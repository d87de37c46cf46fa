# SPDX-License-Identifier: Apache-2.0
"""Writes the manual pages and the completion scripts.

``setup.py`` does so whenever a package is built, with nothing but Python
installed; ``python -m trove_tools.manual.write DIR`` does it by hand.
"""

import pathlib
import sys

from trove_tools.manual import commands
from trove_tools.manual import completion
from trove_tools.manual import page

#: Below ``share``: the manual pages, and each shell's scripts.
MAN = pathlib.Path("man/man1")
BASH = pathlib.Path("bash-completion/completions")
ZSH = pathlib.Path("zsh/site-functions")


def write(share: pathlib.Path) -> list[pathlib.Path]:
    """Write all files.

    :param share: what ``/usr/share`` is on a system.
    :returns: the files.
    """
    parsers = commands.parsers()
    names = [parser.prog for parser in parsers]
    texts = {}
    for parser in parsers:
        name = parser.prog
        others = [other for other in names if other != name]
        texts[MAN / f"{name}.1"] = page.page(parser, others)
        texts[BASH / name] = completion.bash(parser)
        texts[ZSH / f"_{name}"] = completion.zsh(parser)
    for path, text in texts.items():
        file = share / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    return [share / path for path in texts]


def _main() -> int:
    """Write the files, and say what was written and how it is found."""
    if len(sys.argv) != 2 or sys.argv[1].startswith("-"):
        print(
            "usage: python -m trove_tools.manual.write DIR\n"
            "hint: DIR is what /usr/share is on a system, such as"
            " ~/.local/share",
            file=sys.stderr,
        )
        return 2
    share = pathlib.Path(sys.argv[1]).absolute()
    try:
        files = write(share)
    except OSError as exc:
        print(
            f"error: cannot write to {share}: {exc.strerror}\n"
            "hint: name a directory that you may write to",
            file=sys.stderr,
        )
        return 2
    for place, what in (
        (MAN, "manual pages"),
        (BASH, "completion for bash"),
        (ZSH, "completion for zsh"),
    ):
        names = sorted(
            file.name for file in files if file.parent == share / place
        )
        print(f"wrote {place}, {what}: {' '.join(names)}")
    # an empty entry stands for the system's own places, see manpath(1)
    print(f"to have man find the pages: export MANPATH={share / MAN.parent}:")
    print(
        "bash completes in new shells, with the package bash-completion; zsh"
        f" needs {share / ZSH} in its fpath"
    )
    return 0


if __name__ == "__main__":
    sys.exit(_main())
