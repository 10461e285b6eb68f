"""Block judge: every judgement has a planted bug that it sees, the sound pair passes, and a run is a pure function."""

from __future__ import annotations

from dataclasses import replace

import pytest

from tests.execute.blocks import block, clean_lanes, found_in_lanes, with_chance
from tests.execute.programs import program
from zsfuzz.execute import block_judge
from zsfuzz.execute.runner import Runner
from zsfuzz.oracle.finding import Finding
from zsfuzz.oracle.linearize import Linearization, Verdict
from zsfuzz.program import ops
from zsfuzz.program.program import Program

STRADDLING = "\n".join(f"h{slot} = malloc 3000" for slot in range(6))
"""Objects of which some lie on two pages."""


def found_by(target: str, made: Program) -> Finding:
    """Run the reference against a candidate with a bug; the sound candidate is clean."""
    clean_lanes(made)
    result = Runner("reference", f"tests.execute.lane_bugs:{target}").run(made)
    assert result.findings, "nothing was found"
    return result.findings[0]


# -- the specification


@pytest.mark.parametrize(("fault", "side"), [("A19", "reference"), ("L-area", "candidate")])
def test_two_lanes_that_share_a_buffer_are_not_linearizable(fault: str, side: str) -> None:
    """
    lane 0  map h1 |              | write h1, unmap       one buffer for both: h1 is what h2 was
    lane 1         | map, read h2 |
    """
    made = block(
        STRADDLING,
        "write h1 0+3000 1\nread h1 0+3000",
        "write h2 0+3000 2\nread h2 0+3000",
        schedule="0.0+13>1 0.1+10>1 0.1+14>1 0.1+24>1 1.0+16>0 1.0+34>0 1.1+7>0",
    )
    finding = found_in_lanes(made, fault)
    assert (finding.kind, finding.rule, finding.target) == ("contract", "not linearizable", side)
    assert finding.field == "bytes" and finding.request == "lanes"
    details = dict(finding.details)
    assert "write 3000 at 0" in details["longest prefix"] and "read 3000 at 0" in details["breaks it"]


def test_an_allocation_that_fails_for_no_reason_is_not_linearizable() -> None:
    made = block("", "h0 = malloc 100", "h1 = malloc 100")
    finding = found_by("FailsElsewhere", made)
    assert (finding.kind, finding.rule, finding.field) == ("contract", "not linearizable", "malloc")


def test_an_allocation_that_was_made_to_fail_is_excused() -> None:
    """And the slot is empty: later uses of it are no-ops, on that side."""
    made = block("", "fail malloc page 0\nh0 = malloc 100\nwrite h0 0+10 1\nfree h0", "h1 = malloc 100")
    result = clean_lanes(made)
    assert (result.operations, result.no_ops) == (3, 2)


def test_a_search_that_met_its_bound_is_counted_and_is_no_finding(monkeypatch: pytest.MonkeyPatch) -> None:
    """Without an order the reference cannot run again, and both drain."""
    monkeypatch.setattr(block_judge, "linearize", lambda *_: Linearization(Verdict.UNKNOWN))
    checks = clean_lanes(block(STRADDLING, "write h1 0+10 1", "write h1 0+10 2", schedule="0.0+10>1")).checks
    assert checks["unknown"] == 2 and "linearizable" not in checks and "run again" not in checks
    assert checks["drain"] == 1


# -- the reference, one operation after the other


def test_an_answer_that_is_wrong_on_one_cpu_is_an_outcome_in_lanes() -> None:
    made = block("h0 = malloc 100", "huge_class_size", "huge_class_size")
    finding = found_in_lanes(made, "L-size")
    assert (finding.kind, finding.rule, finding.field) == ("divergence", "outcome in lanes", "huge_class_size")
    assert finding.target == "both"


