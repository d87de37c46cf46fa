# SPDX-License-Identifier: Apache-2.0
"""The guest agent may run as root what Trove's code calls, and only that.

Read from the code of the very release that images get: when Trove calls
something new, this fails before a guest does.
"""

import ast
import collections.abc
import pathlib
import re

from minicloud import layout
from minicloud import state
from tests import base as tests_base
from tests.functional import base

_SUDOERS = (
    pathlib.Path(tests_base.ROOT)
    / "trove_tools/elements/trove-guest-agent/trove-agent/sudoers"
)
_CALLS = ("execute", "execute_with_timeout", "execute_shell_cmd")
# databases installed in the guest's system, and modules of its users: no
# image of ours has them run by the agent
_ELSEWHERE = ("experimental", "module/drivers", "pkg.py")
# of a function that only those call
_UNUSED = {"usermod"}


def first_word(node: ast.expr, function: ast.AST) -> str:
    """Return the program that an expression of a command line begins with.

    :param function: where names of the expression are looked up.
    """
    if isinstance(node, ast.Constant):
        return str(node.value).split()[0]
    if isinstance(node, ast.JoinedStr):
        return first_word(node.values[0], function)
    if isinstance(node, ast.BinOp):
        return first_word(node.left, function)
    if isinstance(node, ast.Name):
        for each in ast.walk(function):
            if isinstance(each, ast.Assign) and any(
                isinstance(target, ast.Name) and target.id == node.id
                for target in each.targets
            ):
                return first_word(each.value, function)
    raise AssertionError(f"cannot tell the program of {ast.dump(node)}")


def as_root(call: ast.Call, name: str) -> bool:
    """Tell whether a call may be for root."""
    # this one passes on what its callers' callers said
    return name == "execute_shell_cmd" or any(
        keyword.arg in ("run_as_root", "as_root") for keyword in call.keywords
    )


def programs(file: pathlib.Path) -> collections.abc.Iterator[str]:
    """Yield the programs that a module runs as root."""
    tree = ast.parse(file.read_text())
    for function in ast.walk(tree):
        if not isinstance(function, ast.FunctionDef):
            continue
        for call in ast.walk(function):
            if not isinstance(call, ast.Call) or not call.args:
                continue
            name = getattr(call.func, "attr", getattr(call.func, "id", ""))
            if name not in _CALLS or not as_root(call, name):
                continue
            # the door itself, which gets the program from its callers
            if function.name not in _CALLS:
                yield first_word(call.args[0], function)


class SudoTest(base.TestCase):
    def test_all_that_trove_calls_and_no_more(self) -> None:
        known = state.load(layout.Layout(self.minicloud_dir))
        (agent,) = pathlib.Path(known.venv).glob(
            "lib/*/site-packages/trove/guestagent"
        )
        called = set()
        for file in agent.rglob("*.py"):
            if not any(word in str(file) for word in _ELSEWHERE):
                called.update(programs(file))
        text = _SUDOERS.read_text()
        allowed = set(re.findall(r"/usr/s?bin/([\w.]+)", text))
        self.assertEqual(called - _UNUSED, allowed)
