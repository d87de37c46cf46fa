# SPDX-License-Identifier: Apache-2.0
"""Measures of how easy this code is to read.

What stands in the tree is counted with the syntax tree of each module.  How
far a command's calls go is counted by running the command under a profiler.
"""

import argparse
import ast
import collections
import collections.abc
import io
import pathlib
import random
import re
import runpy
import sys
import threading
import tokenize
import types
import typing

ROOT = pathlib.Path(__file__).resolve().parents[2]
PACKAGE = "trove_tools"

#: Words that end as a participle does and are nouns.
_NOUNS = {"keyring", "seed"}
#: Names of modules that are pictures, or participles with another ending.
_PICTURES = {
    "backing", "below", "built", "children", "choices", "findings",
    "inside", "lanes", "leftovers", "live", "region", "rehearsal", "rooms",
    "rungs", "stack", "upkeep", "words",
}  # fmt: skip

#: Calls whose strings people read.
_MESSAGES = re.compile(r"(Error|Finding|say|warn|state|hint|message)$")


def modules(root: pathlib.Path) -> dict[str, ast.Module]:
    """Return the syntax trees of the package's modules, by dotted name.

    The scripts of elements run in a guest, so they are no modules.
    """
    found = {}
    for path in sorted((root / PACKAGE).rglob("*.py")):
        name = path.relative_to(root).with_suffix("").as_posix()
        if not name.startswith(f"{PACKAGE}/elements/"):
            dotted = name.replace("/", ".").removesuffix(".__init__")
            found[dotted] = ast.parse(path.read_text(), str(path))
    return found


def code_lines(root: pathlib.Path) -> int:
    """Count lines of Python that hold code: no blank, comment, docstring."""
    total = 0
    skipped = {
        tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT,
        tokenize.DEDENT, tokenize.ENCODING, tokenize.ENDMARKER,
    }  # fmt: skip
    for path in (root / PACKAGE).rglob("*.py"):
        source = path.read_text()
        lines = set()
        for token in tokenize.generate_tokens(io.StringIO(source).readline):
            if token.type not in skipped:
                lines |= set(range(token.start[0], token.end[0] + 1))
        for node in ast.walk(ast.parse(source)):
            if isinstance(node, ast.Expr) and isinstance(
                node.value, ast.Constant
            ):
                lines -= set(range(node.lineno, (node.end_lineno or 0) + 1))
        total += len(lines)
    return total


def imports(
    trees: dict[str, ast.Module], with_types: bool = True
) -> dict[str, set[str]]:
    """Return which modules of the package each of them imports.

    :param with_types: also what only a type checker imports.
    """
    found: dict[str, set[str]] = {}
    for name, tree in trees.items():
        found[name] = set()
        for node in _nodes(tree, with_types):
            names = []
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.module:
                names = [f"{node.module}.{a.name}" for a in node.names]
                names.append(node.module)
            found[name] |= {n for n in names if n in trees and n != PACKAGE}
        # a package's own __init__ holds nothing
        found[name] = {n for n in found[name] if trees[n].body}
    return found


