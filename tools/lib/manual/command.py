# SPDX-License-Identifier: Apache-2.0
"""Writes the manual pages and the completion scripts into ``share``."""

import pathlib
import sys

from manual import commands
from manual import completion
from manual import page

SHARE = pathlib.Path(__file__).resolve().parents[3] / "share"

#: Below ``share``: the manual pages, and each shell's scripts.
MAN = pathlib.Path("man/man1")
BASH = pathlib.Path("bash-completion/completions")
ZSH = pathlib.Path("zsh/site-functions")


def texts() -> dict[pathlib.Path, str]:
    """Return the text of each file, by its path below ``share``."""
    parsers = commands.parsers()
    names = [parser.prog for parser in parsers]
    found = {}
    for parser in parsers:
        name = parser.prog
        others = [other for other in names if other != name]
        found[MAN / f"{name}.1"] = page.page(parser, others)
        found[BASH / name] = completion.bash(parser)
        found[ZSH / f"_{name}"] = completion.zsh(parser)
    return found


def main() -> int:
    """Bring the files up to date, and print the names of those that change.

    :returns: an exit status.
    """
    for path, text in texts().items():
        file = SHARE / path
        if not file.exists() or file.read_text() != text:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
            print(f"wrote share/{path}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
