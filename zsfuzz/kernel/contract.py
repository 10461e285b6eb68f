"""Contract: two sides of different designs, compared call by call at zsmalloc's interface.

In:    two streams of contract records; what is known of both sides' eras.
Out:   the first difference that no rule explains; the uses of the rules.
Never: placements, statistics, the outcomes of the core's requests.
Next:  the rules: zsfuzz/oracle/eras.py; sides of one design: zsfuzz/kernel/compare.py.
"""

from __future__ import annotations

from collections.abc import Sequence

from zsfuzz.kernel import lower, records
from zsfuzz.kernel.compare import Difference, operation_name
from zsfuzz.kernel.records import Record, records_of, signed
from zsfuzz.oracle.eras import EraDifferences, Failure
from zsfuzz.program import ops
from zsfuzz.program.program import Program


def first_breach(
    program: Program, left: Sequence[int], right: Sequence[int], rules: EraDifferences
) -> Difference | None:
    """Return the first call whose outcomes differ without a rule, None when there is none. Stops where sides part."""
    calls = [{each.step: each for each in records_of(side) if each.kind == records.STEP} for side in (left, right)]
    for step in sorted(calls[0].keys() | calls[1].keys()):
        found = _breach(program, step, calls[0].get(step), calls[1].get(step), rules)
        if found is not None or rules.parted:
            return found
    return None


def _breach(
    program: Program, step: int, one: Record | None, other: Record | None, rules: EraDifferences
) -> Difference | None:
    if one is None or other is None:
        return _one_sided(program, step, one, other, rules)
    if one.words[0] == lower.MALLOC:
        return _malloc(program, step, one, other, rules)
    if one.words != other.words:
        texts = [str([signed(word) for word in record.words[1:]]) for record in (one, other)]
        return Difference(step, "outcome", (operation_name(one.words[0]),), "result", texts[0], texts[1])
    return None


def _one_sided(
    program: Program, step: int, one: Record | None, other: Record | None, rules: EraDifferences
) -> Difference | None:
    """One side had the call as a no-op: its pool or object is gone, or still there."""
    record = one or other
    assert record is not None
    isolates = any(type(each) in (ops.Isolate, ops.Migrate) for each in program.steps[:step])
    if record.words[0] in (lower.DESTROY_POOL, lower.CREATE_POOL) and rules.explains_busy_pool(isolates=isolates):
        return None
    side = "reference" if one is not None else "candidate"
    return Difference(step, "outcome", (operation_name(record.words[0]),), f"{side} only", str(one), str(other))


def _malloc(program: Program, step: int, one: Record, other: Record, rules: EraDifferences) -> Difference | None:
    asked = program.steps[step]
    assert isinstance(asked, ops.Malloc)
    failures = [_failure(record) for record in (one, other)]
    match failures:
        case [None, None]:
            return None
        case [Failure() as left, Failure() as right]:
            if rules.explains_errors(asked, left, right):
                return None
            return Difference(step, "outcome", ("malloc",), "error", f"-{left.errno}", f"-{right.errno}")
        case _:
            side = 0 if failures[0] is not None else 1
            failure = failures[side]
            assert failure is not None
            if rules.explains_one_failure(asked, side, failure, injected=_is_injected(program, step)):
                return None
            who = ("reference", "candidate")[side]
            return Difference(step, "outcome", ("malloc",), f"{who} less", str(failures[0]), str(failures[1]))


def _failure(record: Record) -> Failure | None:
    return None if record.words[1] else Failure(record.words[2], record.words[3], record.words[4])


def _is_injected(program: Program, step: int) -> bool:
    """Return whether a failure was armed for this malloc since the last one."""
    for earlier in reversed(program.steps[:step]):
        if isinstance(earlier, ops.Fail) and earlier.operation is ops.FailOperation.MALLOC:
            return True
        if isinstance(earlier, ops.Malloc):
            return False
    return False
