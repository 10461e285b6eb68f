"""Tell: a finished run's streams, step by step, for an observer of traces.

In:    the streams of two sides, the program, where they differ.
Out:   calls of an Observer.
Never: judges.
Next:  who shows it: zsfuzz/report/trace.py.
"""

from __future__ import annotations

from collections.abc import Sequence

from zsfuzz.execute.result import Observer
from zsfuzz.kernel import lower, records
from zsfuzz.kernel.compare import Difference
from zsfuzz.kernel.records import Record, records_of, signed
from zsfuzz.program.program import Program

_SHOWN_WORDS = 6


def tell(observer: Observer, program: Program, streams: list[Sequence[int]], difference: Difference | None) -> None:
    """Tell of every step up to the difference. Core requests are not in streams of the contract: they show as done."""
    sides = [{each.step: each for each in records_of(stream) if each.kind == records.STEP} for stream in streams]
    last = len(program.steps) - 1 if difference is None else difference.step
    for index, step in enumerate(program.steps[: last + 1]):
        one, other = (side.get(index) for side in sides)
        if one is None and other is None:
            observer.step(index, step, "no-op", "no-op", lower.is_lowered(type(step)))
        else:
            observer.step(index, step, _text(one), _text(other), True)


def _text(record: Record | None) -> str:
    if record is None:
        return "no-op"
    words = [signed(word) for word in record.words[1:]]
    if record.words[0] == lower.MALLOC and len(words) == 2 and words[0]:
        return f"pfn {words[1] >> 32} object {words[1] & 0xFFFFFFFF}"
    shown = ", ".join(str(word) for word in words[:_SHOWN_WORDS])
    return shown + (", ..." if len(words) > _SHOWN_WORDS else "")