def test_a_handle_that_only_one_side_has_is_a_divergence(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing an allocator can do leads there unseen; the comparison is shown a candidate without a handle."""
    original = block_judge.BlockJudge._compare_calls

    def without_a_handle(self: block_judge.BlockJudge, *arguments: object) -> None:
        self._sides[1].handles.popitem()
        original(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(block_judge.BlockJudge, "_compare_calls", without_a_handle)
    finding = Runner().run(block("h0 = malloc 100", "h1 = malloc 100", "stats")).findings[0]
    assert (finding.kind, finding.rule) == ("divergence", "live handles")


def test_the_order_of_the_reference_is_that_of_the_candidate() -> None:
    """
    Lane 1 frees and allocates before lane 0 does; the other order would end with other bytes.
    lane 0  |                      | write h0 1
    lane 1  | write h0 2, read h0  |
    """
    made = block(
        "h0 = malloc 100",
        "write h0 0+100 1\nread h0 0+100",
        "write h0 0+100 2\nread h0 0+100",
        schedule="0.0+0>1",
    )
    result = clean_lanes(made)
    assert result.checks["run again"] == 1


# -- what is left


def test_frames_that_one_cpu_loses_are_seen_when_all_is_given_back() -> None:
    finding = found_in_lanes(block("h0 = malloc 3000", "stats", "free h0\nrun_work"), "L-poison")
    assert (finding.kind, finding.rule) == ("divergence", "drained state")
    assert finding.field == "nr_free_pages, candidate lower"


# -- checks of one side


def test_a_lock_that_an_operation_leaves_behind_is_seen_at_its_end() -> None:
    """Lane 1 goes on, and ends, before anybody else could want the lock."""
    finding = found_by("LeavesALock", block("h0 = malloc 100", "stats", "compact\nread h0 0+10"))
    assert (finding.kind, finding.rule) == ("invariant", "I5 lock held at quiescence")
    assert finding.field.endswith("lock")


BREAK, REPAIR = "shrink count", "shrink scan"


def test_what_is_broken_between_two_operations_is_seen_at_a_quiet_point() -> None:
    """Broken, repaired, and sound again at the end."""
    finding = found_by("BrokenForAWhile", block("h0 = malloc 100", "stats", f"{BREAK}\nstats\n{REPAIR}"))
    assert (finding.kind, finding.rule) == ("invariant", "I2 pages_allocated")
    assert finding.target == "candidate"


def test_no_point_is_quiet_while_a_lane_holds_a_map() -> None:
    """The same, and lane 0 holds a map meanwhile: nobody looks."""
    made = block("h0 = malloc 100", "map h0 rw\nread h0 0+10\nunmap h0", f"{BREAK}\n{REPAIR}", schedule="0.1+0>1")
    clean_lanes(made)
    result = Runner("reference", "tests.execute.lane_bugs:BrokenForAWhile").run(made)
    assert not result.findings
    assert result.checks["quiet points"] > 0


def test_what_is_broken_at_the_end_is_seen_at_the_join() -> None:
    """
    lane 0  map h0, in the middle |       | holds it to its end        no point was quiet
    lane 1                        | break |
    """
    made = block("h0 = malloc 100", "map h0 rw", BREAK, schedule="0.0+3>1")
    finding = found_by("BrokenForAWhile", made)
    assert (finding.kind, finding.rule) == ("invariant", "I2 pages_allocated")
    assert clean_lanes(made).checks["quiet points"] == 0


def test_a_counter_that_leaves_its_range_for_a_moment_is_seen_at_the_store() -> None:
    finding = found_by("NegativeForAMoment", block("h0 = malloc 100", "stats", "huge_class_size"))
    assert (finding.kind, finding.field) == ("invariant", "pages_allocated")
    assert "outside" in finding.message


def test_a_sleeper_that_nobody_wakes_is_seen_and_no_function_is_to_blame() -> None:
    made = block(
        "create_pool z1\nh0 = malloc 3000 z1\np0 = isolate h0.0\nfree h0",
        "destroy_pool z1",
        "putback p0",
    )
    for fault in ("L-no-wake", "L-wake"):
        finding = found_in_lanes(made, fault)
        assert (finding.kind, finding.rule, finding.functions) == ("progress", "lost wake-up", ())


def test_an_exception_of_a_target_in_a_lane_is_a_finding() -> None:
    finding = found_by("Raises", block("h0 = malloc 100", "stats", "compact"))
    assert (finding.kind, finding.rule, finding.functions) == ("crash", "KeyError", ("zs_compact",))
    assert (finding.target, finding.request) == ("candidate", "lanes")


# -- counts


def test_checks_are_counted() -> None:
    made = block(STRADDLING, "write h1 0+100 1\nfree h1", "compact\nmigrate h2.0 sync", schedule="0.0+9>1")
    checks = clean_lanes(made).checks
    assert checks["linearizable"] == 2 and checks["joins"] == 2
    assert checks["run again"] == 1 and checks["drain"] == 1
    assert checks["operation ends"] == 8, "of four operations on two sides"
    assert 0 < checks["quiet points"] <= 8
    assert checks["points"] > 100 and checks["words"] > 10 and checks["switches"] >= 2
    assert checks["invariants"] > checks["quiet points"]


def test_effective_operations_are_the_candidates() -> None:
    made = block("h0 = malloc 100", "read h0 0+10\nfree h5", "write h0 0+10 1\nread h5 0+8\nh1 = malloc 64")
    result = clean_lanes(made)
    assert (result.operations, result.no_ops) == (1 + 3, 2)


# -- a pure function of the program

BUSY = block(
    STRADDLING,
    "write h1 0+3000 1\nfree h0\nh0 = malloc 3000\nread h1 0+3000",
    "compact\nmigrate h2.0 h2.1 sync\np0 = isolate h3.0\nputback p0",
    "run_work\nscan speculative_get 0..64\nr0 = speculative_get h1.0\nspeculative_put r0",
)


@pytest.mark.parametrize("leader", [0, 1])
@pytest.mark.parametrize("policy", ["random", "pct3", "pos", "uniform", "round-robin"])
def test_a_program_always_gives_the_same_result(policy: str, leader: int) -> None:
    """On a runner that has run others in between, and on one that does not go on from checkpoints."""
    used, full = Runner(), Runner(resumes=False)
    for seed in range(4):
        made = with_chance(BUSY, policy, seed, leader)
        first = used.run(made)
        assert not first.findings, first.findings[0].message
        used.run(program("h0 = malloc 100\nmigrate h0.0 sync"))
        assert used.run(made) == first == full.run(made)


def test_runs_go_on_from_the_checkpoint_before_the_block() -> None:
    steps = tuple(ops.Malloc(slot, 3000) for slot in range(40))
    resuming, full = Runner(), Runner(resumes=False)
    for seed in range(6):
        made = replace(with_chance(BUSY, "random", seed), steps=steps)
        assert resuming.run(made) == full.run(made)
    assert resuming.steps_resumed >= 4 * len(steps)


def test_a_finding_comes_again_on_every_run() -> None:
    made = with_chance(block(STRADDLING, "write h1 0+3000 1\nread h1 0+3000", "write h2 0+3000 2"), "random", 0)
    runner = Runner(faults=("L-area",))
    seeds = [replace(made, block=with_chance(made, "random", seed).block) for seed in range(30)]
    results = [runner.run(each) for each in seeds]
    assert any(each.findings for each in results)
    assert [runner.run(each) for each in seeds] == results


def test_a_block_leaves_nothing_behind_for_the_next_program() -> None:
    sequential = program("h0 = malloc 100\ncompact\nmigrate h0.0 sync")
    runner = Runner()
    before = runner.run(sequential)
    for fault_free in (BUSY, block("", "stats", "stats")):
        clean_lanes(fault_free, runner)
        assert runner.run(sequential) == before
    broken = Runner(faults=("L-wake",))
    made = block("create_pool z1\nh0 = malloc 3000 z1\np0 = isolate h0.0\nfree h0", "destroy_pool z1", "putback p0")
    assert [bool(broken.run(made).findings) for _ in range(3)] == [True] * 3
    assert not broken.run(BUSY).findings
