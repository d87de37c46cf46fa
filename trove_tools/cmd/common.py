# SPDX-License-Identifier: Apache-2.0
"""What the commands share: the parser's manners and the way out."""

import argparse
import collections.abc
import dataclasses
import signal
import sys
import types
import typing

from trove_tools import config
from trove_tools import console
from trove_tools import errors
from trove_tools import liveness
from trove_tools import options
from trove_tools import streams

_VARIABLES = f"""\
An option that is not given is looked for in the environment, as
{options.PREFIX}NAME in capital letters and as the names in brackets, then in
trove-tools.conf."""


def synopsis(action: argparse.Action) -> str:
    """Return how an argument is written in a usage line."""
    if isinstance(action, argparse._SubParsersAction):
        return f"{action.metavar} ..."
    name = str(action.metavar or "|".join(action.choices or [action.dest]))
    return {"?": f"[{name}]", "*": f"[{name}]...", "+": f"{name}..."}.get(
        str(action.nargs), name
    )


def _filled(text: str) -> str:
    import textwrap

    return textwrap.fill(
        text, 78, break_long_words=False, break_on_hyphens=False
    )


class Parser(argparse.ArgumentParser):
    """A parser that explains itself with examples, and mistyped words.

    :param examples: command lines to begin with.
    :param notes: what else is to be said about the command.
    :param statuses: what its exit statuses mean.
    :param kwargs: as argparse's.
    """

    def __init__(
        self,
        *,
        examples: collections.abc.Sequence[str] = (),
        notes: str = "",
        statuses: collections.abc.Mapping[int, str] | None = None,
        **kwargs: typing.Any,
    ) -> None:
        self.examples = tuple(examples)
        self.notes = notes
        self.statuses = dict(statuses or {})
        # an abbreviated flag changes its meaning when a new one is added
        kwargs.setdefault("allow_abbrev", False)
        super().__init__(
            formatter_class=argparse.RawDescriptionHelpFormatter, **kwargs
        )

    def subcommands(
        self,
        commands: collections.abc.Mapping[str, collections.abc.Sequence[str]],
        declared: collections.abc.Callable[[str], list[options.Option]],
        place: str = "",
    ) -> dict[str, "Parser"]:
        """Give the command subcommands, one of which it wants.

        :param commands: by name, what each does, and then command lines to
            begin with, without the command's own name.
        :param declared: returns the options of one.
        :param place: what stands before the command's name in examples.
        :returns: their parsers.
        """
        known = self.add_subparsers(
            dest="command", required=True, metavar="COMMAND"
        )
        found = {}
        for name, (summary, *examples) in commands.items():
            found[name] = known.add_parser(
                name,
                help=summary,
                description=summary,
                examples=[f"{place}{self.prog} {line}" for line in examples],
                statuses=self.statuses,
            )
            options.add(found[name], declared(name))
        return found

    def format_help(self) -> str:
        """Return what ``--help`` prints."""
        taken = map(
            synopsis, (a for a in self._actions if not a.option_strings)
        )
        self.usage = " ".join([self.prog, "[OPTION]...", *taken])
        paragraphs = (self.description or "").split("\n\n")
        self.description = "\n\n".join(map(_filled, paragraphs))
        self.epilog = "\n\n".join(filter(None, self._closing()))
        return super().format_help()

    def _closing(self) -> collections.abc.Iterator[str]:
        """Yield what stands below the options."""
        if self.examples:
            yield "examples:\n  " + "\n  ".join(self.examples)
        yield self.notes.strip()
        yield _VARIABLES
        if self.statuses:
            words = (f"{status} {of}" for status, of in self.statuses.items())
            yield _filled(f"exit status: {', '.join(words)}")

    def parse_known_args(  # type: ignore[override]
        self,
        args: typing.Any = None,
        namespace: typing.Any = None,
    ) -> tuple[argparse.Namespace, list[str]]:
        known, rest = super().parse_known_args(args, namespace)
        for word in rest:
            if word.startswith("-"):
                flags = self._option_string_actions
                raise errors.UsageError(
                    f"{self.prog}: unknown option {word}",
                    hint=_near_flag(word, flags, self.prog),
                )
        return known, rest

    def _check_value(self, action: argparse.Action, value: str) -> None:
        """Refuse a word that is none of an argument's choices."""
        if action.choices is None or value in action.choices:
            return
        what = "command" if action.dest == "command" else action.dest
        raise errors.UsageError(
            f"{self.prog}: unknown {what} {value!r}",
            hint=errors.nearest(value, action.choices, f"{what}s"),
        )

    def error(self, message: str) -> typing.NoReturn:
        hint = f"see {self.prog} --help"
        if "expected one argument" in message:
            hint += (
                "; a value that begins with a dash is given with an equals"
                " sign: --output-dir=-x"
            )
        raise errors.UsageError(f"{self.prog}: {message}", hint=hint)


#: What exit statuses mean, where a command does not say more about them.
STATUSES = {
    errors.EXIT_OK: "done",
    errors.EXIT_FAILED: "failed",
    errors.EXIT_USAGE: "bad usage",
    errors.EXIT_MISSING: "something is missing on this host",
    errors.EXIT_CLOUD: "the cloud refused or could not be reached",
    errors.EXIT_INTERRUPTED: "interrupted",
}


