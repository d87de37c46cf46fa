# SPDX-License-Identifier: Apache-2.0
"""Reads configuration files, and reports errors in them.

The files have the format of oslo.config with one section, ``[DEFAULT]``. In a
value, ``$name`` is replaced by another option's value and ``$$`` by a dollar
sign. An unknown name, a repeated name or another section is an error, because
a setting without effect would be noticed late.
"""

import collections.abc
import dataclasses
import pathlib
import string
import typing

from oslo_config import iniparser

from trove_tools import errors
from trove_tools.host import bounds

if typing.TYPE_CHECKING:
    from trove_tools.config import options

SECTION = "DEFAULT"
# bytes
_LARGEST = 1024 * 1024


@dataclasses.dataclass
class Entry:
    """The entry of an option in a file.

    :param where: the file and the line, for messages.
    :param lines: the value; an option that may be repeated can have several
        entries and several lines.
    """

    where: str
    lines: list[str]


class _Parser(iniparser.BaseParser):
    """Collects the entries and all errors of a file.

    :param known: the accepted options, by name.
    """

    def __init__(
        self,
        file: pathlib.Path,
        known: collections.abc.Mapping[str, "options.Option"],
    ) -> None:
        self.entries: dict[str, Entry] = {}
        self.problems: list[str] = []
        self._file = file
        self._known = known
        # lines before the first section belong to [DEFAULT]
        self._section = SECTION
        self._line = 0

    def new_section(self, section: str) -> None:
        """Begin a section."""
        self._section = section
        if section != SECTION:
            self._wrong(
                self.lineno,
                f"there is no section [{section}]; the only one is"
                f" [{SECTION}]",
            )

    def _split_key_value(self, line: str) -> tuple[str, list[str]]:
        # an assignment is complete only after the next line was read
        self._line = self.lineno
        name, value = super()._split_key_value(line)
        return name, value

    def assignment(self, name: str, lines: list[str]) -> None:
        """Record an option's value."""
        if self._section != SECTION:
            return
        option = self._known.get(name)
        if option is None:
            self._wrong(self._line, _unknown(name, self._known))
            return
        # the former name of the option is accepted, too
        name = option.name
        if not option.many and len(lines) > 1:
            self._wrong(
                self._line,
                f"{name} takes one value, and the line after it begins with a"
                " blank, which continues the value",
            )
            return
        entry = self.entries.get(name)
        if entry is None:
            where = f"{self._file}, line {self._line}"
            self.entries[name] = Entry(where, list(lines))
        elif option.many:
            entry.lines += lines
        else:
            self._wrong(
                self._line, f"{name} stands a second time; see {entry.where}"
            )

    def _wrong(self, number: int, what: str) -> None:
        self.problems.append(f"{self._file}, line {number}: {what}")


def _unknown(name: str, known: collections.abc.Iterable[str]) -> str:
    import difflib

    # users may write dashes, as in flags
    near = difflib.get_close_matches(name.replace("-", "_").lower(), known, 1)
    meant = f"; did you mean {near[0]}?" if near else ""
    return f"there is no option {name}{meant}"


def read(
    files: collections.abc.Iterable[pathlib.Path],
    known: collections.abc.Iterable["options.Option"],
) -> dict[str, tuple[str, str]]:
    """Return the values in configuration files.

    :param files: the files; the last one takes precedence.
    :param known: all accepted options.
    :returns: the text and the place of each value, by the option's name.
    :raises UsageError: a file cannot be read or contains errors; the message
        lists every wrong line.
    """
    by_name = {option.name: option for option in known}
    former = {
        option.former: option for option in by_name.values() if option.former
    }
    entries: dict[str, Entry] = {}
    problems: list[str] = []
    for file in files:
        parser = _Parser(file, {**former, **by_name})
        try:
            parser.parse(_text(file).split("\n"))
        except iniparser.ParseError as exc:
            # without the line itself, which may contain a password
            raise errors.UsageError(
                f"{file}, line {exc.lineno} is neither NAME = VALUE nor"
                f" [{SECTION}]",
                hint="correct the line; # begins a comment",
            ) from exc
        entries.update(parser.entries)
        problems += parser.problems
    if problems:
        raise errors.UsageError(
            "the configuration is not valid:\n"
            + "\n".join(f"  {problem}" for problem in problems),
            hint="correct the lines named above; `oslo-config-generator"
            " --namespace trove_tools` prints all options",
        )
    texts = {
        name: str(option.default)
        for name, option in by_name.items()
        if option.default is not None and not option.many
    }
    texts |= {name: "\n".join(entry.lines) for name, entry in entries.items()}
    return {
        name: (_substituted(entry, texts), entry.where)
        for name, entry in entries.items()
    }


def _substituted(
    entry: Entry, values: collections.abc.Mapping[str, str]
) -> str:
    """Return a value with references replaced by other values."""
    text = "\n".join(entry.lines)
    try:
        return string.Template(text).substitute(values)
    except (KeyError, ValueError) as exc:
        raise errors.UsageError(
            f"{entry.where}: the name after a dollar sign is not an option",
            hint="write $$ for a literal dollar sign",
        ) from exc


def _text(file: pathlib.Path) -> str:
    try:
        text = bounds.read_bytes(file, _LARGEST).decode("utf-8-sig")
    except OSError as exc:
        raise errors.UsageError(
            f"the configuration file {file} cannot be read: {exc.strerror}",
            hint="let this user read it, or name another one with"
            " --config-file",
        ) from exc
    except UnicodeDecodeError as exc:
        raise _no_text(file) from exc
    except ValueError as exc:
        raise errors.UsageError(
            f"the configuration file {file} cannot be read: {exc}",
            hint="name another one with --config-file",
        ) from exc
    if "\0" in text:
        raise _no_text(file)
    return text


def _no_text(file: pathlib.Path) -> errors.UsageError:
    return errors.UsageError(
        f"the configuration file {file} is not a text file in UTF-8",
        hint="correct it, or name another one with --config-file",
    )
