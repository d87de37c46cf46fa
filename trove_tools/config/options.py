# SPDX-License-Identifier: Apache-2.0
"""Turns declared options into flags, variables and file entries.

:mod:`trove_tools.config.table` declares every option once.  A command adds the
groups it takes to its parser with :func:`add`, and :func:`resolve` then
finds each value: the flag, else the environment variable, else the
configuration file, else the default.

:mod:`trove_tools.config.configfile` reads the file. It is imported only if
there is a file to read, to save start-up time.
"""

import argparse
import collections.abc
import dataclasses
import json
import os
import pathlib
import typing

from trove_tools import errors
from trove_tools.config import kinds
from trove_tools.host import trust

PREFIX = "TROVE_TOOLS_"

# the key that marks a path in plain data
_PATH = "path"


@dataclasses.dataclass(frozen=True)
class Topic:
    """A topic of options in the help.

    :param name: one word.
    :param summary: a short description.
    """

    name: str
    summary: str


@dataclasses.dataclass(frozen=True)
class Option:
    """The declaration of an option.

    :param name: its name in files; the flag has dashes for underscores.
    :param group: the group by which commands include it.
    :param help: one sentence; the default is appended automatically.
    :param kind: converts text to a value; raises ValueError.
    :param default: the default value.
    :param variables: environment variables in addition to
        ``TROVE_TOOLS_NAME``, in the order of precedence.
    :param choices: the values allowed.
    :param many: may be given several times; the value is a list. In the
        environment and in files, the values are separated by commas or blanks.
    :param short: the flag's one-letter form.
    :param metavar: the placeholder for the value in the help text.
    :param topic: the topic in the help.
    :param former: its former name, which is still accepted but not shown.
    """

    name: str
    group: str
    help: str
    kind: collections.abc.Callable[[str], typing.Any] = str
    default: typing.Any = None
    variables: tuple[str, ...] = ()
    choices: tuple[str, ...] = ()
    many: bool = False
    short: str | None = None
    metavar: str | None = None
    topic: Topic | None = None
    former: str = ""

    @property
    def flag(self) -> str:
        """The long flag."""
        return _flag(self.name)

    @property
    def environment(self) -> tuple[str, ...]:
        """All its environment variables, in the order of precedence."""
        return (PREFIX + self.name.upper(), *self.variables)

    @property
    def variables_read(self) -> tuple[str, ...]:
        """All its environment variables, including the former name's."""
        former = (PREFIX + self.former.upper(),) if self.former else ()
        return (*self.environment, *former)

    def read(self, text: str, where: str) -> typing.Any:
        """Convert a text to a value.

        :param where: the source of the text, for the error.
        :raises UsageError: it is not a value of this option.
        """
        if self.many:
            words = text.replace(",", " ").split()
            return [self._read_one(word, where) for word in words]
        return self._read_one(text, where)

    def _read_one(self, text: str, where: str) -> typing.Any:
        try:
            value = self.kind(text)
        except ValueError as exc:
            wanted = str(exc)
            if self.kind in (int, float):
                wanted = "a whole number" if self.kind is int else "a number"
            raise errors.UsageError(
                f"{where}: {text!r} is not a value of {self.flag}",
                hint=f"wanted: {wanted}",
            ) from exc
        if self.choices and value not in self.choices:
            raise errors.UsageError(
                f"{where}: {text!r} is not a value of {self.flag}",
                hint=errors.nearest(text, self.choices, "values"),
            )
        return value


def _flag(name: str) -> str:
    return "--" + name.replace("_", "-")


def current_words(
    words: collections.abc.Iterable[str],
    declared: collections.abc.Iterable[Option],
) -> list[str]:
    """Return a command line with former flags replaced by current ones."""
    flags = {
        _flag(option.former): option.flag
        for option in declared
        if option.former
    }
    split = [word.partition("=") for word in words]
    return [flags.get(flag, flag) + rest + value
            for flag, rest, value in split]  # fmt: skip


def under_topics(
    table: collections.abc.Iterable[Topic | Option],
) -> tuple[Option, ...]:
    """Return the options of a table, each with the topic that precedes it."""
    topic = None
    options = []
    for entry in table:
        if isinstance(entry, Topic):
            topic = entry
        else:
            options.append(dataclasses.replace(entry, topic=topic))
    return tuple(options)


def add(
    parser: argparse.ArgumentParser,
    declared: collections.abc.Iterable[Option],
) -> None:
    """Add options to a command's parser, in one group per topic.

    Absent flags are not set in the namespace, so that :func:`resolve` can
    distinguish them from any value.
    """
    groups: dict[Topic, argparse._ArgumentGroup] = {}
    for option in declared:
        group: argparse._ActionsContainer = parser
        if topic := option.topic:
            if topic not in groups:
                title = f"{topic.name} ({topic.summary})"
                groups[topic] = parser.add_argument_group(title)
            group = groups[topic]
        names = [option.short] if option.short else []
        settings: dict[str, typing.Any] = {
            "dest": option.name,
            "default": argparse.SUPPRESS,
            "help": _help(option),
        }
        if option.kind is kinds.boolean:
            settings["action"] = argparse.BooleanOptionalAction
            if option.default is False and not option.variables:
                settings["action"] = "store_true"
        else:
            settings["type"] = _flag_type(option)
            settings["metavar"] = option.metavar or _metavar(option)
            if option.many:
                settings["action"] = "append"
        group.add_argument(*names, option.flag, **settings)


def _metavar(option: Option) -> str:
    if option.choices:
        return "{" + "|".join(option.choices) + "}"
    return option.name.rsplit("_", 1)[-1].upper()


