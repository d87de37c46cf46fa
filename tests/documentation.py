# SPDX-License-Identifier: Apache-2.0
"""Finds the command lines of the documentation, runs and compares them.

Above every block with commands stands an RST comment::

    .. run: alone
    .. run: cloud
    .. run: cloud, after a new build
    .. run: cloud, after verify
    .. not run: why this cannot be run by a test

``alone`` needs neither a build nor a cloud nor root; ``cloud`` needs a cloud
with Glance and Trove, and small files in place of images.  All blocks of a
page that are of one kind run in one shell, in their order.

A command begins with ``$``; what follows is its output.  Where nothing
follows, nothing is compared.  A line ``...`` stands for any lines.  A
command has to succeed, unless its output says ``error:``.
"""

import collections.abc
import dataclasses
import os
import pathlib
import re
import shlex
import subprocess
import sys
import typing

from tests import base

#: Words that a line of a block begins with when it is a command.
_PROGRAMS = {
    "activate-trove-image", "ansible-playbook", "apt-get", "curl", "docker",
    "eval", "export", "git", "load-trove-image", "openstack", "pip",
    "python", "python3", "redstack", "skopeo", "stestr", "sudo", "tox",
    "trove-devstack", "trove-image-builder", "trove-move-data", "trovestack",
}  # fmt: skip

#: Those tools that are a module, and where that is.
_MODULES = {"gate-jobs": "gate", "minicloud": "minicloud"}
_RUN = base.ROOT / "tools" / "lib" / "run.py"

_DIRECTIVE = re.compile(r"( *)\.\. (\S+)::(?: +(\S+))?$")
_MARK = re.compile(r" *\.\. (not )?run: *(.*)$")
_ELLIPSIS = "..."

#: Names in the output that must be the same where they are so in the page.
_NAMED = re.compile(
    r"\b[0-9a-f]{64}\b"
    r"|\b[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}\b"
)

#: What differs from run to run, and what stands for it in comparisons.
_VOLATILE = (
    # of a key of SSH
    (re.compile(r"\bSHA256:[\w+/]{43}"), "FINGERPRINT"),
    (_NAMED, "ID"),
    (re.compile(r"\d{4}-\d\d-\d\d([T ][\d:.]+Z?)?"), "DATE"),
    (re.compile(r"[\d,.]+ ?([KMGT]i?B|bytes)\b(/s)?"), "SIZE"),
    (re.compile(r"\b\d[\d.]* ?(s|min|h|d|seconds)\b"), "TIME"),
    (re.compile(r"\b\d+(\.\d+){2,}\S*"), "VERSION"),
    # columns are as wide as what is in them
    (re.compile(r" {2,}"), "  "),
    (re.compile(r"([-─═+|])\1{3,}"), r"\1\1\1"),
)  # fmt: skip


@dataclasses.dataclass
class Command:
    """A command line, and what the page says that it prints."""

    line: str
    output: list[str]

    @property
    def fails(self) -> bool:
        """Whether the page shows it fail."""
        return any(each.startswith("error: ") for each in self.output)


@dataclasses.dataclass
class Block:
    """A block of a page that has commands.

    :param line: its number, from 1.
    :param kind: ``alone`` or ``cloud``; empty: it is not run.
    :param before: what is to be prepared, such as ``after a new build``.
    :param reason: why it is not run.
    """

    line: int
    lines: list[str]
    kind: str = ""
    before: str = ""
    reason: str = ""

    @property
    def commands(self) -> list[Command]:
        """Its commands; those that are continued have all their lines."""
        found: list[Command] = []
        for line in self.lines:
            if line.startswith("$ "):
                found.append(Command(line[2:], []))
            elif found and not found[-1].output and _open(found[-1].line):
                found[-1].line += "\n" + line
            elif found:
                found[-1].output.append(line)
        for each in found:
            while each.output and not each.output[-1].strip():
                each.output.pop()
        return found


def _open(line: str) -> bool:
    return line.endswith("\\")


def pages() -> list[pathlib.Path]:
    """Return the files whose command lines are looked at."""
    return [
        base.ROOT / "README.rst",
        base.ROOT / "CONTRIBUTING.rst",
        *sorted((base.ROOT / "doc" / "source").rglob("*.rst")),
    ]


