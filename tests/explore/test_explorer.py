"""Blocks of the two allocators, explored: the named cases, planted faults, and the ends of both sides.

In:    corpus/explore/, and small blocks.
Out:   complete and clean without a fault; with one, what it breaks.
Never: a second that is measured.
"""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.explore.programs import explored, named, program, question, signatures
from zsfuzz.errors import UsageError
from zsfuzz.execute.runner import Runner
from zsfuzz.explore import frontier
from zsfuzz.explore.explorer import CANDIDATE, REFERENCE, Exploration
from zsfuzz.explore.search import Search
from zsfuzz.explore.side import BlockLanes
from zsfuzz.program.block import Block
from zsfuzz.program.program import Program

FREE_AND_COMPACT = program("h1 = malloc 3000", "compact", "free h1")


@pytest.mark.parametrize("name", ["scan-free-malloc", "worker-migrate"])
def test_the_named_cases_are_complete_and_clean_at_two_preemptions(name: str) -> None:
    """[get | free, malloc | re-check, lock, put] and [worker || migrate]: nothing is wrong on either side."""
    exploration = explored(named(name), 2)
    assert exploration.complete
    assert signatures(exploration) == set()
    assert exploration.counts.interleavings > 100
    assert exploration.counts.skipped > 1000


def test_a_scanner_that_does_not_look_again_is_found() -> None:
    """H15: the head is stale, the zspage behind it is another one. It takes both preemptions."""
    case, target = named("scan-free-malloc"), "candidate-literal:H15"
    assert signatures(explored(case, 1, candidate=target)) == set()
    found = {met.finding.signature: met.preemptions for met in explored(case, 2, candidate=target).findings()}
    assert found["bug/VM_BUG_ON inuse/zspage_destructor/candidate _refcount"] == 2


@pytest.mark.parametrize(
    ("fault", "signature"),
    [
        ("L-wait-locked", "invariant/sleeping in atomic context/wait_for_component/reference page lock"),
        ("A11", "bug/VM_BUG_ON list_empty/remove_zspage/reference remove_zspage"),
    ],
)
def test_faults_of_worker_and_migration_are_found(fault: str, signature: str) -> None:
    """The worker waits for a page under the migrate lock; isolation is counted without the class lock."""
    exploration = explored(named("worker-migrate"), 2, fault)
    assert signature in signatures(exploration)


def replayed(asked: Program, exploration: Exploration, candidate: str) -> list[str]:
    """Return the signatures of single runs of what was found, with their schedules."""
    runner = Runner("reference", candidate)
    found = []
    for met in exploration.findings():
        block = asked.block
        assert block is not None
        kept = replace(asked, block=Block(block.lanes, met.schedule))
        found += [finding.signature for finding in runner.run(kept).findings]
    return found


@pytest.mark.parametrize("hazard", ["H14", "H15"])
def test_the_schedule_of_a_finding_gives_it_again(hazard: str) -> None:
    """On other machines, without a recorder, both sides at once."""
    target, asked = f"candidate-literal:{hazard}", named("scan-free-malloc")
    exploration = explored(asked, 2, candidate=target)
    assert replayed(asked, exploration, target) == [met.finding.signature for met in exploration.findings()]


def naively(asked: Program, bound: int, candidate: str, number: int) -> tuple[set[object], set[str]]:
    """Return ends, down to the memory, and findings of one side over every schedule there is, without reduction."""
    exploration = Exploration(question(asked, bound, candidate=candidate))
    exploration.begin()
    phase = exploration.phases[0] if number == REFERENCE else exploration.add_phase(number)
    search = Search(phase.lanes, bound, reduces=False)
    while not search.complete:
        search.step()
    return everything(phase.lanes), set(phase.lanes.ended.findings)


def everything(lanes: BlockLanes) -> set[object]:
    """Return the ends that were met: all memory and all outcomes, which is far more than an end state."""
    return {(memory, outcomes, end) for (memory, _, outcomes), end in lanes.known.items()}


@pytest.mark.parametrize("candidate", ["candidate", "candidate-literal:H14"])
@pytest.mark.parametrize("number", [REFERENCE, CANDIDATE])
def test_a_block_has_the_ends_and_findings_of_all_its_schedules(number: int, candidate: str) -> None:
    """[get, put || free]: as above for small lanes, with real ones; the last reference is put by the scanner (H14)."""
    asked = program("h1 = malloc 3000", "r0 = speculative_get h1.0", "free h1")
    pruned = explored(asked, 1, candidate=candidate).phases[number]
    ends, found = naively(asked, 1, candidate, number)
    assert everything(pruned.lanes) == ends
    assert len(ends) > 1
    assert set(pruned.lanes.ended.findings) == found
    assert bool(found) == (candidate != "candidate" and number == CANDIDATE)