def _help(option: Option) -> str:
    text = option.help
    if option.default not in (None, False, [], ()):
        default = "yes" if option.default is True else option.default
        text += f" (default: {default})"
    if option.variables:
        text += f" [{', '.join(option.variables)}]"
    return text.replace("%", "%%")


def _flag_type(
    option: Option,
) -> collections.abc.Callable[[str], typing.Any]:
    def convert(text: str) -> typing.Any:
        return option._read_one(text, "command line")

    return convert


class Settings:
    """The values of all options of a command, as attributes.

    :param values: the values by the option's name.
    :param origins: the flag, variable or file that set the value, by the
        option's name; missing for defaults.
    """

    def __init__(
        self,
        values: collections.abc.Mapping[str, typing.Any],
        origins: collections.abc.Mapping[str, str] | None = None,
    ) -> None:
        self._values = dict(values)
        self._origins = dict(origins or {})

    def __getattr__(self, name: str) -> typing.Any:
        try:
            return self.__dict__["_values"][name]
        except KeyError:
            raise AttributeError(name) from None

    def replaced(self, **values: typing.Any) -> "Settings":
        """Return a copy with other values for some options."""
        return Settings({**self.as_dict(), **values}, self._origins)

    def origin(self, name: str) -> str | None:
        """Return the flag, variable or file that set an option.

        :param name: the option's name.
        :returns: None if the value is the default.
        """
        return self._origins.get(name)

    def as_dict(self) -> dict[str, typing.Any]:
        """Return all names and values."""
        return dict(self._values)

    def to_data(self) -> dict[str, typing.Any]:
        """Return all names and values as data for JSON.

        :raises TypeError: the type of a value is not supported.
        """
        data: dict[str, typing.Any] = json.loads(
            json.dumps(self._values, default=_path_to_data)
        )
        return data

    @classmethod
    def from_data(
        cls, data: collections.abc.Mapping[str, typing.Any]
    ) -> "Settings":
        """Restore settings from the data of :meth:`to_data`."""
        return cls(
            json.loads(json.dumps(data), object_hook=_path_from_data)
        )


def _path_to_data(value: typing.Any) -> dict[str, str]:
    if isinstance(value, pathlib.Path):
        return {_PATH: str(value)}
    raise TypeError(f"no setting can be of type {type(value).__name__}")


def _path_from_data(data: dict[str, typing.Any]) -> typing.Any:
    return pathlib.Path(data[_PATH]) if list(data) == [_PATH] else data


def resolve(
    declared: collections.abc.Sequence[Option],
    flags: argparse.Namespace,
    environ: collections.abc.Mapping[str, str] | None = None,
    files: collections.abc.Sequence[pathlib.Path] = (),
    known: collections.abc.Iterable[Option] | None = None,
) -> Settings:
    """Find the value of every declared option.

    :param flags: the parsed command line.
    :param environ: the environment; by default that of this process.
    :param files: existing configuration files; the last one takes precedence.
    :param known: all options that files may contain, because files are shared
        by all commands; by default the declared ones.
    :raises UsageError: a variable or a file contains an invalid value.
    """
    environ = os.environ if environ is None else environ
    from_files = _read_files(known or declared, files) if files else {}
    values = {}
    origins = {}
    for option in declared:
        name = option.name
        if name in vars(flags):
            values[name], origins[name] = getattr(flags, name), option.flag
            continue
        for variable in option.variables_read:
            if environ.get(variable):
                values[name] = option.read(
                    environ[variable], f"environment variable {variable}"
                )
                origins[name] = variable
                break
        else:
            if name in from_files:
                values[name] = from_files[name]
                origins[name] = f"{name} in {', '.join(map(str, files))}"
            else:
                values[name] = (
                    list(option.default or [])
                    if option.many
                    else option.default
                )
    return Settings(values, origins)


def _read_files(
    known: collections.abc.Iterable[Option],
    files: collections.abc.Sequence[pathlib.Path],
) -> dict[str, typing.Any]:
    """Return the values in configuration files, by the option's name."""
    # imported here because most runs have no file to read
    from trove_tools.config import configfile

    known = list(known)
    texts = configfile.read(files, known)
    values = {}
    for option in known:
        text, where = texts.get(option.name, ("", ""))
        # an empty value means unset, as with an empty variable
        if text:
            values[option.name] = option.read(text, f"{where}, {option.name}")
    return values


def find_files(
    flags: argparse.Namespace, defaults: collections.abc.Iterable[pathlib.Path]
) -> list[pathlib.Path]:
    """Return the configuration files to read.

    :param flags: the parsed command line.
    :param defaults: the files to read if no other file is named.
    :raises UsageError: the file of ``--config-file`` is missing.
    """
    named = getattr(flags, "config_file", None) or os.environ.get(
        "TROVE_TOOLS_CONFIG_FILE"
    )
    if named is None:
        files = list(filter(os.path.exists, map(_expanded, defaults)))
        if os.geteuid() == 0:
            # the content of these files decides what root runs
            for file in files:
                trust.require_own(file.resolve(), "the configuration file")
    else:
        files = [_expanded(pathlib.Path(named))]
        if not os.path.exists(files[0]):
            raise errors.UsageError(
                f"there is no configuration file {files[0]}",
                hint="correct --config-file or TROVE_TOOLS_CONFIG_FILE",
            )
    return files


def _expanded(file: pathlib.Path) -> pathlib.Path:
    try:
        return file.expanduser()
    except RuntimeError:
        # this user has no home directory
        return file


def oslo_options(
    declared: collections.abc.Iterable[Option],
) -> list[typing.Any]:
    """Return the options for oslo.config.

    All are strings there, which are parsed like environment variables.
    """
    from oslo_config import cfg

    return [
        cfg.StrOpt(
            option.name,
            help=option.help,
            sample_default=str(option.default or ""),
        )
        for option in declared
    ]
