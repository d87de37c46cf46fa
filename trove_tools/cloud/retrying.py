# SPDX-License-Identifier: Apache-2.0
"""What is tried again, how often, and after which pause.

A service that restarts, a proxy that drops a connection and a database
that is busy are over in seconds.  A refusal is not: the same request gets
the same answer for ever.
"""

import collections.abc
import typing

from trove_tools import errors
from trove_tools.cloud import failures

#: How often something is tried in all.
ATTEMPTS = 4

#: Seconds before the second attempt; the pause doubles each time.
PAUSE = 0.5

T = typing.TypeVar("T")
Notify = collections.abc.Callable[[str], None]


def quiet(text: str) -> None:
    """Tell nobody."""


def persistently(
    work: collections.abc.Callable[[], T],
    notify: Notify = quiet,
    worth: collections.abc.Callable[[BaseException], bool] = failures.may_pass,
) -> T:
    """Do something again as long as what fails may pass.

    :param work: raises the error; finds out itself how far it had come.
    :param notify: is told what failed and when it is tried again.
    :param worth: whether an error may pass.
    :returns: what ``work`` returned.
    """
    # with openstacksdk, so that --help does not wait for it
    import tenacity

    def tell(state: "tenacity.RetryCallState") -> None:
        assert state.outcome is not None and state.next_action is not None
        exc = state.outcome.exception()
        if isinstance(exc, errors.TroveToolsError):
            pause = state.next_action.sleep
            notify(f"{exc.message}; trying again in {pause:.1f} s")

    attempts = tenacity.Retrying(
        retry=tenacity.retry_if_exception(worth),
        stop=tenacity.stop_after_attempt(ATTEMPTS),
        wait=tenacity.wait_exponential(PAUSE),
        before_sleep=tell,
        reraise=True,
    )
    return attempts(work)