def test_writers_of_one_object_have_all_ends_that_both_orders_give() -> None:
    """h1 ends with one pattern or the other; a reader sees nothing, one or the other. Both sides have the same ends."""
    asked = program("h1 = malloc 64; write h1 0+8 0x01", "write h1 0+8 0x11", "read h1 0+8")
    exploration = explored(asked, 2)
    assert exploration.complete
    assert exploration.missing is None
    assert len(exploration.end_states(REFERENCE)) == 2
    assert exploration.end_states(REFERENCE).keys() == exploration.end_states(CANDIDATE).keys()


def test_an_end_that_only_the_candidate_has_is_a_finding() -> None:
    """zs_compact() counts what a free beside it freed: no single execution is wrong, the set of ends is."""
    clean, planted = explored(FREE_AND_COMPACT, 2), explored(FREE_AND_COMPACT, 2, "L-compact-count")
    assert clean.complete
    assert signatures(clean) == set()
    assert planted.complete
    assert signatures(planted) == {"divergence/end state/lanes/candidate compact"}
    assert [phase.search.bound for phase in planted.phases] == [2, 2, 3]


def test_no_other_oracle_sees_that_end() -> None:
    """The schedule that leads to it is clean when it is run on both sides."""
    planted = explored(FREE_AND_COMPACT, 2, "L-compact-count")
    met, block = next(planted.findings()), FREE_AND_COMPACT.block
    assert block is not None
    kept = replace(FREE_AND_COMPACT, block=Block(block.lanes, met.schedule))
    assert Runner("reference", "candidate", ("L-compact-count",)).run(kept).findings == ()


def test_an_end_of_the_candidate_needs_both_sides_complete() -> None:
    """A search that was stopped says nothing about what is missing, and is not complete."""
    exploration = Exploration(question(FREE_AND_COMPACT, 2, "L-compact-count"))
    exploration.begin()
    for _ in range(5):
        exploration.step()
    assert not exploration.complete
    assert not exploration.can_compare
    assert list(exploration.findings()) == []


def test_a_finding_before_the_block_ends_the_exploration() -> None:
    """The steps are judged as ever."""
    asked = program("h1 = malloc 3000; migrate h1.0 async", "free h1", "run_work")
    exploration = explored(asked, 1, candidate="candidate-literal:H05")
    assert exploration.before is not None
    assert not exploration.complete


def test_store_buffers_are_explored_without_reduction() -> None:
    """A switch may hold stores back: each way is tried, nothing is left out."""
    asked = program("h1 = malloc 64", "free h1", "run_work", switches="store_buffers")
    held = explored(asked, 1)
    plain = explored(program("h1 = malloc 64", "free h1", "run_work"), 1)
    assert held.complete
    assert held.counts.skipped == held.counts.slept == 0
    assert held.counts.interleavings > 10 * plain.counts.interleavings


# -- stopped and resumed


def figures(exploration: Exploration) -> tuple[object, ...]:
    return (
        exploration.counts,
        [(phase.number, phase.again, phase.search.ends) for phase in exploration.phases],
        [(met.finding, met.schedule) for met in exploration.findings()],
        exploration.end_states(CANDIDATE),
    )


@pytest.mark.parametrize("every", [1, 7])
def test_a_search_that_is_stopped_and_resumed_ends_as_one_that_is_not(every: int) -> None:
    """After each 1 or 7 executions everything is thrown away but the saved bytes."""
    asked = question(FREE_AND_COMPACT, 2 if every > 1 else 1, "L-compact-count")
    whole = explored(asked.program, asked.bound, "L-compact-count")
    exploration = Exploration(asked)
    exploration.begin()
    while not exploration.done:
        for _ in range(every):
            if not exploration.done:
                exploration.step()
        exploration, seconds = frontier.resume(frontier.pack(exploration, 1.5), asked, "x.state")
        assert seconds == 1.5
    assert figures(exploration) == figures(whole)


def test_a_state_belongs_to_its_question() -> None:
    """Another bound, another fault or a broken file: one line that says so."""
    exploration = Exploration(question(FREE_AND_COMPACT, 1))
    exploration.begin()
    saved = frontier.pack(exploration, 0.0)
    with pytest.raises(UsageError, match=r"x\.state: belongs to another"):
        frontier.resume(saved, question(FREE_AND_COMPACT, 2), "x.state")
    with pytest.raises(UsageError, match=r"x\.state: is damaged"):
        frontier.resume(saved[:-9], question(FREE_AND_COMPACT, 1), "x.state")
    with pytest.raises(UsageError, match=r"x\.state: is no state"):
        frontier.resume(b"nothing", question(FREE_AND_COMPACT, 1), "x.state")