def statuses(*numbers: int, failed: str = "failed") -> dict[int, str]:
    """Return what some exit statuses mean.

    :param numbers: those that a command has.
    :param failed: what 1 means for it.
    """
    words = {**STATUSES, errors.EXIT_FAILED: failed}
    return {number: words[number] for number in numbers}


def _near_flag(
    word: str, flags: collections.abc.Iterable[str], prog: str
) -> str:
    import difflib

    close = difflib.get_close_matches(word.partition("=")[0], flags, n=1)
    meant = f"did you mean {close[0]}? " if close else ""
    return f"{meant}see {prog} --help"


def _unwind_on_signals() -> None:
    """Make Ctrl-C and SIGTERM unwind the stack, once.

    Unwinding takes mounts and processes down; an impatient second Ctrl-C
    in the middle of that would leave them.  The third is obeyed.
    """
    received = 0

    def interrupt(number: int, frame: types.FrameType | None) -> None:
        nonlocal received
        received += 1
        if received != 2:
            raise KeyboardInterrupt
        print("undoing what was begun; once more to stop at once",
              file=sys.stderr)  # fmt: skip

    for number in (signal.SIGINT, signal.SIGTERM):
        # ignored by whoever started us, as nohup does: leave it so
        if signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, interrupt)


def _traceback() -> None:
    import traceback

    traceback.print_exc()


def main_of_commands(
    parser: argparse.ArgumentParser,
    groups: collections.abc.Mapping[str, tuple[str, ...]],
    functions: collections.abc.Mapping[str, typing.Any],
    argv: collections.abc.Sequence[str] | None = None,
) -> int:
    """Be the main of a program that has commands of its own.

    :param parser: says in ``command`` which of them is meant.
    :param groups: the groups of options that each takes.
    :param functions: has each as ``_NAME``, which takes settings, flags,
        screen and catalog, and returns an exit status.
    :param argv: as for :func:`main`.
    :returns: an exit status.
    """

    def run(
        settings: options.Settings,
        flags: argparse.Namespace,
        screen: console.Console,
    ) -> int:
        # --help must not wait for a YAML parser
        from trove_tools.catalog import loader

        catalog = loader.load(settings.catalog)
        command = flags.command.replace("-", "_")
        done: int = functions[f"_{command}"](settings, flags, screen, catalog)
        return done

    return main(
        parser, run, lambda flags: config.group(*groups[flags.command]), argv
    )


def main(
    parser: argparse.ArgumentParser,
    run: collections.abc.Callable[
        [options.Settings, argparse.Namespace, console.Console], int
    ],
    declared: collections.abc.Callable[
        [argparse.Namespace], list[options.Option]
    ],
    argv: collections.abc.Sequence[str] | None = None,
) -> int:
    """Parse, run, and turn whatever happens into an exit status.

    :param parser: the command's parser.
    :param run: does the work; returns an exit status.
    :param declared: the options that take part, given the command line.
    :param argv: the command line without the program's name.
    :returns: an exit status as DESIGN documents them.
    """
    streams.open_missing()
    words = list(sys.argv[1:] if argv is None else argv)
    manner = Manner(console.Console(), "--debug" in words)

    def work() -> int:
        flags = parser.parse_args(words)
        values = config.settings(declared(flags), flags)
        manner.debug = values.debug
        manner.screen = console.Console(quiet=values.quiet)
        return run(values, flags, manner.screen)

    return exit_status(work, manner)


@dataclasses.dataclass
class Manner:
    """How a program reports what goes wrong.

    :param screen: where errors are reported.
    :param debug: whether tracebacks are shown.
    """

    screen: console.Console
    debug: bool = False


def exit_status(
    work: collections.abc.Callable[[], int], manner: Manner
) -> int:
    """Call ``work``, and turn whatever happens into an exit status.

    Call it in the main thread, as the first thing that a program does: it
    installs the handlers of signals.

    :param work: returns an exit status; may change ``manner``.
    :returns: an exit status as DESIGN documents them.
    """
    streams.open_missing()
    _unwind_on_signals()
    liveness.follow()
    try:
        return _exit_status(work, manner)
    finally:
        streams.settle(sys.stdout)
        streams.settle(sys.stderr)


def _exit_status(
    work: collections.abc.Callable[[], int], manner: Manner
) -> int:
    try:
        status = work()
        # a full disk must be noticed while it can still be reported
        sys.stdout.flush()
        return status
    except errors.TroveToolsError as exc:
        if manner.debug:
            _traceback()
        manner.screen.error(exc)
        return exc.exit_status
    except KeyboardInterrupt:
        manner.screen.warn("interrupted; what was begun has been undone")
        return errors.EXIT_INTERRUPTED
    except BrokenPipeError:
        # the reader of our stdout has gone, as `list | head` does
        return errors.EXIT_OK
    except OSError as exc:
        if manner.debug:
            _traceback()
        manner.screen.error(streams.explain(exc))
        return errors.EXIT_FAILED
    except Exception as exc:
        if manner.debug:
            raise
        manner.screen.error(
            errors.TroveToolsError(
                f"unexpected {type(exc).__name__}: {exc}",
                hint="this is a defect of the tool: run again with"
                " --debug and report what it prints",
            )
        )
        return errors.EXIT_FAILED
