"""Frontier: an exploration on its way as bytes, so that it can go on in another process.

In:    an Exploration; later, the bytes and the same question.
Out:   pack() and resume(): the exploration that goes on gives the very counts of one that was never stopped.
Never: a file: zsfuzz/cli/explore.py writes it whole or not at all.
Next:  what a search knows: zsfuzz/explore/search.py.

    {version, question, phases: [{number, again, words, search, ended}], ...}, msgpack, compressed

Sets of words are numbers of a few thousand bits, kept as bytes; which word a bit stands for is kept with them.
"""

from __future__ import annotations

import hashlib
import zlib
from collections.abc import Hashable
from dataclasses import astuple
from typing import Any, Final

import msgpack  # type: ignore[import-untyped]

from zsfuzz.errors import UsageError
from zsfuzz.explore.ends import EndState
from zsfuzz.explore.explorer import Exploration, Phase, Question
from zsfuzz.explore.search import Counts, Node
from zsfuzz.explore.side import Ended, Met
from zsfuzz.machine.recording import Footprint, Recorder
from zsfuzz.oracle.finding import Finding
from zsfuzz.program.block import Switch
from zsfuzz.program.packed import pack_program

MAGIC: Final = b"zsfuzz explore 1\n"


def pack(exploration: Exploration, seconds: float) -> bytes:
    """Return an exploration that has begun. seconds: what it took so far."""
    document = {
        "question": _fingerprint(exploration.question),
        "seconds": seconds,
        "phases": [_phase(phase) for phase in exploration.phases],
    }
    return MAGIC + zlib.compress(msgpack.packb(document), 1)


def resume(data: bytes, question: Question, where: str) -> tuple[Exploration, float]:
    """Return an exploration that goes on, and the seconds it took before. where: the file, for messages.

    Errors: UsageError for what is no such file, or belongs to another question.
    """
    if not data.startswith(MAGIC):
        raise UsageError(f"{where}: is no state of `zsfuzz explore` of this version; begin without --resume")
    try:
        document = msgpack.unpackb(zlib.decompress(data[len(MAGIC) :]), strict_map_key=False)
    except (zlib.error, ValueError) as error:
        raise UsageError(f"{where}: is damaged ({error}); begin without --resume") from error
    if document["question"] != _fingerprint(question):
        raise UsageError(
            f"{where}: belongs to another program, other targets, faults or --max-preemptions; give those it was for"
        )
    exploration = Exploration(question)
    exploration.begin()
    for number, saved in enumerate(document["phases"]):
        phase = exploration.phases[0] if not number else exploration.add_phase(saved["number"], again=saved["again"])
        _restore(phase, saved)
    if exploration.phases and exploration.phases[-1].search.complete:
        exploration.step()  # it was stopped between two sides
    return exploration, float(document["seconds"])


def _fingerprint(question: Question) -> str:
    """Return what stands for a question. A change of zsfuzz itself shows when executions do not repeat themselves."""
    digest = hashlib.sha256(pack_program(question.program))
    digest.update(repr((question.targets, question.faults, question.bound)).encode())
    return digest.hexdigest()


# -- one side


def _phase(phase: Phase) -> dict[str, Any]:
    search, ended = phase.search, phase.lanes.ended
    return {
        "number": phase.number,
        "again": phase.again,
        "words": list(phase.lanes.recorder.numbers),
        "counts": astuple(search.counts),
        "points": phase.lanes.points,
        "complete": search.complete,
        "ends": list(search.ends.items()),
        "path": [_node(node) for node in search.path],
        "states": [[name, astuple(state), _switches(by)] for name, (state, by) in ended.states.items()],
        "findings": [
            [astuple(met.finding), _switches(met.schedule), met.preemptions] for met in ended.findings.values()
        ],
        "unknown": ended.unknown,
    }


def _restore(phase: Phase, saved: dict[str, Any]) -> None:
    _restore_words(phase.lanes.recorder, saved["words"])
    search = phase.search
    search.counts, search.complete = Counts(*saved["counts"]), saved["complete"]
    search.ends = dict(map(tuple, saved["ends"]))
    search.path = [_node_of(raw) for raw in saved["path"]]
    phase.lanes.points = saved["points"]
    phase.lanes.ended = Ended(
        {name: (_state_of(raw), _switches_of(by)) for name, raw, by in saved["states"]},
        {met.finding.signature: met for met in map(_met_of, saved["findings"])},
        saved["unknown"],
    )


def _restore_words(recorder: Recorder, words: list[Any]) -> None:
    named: list[Hashable] = [_tupled(word) for word in words]
    if named[: len(recorder.numbers)] != list(recorder.numbers):
        raise RuntimeError("a saved search numbers words otherwise")
    recorder.numbers.clear()
    recorder.numbers.update({word: number for number, word in enumerate(named)})


def _tupled(word: Any) -> Hashable:
    return tuple(_tupled(part) for part in word) if isinstance(word, list) else word


def _switches(schedule: tuple[Switch, ...]) -> list[tuple[int, ...]]:
    return [astuple(switch) for switch in schedule]


def _switches_of(raw: list[list[int]]) -> tuple[Switch, ...]:
    return tuple(Switch(*each) for each in raw)


def _met_of(raw: list[Any]) -> Met:
    finding, schedule, preemptions = raw
    kind, rule, functions, field, target, step, message, details, request = finding
    details = tuple((name, value) for name, value in details)
    return Met(
        Finding(kind, rule, tuple(functions), field, target, step, message, details, request),
        _switches_of(schedule),
        preemptions,
    )


def _state_of(raw: list[Any]) -> EndState:
    calls, slots, drained = raw
    return EndState(
        tuple((lane, number, name, outcome) for lane, number, name, outcome in calls),
        tuple((slot, pool, size, data) for slot, pool, size, data in slots),
        tuple((name, value) for name, value in drained),
    )


# -- nodes


def _bits(footprint: Footprint | None) -> list[bytes] | None:
    if footprint is None:
        return None
    return [bits.to_bytes((bits.bit_length() + 7) // 8, "little") for bits in (footprint.reads, footprint.writes)]


def _footprint(raw: list[bytes] | None) -> Footprint | None:
    return None if raw is None else Footprint(*(int.from_bytes(bits, "little") for bits in raw))


def _of_lanes(footprints: dict[int, Footprint] | None) -> list[Any] | None:
    return None if footprints is None else [(lane, _bits(each)) for lane, each in footprints.items()]


def _lanes_of(raw: list[Any] | None) -> dict[int, Footprint] | None:
    if raw is None:
        return None
    return {lane: footprint for lane, bits in raw if (footprint := _footprint(bits)) is not None}


def _node(node: Node) -> list[Any]:
    return [
        node.sort,
        node.current,
        node.at,
        node.used,
        _of_lanes(node.sleep),
        node.chosen,
        node.todo,
        _bits(node.step),
        _bits(node.stayed),
        _of_lanes(node.beyond),
        _of_lanes(node.ahead),
    ]


def _node_of(raw: list[Any]) -> Node:
    sort, current, at, used, sleep, chosen, todo, step, stayed, beyond, ahead = raw
    return Node(
        sort,
        current,
        at,
        used,
        _lanes_of(sleep) or {},
        (chosen[0], chosen[1]),
        [(lane, held) for lane, held in todo],
        _footprint(step) or Footprint(),
        _footprint(stayed),
        _lanes_of(beyond) or {},
        _lanes_of(ahead),
    )