def _nodes(
    tree: ast.AST, with_types: bool
) -> collections.abc.Iterator[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        if (
            not with_types
            and isinstance(node, ast.If)
            and "TYPE_CHECKING" in ast.dump(node.test)
        ):
            continue
        yield node
        yield from _nodes(node, with_types)


def single_importers(trees: dict[str, ast.Module]) -> list[str]:
    """Return the modules that exactly one other module imports."""
    counts = collections.Counter(
        each for names in imports(trees).values() for each in names
    )
    return sorted(name for name, count in counts.items() if count == 1)


def cycles(trees: dict[str, ast.Module]) -> list[list[str]]:
    """Return the groups of modules that import one another at run time."""
    graph = imports(trees, with_types=False)
    reach = {}
    for name in graph:
        seen: set[str] = set()
        todo = list(graph[name])
        while todo:
            other = todo.pop()
            if other not in seen:
                seen.add(other)
                todo += graph[other]
        reach[name] = seen
    groups = {
        tuple(sorted(o for o in reach[n] if n in reach[o]))
        for n in graph
        if n in reach[n]
    }
    return [list(group) for group in sorted(groups)]


def pictures(trees: dict[str, ast.Module]) -> list[str]:
    """Return the modules whose names are participles or pictures."""
    found = []
    for name in trees:
        last = name.rpartition(".")[2]
        participle = re.search(r"(ed|ing)$", last) and last not in _NOUNS
        if participle or last in _PICTURES:
            found.append(name)
    return found


def sentences(root: pathlib.Path) -> list[tuple[str, str]]:
    """Return the sentences that people read, each with its file.

    They come from docstrings, comments, messages and the documentation.
    """
    texts = []
    for path in sorted((root / PACKAGE).rglob("*.py")):
        where = str(path.relative_to(root))
        source = path.read_text()
        texts += [(where, text) for text in _docstrings(ast.parse(source))]
        texts += [(where, text) for text in _comments(source)]
        texts += [(where, text) for text in _messages(ast.parse(source))]
    pages = sorted((root / "doc" / "source").rglob("*.rst"))
    for path in [root / "README.rst", *pages]:
        where = str(path.relative_to(root))
        texts += [(where, text) for text in _paragraphs(path.read_text())]
    found = []
    for where, text in texts:
        text = re.sub(r"^:(param \w+|returns?|raises [\w, ]+):", "", text)
        for each in re.split(r"(?<=[.:;?!])\s+(?=[A-Z`])", text):
            words = " ".join(each.split())
            if len(words.split()) >= 4:
                found.append((where, words))
    return found


def _docstrings(tree: ast.Module) -> collections.abc.Iterator[str]:
    kinds = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
    for node in ast.walk(tree):
        if isinstance(node, kinds) and (text := ast.get_docstring(node)):
            yield from re.split(r"\n\s*\n|\n(?=:)", text)


def _comments(source: str) -> collections.abc.Iterator[str]:
    lines: list[str] = []
    for line in [*source.splitlines(), ""]:
        text = line.strip()
        if re.match(r"#:? ", text) and "SPDX" not in text:
            lines.append(text.lstrip("#: "))
        elif lines:
            yield " ".join(lines)
            lines = []


def _messages(tree: ast.Module) -> collections.abc.Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Call):
            called = getattr(
                node.func, "attr", getattr(node.func, "id", "")
            )
            values = [k.value for k in node.keywords if k.arg == "hint"]
            if _MESSAGES.search(called):
                values += node.args
            for value in values:
                if text := _text(value):
                    yield text


def _text(node: ast.expr) -> str:
    """Return a string as it is read; what is filled in is an ellipsis."""
    if isinstance(node, ast.Constant):
        return node.value if isinstance(node.value, str) else ""
    if isinstance(node, ast.JoinedStr):
        return "".join(
            str(part.value) if isinstance(part, ast.Constant) else "..."
            for part in node.values
        )
    if isinstance(node, ast.BinOp):
        return _text(node.left) + _text(node.right)
    return ""


def _paragraphs(source: str) -> collections.abc.Iterator[str]:
    for block in re.split(r"\n\s*\n", source):
        # code, directives, tables and titles are no sentences
        if not re.match(r"\s|\.\. |=|-{4}|\+|\$", block) and not re.search(
            r"^([=~^\"-])\1{3,}$", block, re.MULTILINE
        ):
            yield re.sub(r"^[-*] ", "", block)


class Trace:
    """How far a program's calls in the package go.

    :param ends: tells, at each call, whether it is what the way leads to.
    """

    def __init__(
        self, ends: collections.abc.Callable[[types.FrameType], bool]
    ) -> None:
        self._ends = ends
        self._known: dict[types.CodeType, bool] = {}
        #: the longest way to an end
        self.deepest: list[str] = []
        #: each function on a way to an end, once, in the order of the calls,
        #: with its callers
        self.ways: dict[str, list[str]] = {}

    def __enter__(self) -> typing.Self:
        threading.setprofile(self._called)
        sys.setprofile(self._called)
        return self

    def __exit__(self, *exc: object) -> None:
        sys.setprofile(None)
        threading.setprofile(None)  # type: ignore[arg-type]

    def _called(
        self, frame: types.FrameType, event: str, argument: object
    ) -> None:
        if event == "call" and self._ends(frame):
            stack = []
            above: types.FrameType | None = frame
            while above:
                if name := _function(above.f_code):
                    stack.append(name)
                above = above.f_back
            stack.reverse()
            if len(stack) > len(self.deepest):
                self.deepest = stack
            for number, name in enumerate(stack):
                self.ways.setdefault(name, stack[:number])

    def climbs(self) -> int:
        """Count how often a reader has to go back up to another module.

        Functions are read in the order in which they are first called.  The
        reader climbs where the next one is called neither by the one just
        read nor by another one of its module.
        """
        names = list(self.ways)
        return sum(
            bool(self.ways[after])
            and _module(self.ways[after][-1]) != _module(before)
            for before, after in zip(names, names[1:], strict=False)
        )