def blocks(text: str) -> tuple[list[Block], list[str]]:
    """Return a page's blocks with commands, and what is wrong with marks."""
    lines = text.splitlines()
    found, wrong = [], []
    for number, line in enumerate(lines):
        begin = _begins(lines, number)
        if begin is None:
            continue
        block = Block(number + 1, _body(lines, number))
        if not _has_commands(block, line):
            continue
        mark = _mark(lines, begin)
        if mark is None:
            wrong.append(f"line {number + 1}: neither `run:` nor `not run:`")
            continue
        unwanted, said = mark
        if unwanted:
            block.reason = said
        else:
            block.kind, _, block.before = said.partition(", ")
        if unwanted and not said:
            wrong.append(f"line {number + 1}: the reason is missing")
        elif not unwanted and block.kind not in ("alone", "cloud"):
            wrong.append(f"line {number + 1}: {said!r} is no kind of run")
        elif block.kind and not block.commands:
            wrong.append(f"line {number + 1}: no command begins with $")
        found.append(block)
    return found, wrong


def _begins(lines: list[str], number: int) -> int | None:
    """Return the line above which the mark of a block has to be.

    :returns: none where no block of commands begins.
    """
    line = lines[number]
    directive = _DIRECTIVE.match(line)
    if directive:
        known = ("code-block", "code", "sourcecode", "parsed-literal")
        return number if directive[2] in known else None
    if not line.endswith("::") or line.lstrip().startswith(".. "):
        return None
    # a literal block belongs to the paragraph before it
    while number and lines[number - 1].strip():
        number -= 1
    return number


def _body(lines: list[str], number: int) -> list[str]:
    depth = _depth(lines[number])
    body: list[str] = []
    for line in lines[number + 1 :]:
        if line.strip() and _depth(line) <= depth:
            break
        body.append(line)
    while body and not body[-1].strip():
        body.pop()
    # the options of a directive end with an empty line
    if body and body[0].strip().startswith(":") and "" in body:
        body = body[body.index("") :]
    while body and not body[0].strip():
        body.pop(0)
    left = min((_depth(each) for each in body if each.strip()), default=0)
    return [each[left:] for each in body]


def _depth(line: str) -> int:
    return len(line) - len(line.lstrip())


def _has_commands(block: Block, first: str) -> bool:
    directive = _DIRECTIVE.match(first)
    if directive and directive[3] in ("console", "shell-session"):
        return True
    if directive and directive[3] not in (None, "bash", "sh", "shell"):
        return False
    for line in block.lines:
        word = line.split(" ")[0]
        if word == "$" or word in _PROGRAMS or word.startswith("tools/"):
            return True
    return False


def _mark(lines: list[str], number: int) -> tuple[bool, str] | None:
    """Read the comment directly above a line."""
    end = number
    while end and not lines[end - 1].strip():
        end -= 1
    begin = end
    while begin and lines[begin - 1].strip():
        begin -= 1
    mark = _MARK.match(lines[begin]) if begin < end else None
    if mark is None:
        return None
    words = [mark[2], *(line.strip() for line in lines[begin + 1 : end])]
    return bool(mark[1]), " ".join(words).strip()


def story(
    found: collections.abc.Iterable[Block], kind: str
) -> list[tuple[str, Command]]:
    """Return a page's commands of a kind.

    :returns: with each, what is to be prepared before it.
    """
    return [
        (block.before if not number else "", command)
        for block in found
        if block.kind == kind
        for number, command in enumerate(block.commands)
    ]


def words(block: Block) -> collections.abc.Iterator[list[str]]:
    """Yield the words of each command in a block, run or not.

    What a redirection or a substitution says is left out.
    """
    lines = [each.line for each in block.commands]
    if not lines:
        # a literal block without a prompt
        lines = re.split(r"(?<!\\)\n", "\n".join(block.lines))
    for line in lines:
        inner = re.findall(r"\$\(([^()]*)\)", line)
        outer = re.sub(r"\"?\$\(.*\)\"?", "WORD", line)
        for each in (*inner, outer):
            each = each.replace("\\\n", " ")
            lexer = shlex.shlex(each, posix=True, punctuation_chars=";&|>")
            lexer.whitespace_split = True
            command: list[str] = []
            before = ""
            for word in [*lexer, ";"]:
                if word and word[0] in ";&|":
                    if command:
                        yield command
                    command = []
                elif ">" not in (word[:1], before[:1]):
                    command.append(word)
                before = word


