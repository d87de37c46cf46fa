# SPDX-License-Identifier: Apache-2.0
"""The exceptions of the package.

Every error contains a message for the user (what happened), a hint (what to
do), and an exit status for scripts. Library code raises; only
:func:`trove_tools.cli.common.main` prints and exits.
"""

import collections.abc

EXIT_OK = 0
EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_MISSING = 3
EXIT_CLOUD = 4
EXIT_INTERRUPTED = 130


class TroveToolsError(Exception):
    """The base class of all errors that users may see.

    :param message: what happened, one or more lines.
    :param hint: what the user can do now.
    """

    exit_status = EXIT_FAILED

    def __init__(self, message: str, hint: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(TroveToolsError):
    """The command line or an input is not valid."""

    exit_status = EXIT_USAGE


class CatalogError(UsageError):
    """Catalog files violate the schema or contradict each other.

    :param problems: all problems, each with its file and place.
    """

    def __init__(self, problems: collections.abc.Sequence[str]) -> None:
        self.problems = list(problems)
        super().__init__(
            "the datastore catalog is not valid:\n"
            + "\n".join(f"  {problem}" for problem in self.problems),
            hint="correct the files named above",
        )


class MissingToolError(TroveToolsError):
    """A program or feature is missing on this host."""

    exit_status = EXIT_MISSING


class CommandError(TroveToolsError):
    """A child process failed.

    :param message: a description of the failed operation.
    :param status: its exit status, negative for a signal.
    :param output: its decoded output.
    """

    def __init__(
        self, message: str, *, status: int, output: str = ""
    ) -> None:
        super().__init__(message)
        self.status = status
        self.output = output


class BuildError(TroveToolsError):
    """An image could not be built."""


class ImageError(TroveToolsError):
    """An image file or a manifest is not valid."""


class VerifyError(TroveToolsError):
    """An image failed at least one check."""


class CloudError(TroveToolsError):
    """The cloud refused, or could not be reached."""

    exit_status = EXIT_CLOUD


def in_order(names: collections.abc.Iterable[str]) -> list[str]:
    """Return names in natural order: 10.6, 10.11, 11.8."""
    import re

    def key(name: str) -> list[tuple[bool, int, str]]:
        parts = re.findall(r"\d{1,99}|\D+", name)
        return [
            (True, int(part), "") if part.isdecimal() else (False, 0, part)
            for part in parts
        ]

    return sorted(names, key=key)


def nearest(
    name: str, known: collections.abc.Iterable[str], what: str
) -> str:
    """Return the hint for an unknown name.

    :param name: the name that the user wrote.
    :param known: the known names.
    :param what: the plural of the kind, such as ``datastores``.
    :returns: a suggestion if a known name is similar, and all known names.
    """
    import difflib

    known = in_order(known)
    close = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    meant = f"did you mean {close[0]}? " if close else ""
    return f"{meant}known {what}: {', '.join(known) or 'none'}"