def _function(code: types.CodeType) -> str:
    path = pathlib.Path(code.co_filename)
    if f"/{PACKAGE}/" not in code.co_filename or code.co_name[0] == "<":
        return ""
    parts = path.with_suffix("").parts
    start = len(parts) - 1 - parts[::-1].index(PACKAGE)
    return f"{'.'.join(parts[start:])}:{code.co_qualname}"


def _module(function: str) -> str:
    return function.partition(":")[0]


def _is_put(frame: types.FrameType) -> bool:
    """Tell whether a frame sends a file to Glance."""
    code = frame.f_code
    request = frame.f_locals.get("request")
    return (
        code.co_name == "send"
        and code.co_filename.endswith("requests/sessions.py")
        and getattr(request, "method", "") == "PUT"
        and str(getattr(request, "url", "")).endswith("/file")
    )


def _is_process(frame: types.FrameType) -> bool:
    code = frame.f_code
    return (
        code.co_name == "__init__"
        and code.co_qualname == "Popen.__init__"
        and code.co_filename.endswith("subprocess.py")
    )


def way_to_the_put() -> list[str]:
    """Load an image into a cloud of the unit tests, and return the calls."""
    sys.path.insert(0, str(ROOT))
    import unittest

    from tests.unit.cloud import test_commands

    case = test_commands.CommandsTest("test_table")
    with Trace(_is_put) as trace:
        result = unittest.TestResult()
        case.run(result)
    if not result.wasSuccessful() or not trace.deepest:
        raise SystemExit(f"the load failed: {result}")
    return trace.deepest


def main() -> None:
    """Print the measures."""
    parser = argparse.ArgumentParser(
        prog="tools/count-house",
        description="Print measures of how easy the code is to read.",
    )
    parser.add_argument(
        "--root", type=pathlib.Path, default=ROOT,
        help="count another checkout",
    )  # fmt: skip
    parser.add_argument(
        "--names", action="store_true", help="print what was counted, too"
    )
    parser.add_argument(
        "--sentences", metavar="SEED",
        help="print 60 sentences taken at random with this seed, nothing else",
    )  # fmt: skip
    parser.add_argument(
        "--trace", nargs=argparse.REMAINDER, metavar="ARGUMENT",
        help="run trove-image-builder with these arguments, and count the"
        " functions on the way to other programs",
    )  # fmt: skip
    flags = parser.parse_args()
    if flags.sentences:
        every = sentences(flags.root)
        # the same seed, the same sentences
        chosen = random.Random(flags.sentences).sample(every, 60)
        print(f"60 of {len(every)} sentences, seed {flags.sentences}\n")
        for number, (where, text) in enumerate(chosen, 1):
            print(f"{number:2} {where}\n   {text}")
    elif flags.trace:
        _traced(flags.trace, flags.names)
    else:
        _counted(flags.root, flags.names)


def _counted(root: pathlib.Path, names: bool) -> None:
    trees = modules(root)
    found: dict[str, list[str]] = {
        "modules": list(trees),
        "modules with exactly one importer": single_importers(trees),
        "import cycles": [" ".join(group) for group in cycles(trees)],
        "names that are participles or pictures": pictures(trees),
    }
    if root == ROOT:
        found["calls from load-trove-image to the PUT"] = way_to_the_put()
    print(f"{code_lines(root):6} lines of code")
    for title, things in found.items():
        print(f"{len(things):6} {title}")
        if names and title != "modules":
            print(*(f"         {thing}" for thing in things), sep="\n")


def _traced(arguments: list[str], names: bool) -> None:
    sys.argv = ["trove-image-builder", *arguments]
    with Trace(_is_process) as trace:
        try:
            runpy.run_module("trove_tools.cli.builder", run_name="__main__")
        except SystemExit as exc:
            status = exc.code
    print(f"{status!s:>6} exit status")
    print(f"{len(trace.ways):6} functions on the way to other programs")
    print(f"{trace.climbs():6} climbs back to another module")
    print(f"{len(trace.deepest):6} calls on the longest way")
    if names:
        print(*(f"         {name}" for name in trace.ways), sep="\n")


if __name__ == "__main__":
    main()
