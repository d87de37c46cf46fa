# SPDX-License-Identifier: Apache-2.0
"""Retries temporary failures, and confirms changes.

A restarting service, a dropped connection or a busy database recovers within
seconds. Other errors are permanent: the same request would get the same
answer. A positive answer does not prove that a change was made, because a
service may accept a request and drop it. So every change is read back. If a
service has several databases, one of them may show the change a moment later.
"""

import collections.abc
import typing

from trove_tools import errors
from trove_tools.cloud import failures

#: The total number of attempts.
ATTEMPTS = 4

#: Seconds before the second attempt; the pause doubles each time.
PAUSE = 0.5

#: Seconds within which a change must be visible.
SEEN_WITHIN = 20.0
#: Seconds before the second read; the pause doubles each time.
_LOOK = 0.1

if typing.TYPE_CHECKING:
    import tenacity

T = typing.TypeVar("T")
Notify = collections.abc.Callable[[str], None]


class _NotSeen(errors.CloudError):
    """A change that was accepted is not visible."""


def quiet(text: str) -> None:
    """Ignore a message."""


def attempts(
    notify: Notify = quiet,
    may_pass: collections.abc.Callable[
        [BaseException], bool
    ] = failures.may_pass,
) -> "tenacity.Retrying":
    """Return an object that repeats a function or a block after failures.

    Called with a function, it returns the function's result. Used as an
    iterator, it yields contexts: ``for attempt in attempts(): with attempt:``.
    The repeated code must check how much the last attempt has done.

    :param notify: called with a message before each retry.
    :param may_pass: returns whether the next attempt may succeed after an
        error.
    """
    # imported here so that --help does not wait for openstacksdk
    import tenacity

    def tell(state: "tenacity.RetryCallState") -> None:
        assert state.outcome is not None and state.next_action is not None
        exc = state.outcome.exception()
        if isinstance(exc, errors.TroveToolsError):
            pause = state.next_action.sleep
            notify(f"{exc.message}; trying again in {pause:.1f} s")

    return tenacity.Retrying(
        retry=tenacity.retry_if_exception(may_pass),
        stop=tenacity.stop_after_attempt(ATTEMPTS),
        wait=tenacity.wait_exponential(PAUSE),
        before_sleep=tell,
        reraise=True,
    )


def confirm(
    read: collections.abc.Callable[[], T],
    missing: collections.abc.Callable[[T], str | None],
    doing: str,
    title: str,
) -> T:
    """Read a resource until a change is visible.

    :param read: reads the resource.
    :param missing: returns the part of the change that is not visible, or
        None.
    :param doing: the purpose of the change, such as ``describing the image``.
    :param title: the service that accepted the change.
    :returns: the last value read.
    :raises CloudError: the change was not visible within :data:`SEEN_WITHIN`.
    """
    import tenacity

    looks = tenacity.Retrying(
        retry=tenacity.retry_if_exception_type(_NotSeen),
        stop=tenacity.stop_after_delay(SEEN_WITHIN),
        wait=tenacity.wait_exponential(_LOOK, max=2),
        reraise=True,
    )

    def look() -> T:
        answer = read()
        problem = missing(answer)
        if problem is not None:
            raise _NotSeen(
                f"{doing}: {title} accepted this, and did not do it:"
                f" {problem}",
                hint=f"the log of {title} says more; then run the command"
                " again",
            )
        return answer

    return looks(look)
