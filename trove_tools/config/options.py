# SPDX-License-Identifier: Apache-2.0
"""How one declared option becomes flag, variable and file entry.

:mod:`trove_tools.config.table` declares every option once.  A command adds the
groups it takes to its parser with :func:`add`, and :func:`resolve` then
finds each value: the flag, else the environment variable, else the
configuration file, else the default.

:mod:`trove_tools.config.configfile` reads the file.  It is imported only where
there is a file to read, because it costs start-up time.
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

PREFIX = "TROVE_TOOLS_"

# what stands for a path among plain data
_PATH = "path"


@dataclasses.dataclass(frozen=True)
class Topic:
    """What some options are about.

    :param name: a word for it.
    :param summary: a few words about it.
    """

    name: str
    summary: str


@dataclasses.dataclass(frozen=True)
class Option:
    """One option, wherever it is given.

    :param name: as in the file; the flag has dashes for underscores.
    :param group: the commands that share it add it by this name.
    :param help: one sentence; the default is added by itself.
    :param kind: turns text into a value, raising ValueError.
    :param default: the value when it is given nowhere.
    :param variables: environment variables besides ``TROVE_TOOLS_NAME``,
        which are looked at after it, in this order.
    :param choices: the values allowed.
    :param many: may be given several times; the value is a list.  In the
        environment and in the file, commas or blanks stand between.
    :param short: the flag's one-letter form.
    :param metavar: what stands for the value in the help text.
    :param topic: what it is about.
    :param former: a name that it had; still taken everywhere, shown nowhere.
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
        """All its environment variables, the strongest first."""
        return (PREFIX + self.name.upper(), *self.variables)

    @property
    def variables_read(self) -> tuple[str, ...]:
        """All its environment variables, and the one of its former name."""
        former = (PREFIX + self.former.upper(),) if self.former else ()
        return (*self.environment, *former)

    def read(self, text: str, where: str) -> typing.Any:
        """Return the value that ``text`` stands for.

        :param where: where the text was found, for the error.
        :raises UsageError: it is no value of this option.
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
    """Return the words of a command line with today's flags in it."""
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
    """Return the options of a table in which topics stand before them."""
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
    """Add options to a command's parser, in a group for each topic.

    Flags that are absent leave nothing in the namespace, so that
    :func:`resolve` can tell "not given" from any value.
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
    """The value of every option that a command takes, as attributes.

    :param values: by the option's name.
    :param origins: the flag, variable or file that gave a value, by the
        option's name; nothing for a default.
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
        """Return a copy in which some options have other values."""
        return Settings({**self.as_dict(), **values}, self._origins)

    def origin(self, name: str) -> str | None:
        """Return the flag, variable or file that gave an option its value.

        :param name: the option's name.
        :returns: nothing where the value is the default.
        """
        return self._origins.get(name)

    def as_dict(self) -> dict[str, typing.Any]:
        """Return all names and values."""
        return dict(self._values)

    def to_data(self) -> dict[str, typing.Any]:
        """Return all names and values as JSON can hold them.

        :raises TypeError: a value is of a type that JSON does not have.
        """
        data: dict[str, typing.Any] = json.loads(
            json.dumps(self._values, default=_path_to_data)
        )
        return data

    @classmethod
    def from_data(
        cls, data: collections.abc.Mapping[str, typing.Any]
    ) -> "Settings":
        """Return the settings that :meth:`to_data` made ``data`` of."""
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
    :param environ: the environment; this process's own when not given.
    :param files: configuration files that exist, the strongest last.
    :param known: all options that may stand in the files, which serve every
        command; the declared ones when not given.
    :raises UsageError: a variable or a file holds no value of an option.
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
        # as an empty variable, an empty value stands for none
        if text:
            values[option.name] = option.read(text, f"{where}, {option.name}")
    return values


def oslo_options(
    declared: collections.abc.Iterable[Option],
) -> list[typing.Any]:
    """Return the options as oslo.config knows them.

    All are strings there: their text is read by the same function as that
    of an environment variable.
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