class Shell:
    """Runs command lines one after the other in one shell.

    :param place: where they run; all of the tree is found there.
    :param instead: what is put in place of words in command lines.
    """

    def __init__(
        self,
        place: pathlib.Path,
        instead: collections.abc.Mapping[str, str] | None = None,
    ) -> None:
        self._instead = instead or {}
        for entry in base.ROOT.iterdir():
            if entry.name != "tools" and not entry.name.startswith("."):
                (place / entry.name).symlink_to(entry)
        _tools(place / "tools")
        programs = pathlib.Path(sys.executable).parent
        self._process = subprocess.Popen(
            ["bash", "--norc", "--noprofile"],
            cwd=place, text=True, bufsize=1,
            stdin=subprocess.PIPE, stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            env={
                **os.environ,
                "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}",
                # so that tables fit a page
                "COLUMNS": "75",
                "PYTHONPATH": str(base.ROOT),
            },
        )  # fmt: skip

    def __enter__(self) -> "Shell":
        return self

    def __exit__(self, *exc: object) -> None:
        self._process.kill()
        self._process.communicate()

    def run(self, line: str) -> tuple[int, list[str]]:
        """Run a command line; return its status and its output."""
        for word, other in self._instead.items():
            line = line.replace(word, other)
        end = f"end of {os.urandom(8).hex()}"
        stdin, stdout = self._process.stdin, self._process.stdout
        assert stdin is not None and stdout is not None
        # the line must not read the lines that follow it
        stdin.write(f"{{ {line}\n}} </dev/null\nprintf '\\n{end} %s\\n' $?\n")
        stdin.flush()
        said: list[str] = []
        for each in stdout:
            if each.startswith(end):
                break
            said.append(each.rstrip("\n"))
        else:
            raise AssertionError(f"{line} ended the shell: {said}")
        status = int(each.removeprefix(end))
        for word, other in self._instead.items():
            said = [text.replace(other, word) for text in said]
        if said and not said[-1]:
            said.pop()
        return status, said


def _tools(place: pathlib.Path) -> None:
    """Make a directory with the tools, which run with this Python."""
    place.mkdir()
    for entry in (base.ROOT / "tools").iterdir():
        file = place / entry.name
        module = _MODULES.get(entry.name)
        if module is None:
            file.symlink_to(entry)
        else:
            # the tool itself wants the virtual environment of a checkout
            run = f'exec {sys.executable} {_RUN} {module} "$@"'
            file.write_text(f"#!/bin/sh\n{run}\n")
            file.chmod(0o755)


class Names:
    """Knows which name of a run stands for which one in the page."""

    def __init__(self) -> None:
        self._found: dict[str, str] = {}

    def same(self, shown: str, said: str) -> bool:
        """Return whether the names in two lines can be the same ones."""
        for page, real in zip(
            _NAMED.findall(shown), _NAMED.findall(said), strict=False
        ):
            if self._found.setdefault(page, real) != real:
                return False
        return len(set(self._found.values())) == len(self._found)


def normal(line: str) -> str:
    """Return a line without what differs from run to run."""
    for pattern, word in _VOLATILE:
        line = pattern.sub(word, line)
    return line.strip()


def different(
    shown: collections.abc.Sequence[str],
    said: collections.abc.Sequence[str],
    names: Names,
) -> str | None:
    """Compare what a page shows with what was printed.

    :param names: those of the page so far.
    :returns: what is different, in words; nothing if nothing is.
    """
    wanted = [line for line in shown if line.strip()]
    found = [line for line in said if line.strip()]
    at, skipping = 0, False
    for line in wanted:
        if line.strip() == _ELLIPSIS:
            skipping = True
            continue
        while (
            skipping and at < len(found) and normal(found[at]) != normal(line)
        ):
            at += 1
        if at == len(found):
            return f"not printed: {line}"
        if normal(found[at]) != normal(line):
            return f"shown:   {line}\nprinted: {found[at]}"
        if not names.same(line, found[at]):
            return f"another id is meant in: {line}\nprinted: {found[at]}"
        at, skipping = at + 1, False
    if at < len(found) and not skipping:
        return f"not shown: {found[at]}"
    return None


def tell(
    commands: collections.abc.Iterable[tuple[str, Command]],
    shell: Shell,
    prepare: collections.abc.Callable[[str], typing.Any],
) -> list[str]:
    """Run a story; return what was otherwise than the page says.

    :param prepare: is called with what a command needs before it.
    """
    names = Names()
    for before, command in commands:
        if before:
            prepare(before)
        status, said = shell.run(command.line)
        printed = "\n".join(said)
        wrong = None
        if (status != 0) != command.fails:
            wrong = f"exit status {status}"
        elif command.output:
            wrong = different(command.output, said, names)
        if wrong is not None:
            # what follows is the consequence
            return [f"$ {command.line}\n{wrong}\n--- printed:\n{printed}"]
    return []
