"""What every refusal has to look like.

In:    something that reads a program, and what it reads.
Out:   the one line of the UsageError.
Never: leniency: another exception, a second line or an unprintable character fails the test.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from zsfuzz.errors import UsageError
from zsfuzz.program.program import Program

WHERE = "some/file"


def line_of(error: UsageError) -> str:
    """The message, after a look at its form."""
    message = str(error)
    assert message.isprintable(), message
    assert len(message) < 1000
    return message


def refused(read: Callable[..., Any], *arguments: Any) -> str:
    """Call `read`, which must refuse; return its one line."""
    with pytest.raises(UsageError) as caught:
        read(*arguments)
    return line_of(caught.value)


def read_or_refused(read: Callable[[Any, str], Program], content: Any) -> Program | None:
    """Call `read`, which may do either, but nothing else."""
    try:
        return read(content, WHERE)
    except UsageError as error:
        message = line_of(error)
    assert message.startswith(WHERE + ":")
    return None


def short(value: object) -> str:
    """The name of a parameter in a test's name: hostile input is long."""
    return ascii(value)[:40]
