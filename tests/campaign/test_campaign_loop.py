"""The fuzz loop, with a runner whose findings the test decides.

In:    stand-ins of tests/campaign/fakes.py.
Out:   what the loop counts, confirms, keeps and when it stops.
Never: a machine, a real clock.
Next:  zsfuzz/campaign/loop.py, zsfuzz/campaign/findings.py.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from dataclasses import replace
from pathlib import Path

import pytest

from tests.campaign.fakes import FakeEngine, FakeRunner, Ticks, finding_at, sizes
from zsfuzz.campaign.fault import ProgramFault
from zsfuzz.campaign.loop import Campaign, Progress, StopFlag
from zsfuzz.campaign.settings import RunSettings
from zsfuzz.errors import UsageError
from zsfuzz.oracle.finding import Finding
from zsfuzz.program.block import Block
from zsfuzz.program.files import load_program, save_program
from zsfuzz.program.ops import Free, Malloc, Stats
from zsfuzz.program.program import Header, Program
from zsfuzz.report.summary import run_json, run_lines


def settings(tmp_path: Path, **changes: object) -> RunSettings:
    plain = RunSettings("reference", "candidate", "fake", None, 3, 7, tmp_path / "findings")
    return replace(plain, **changes)  # type: ignore[arg-type]  # field values of any type, by name


def campaign(
    chosen: RunSettings,
    programs: Iterable[Program],
    runner: FakeRunner | None = None,
    watch: Callable[[Progress], None] = lambda progress: None,
    stop: StopFlag | None = None,
) -> Campaign:
    return Campaign(chosen, FakeEngine(programs), runner or FakeRunner(), Ticks(), watch, stop or StopFlag())


def test_it_runs_exactly_as_many_programs_as_asked_and_sums_their_counts(tmp_path: Path) -> None:
    one = Program(Header(), (Malloc(0, 32), Stats(), Free(0)))
    it = campaign(settings(tmp_path, runs=5), [one])
    it.run()
    result = it.result()
    assert (result.tally.programs, result.tally.operations, result.tally.no_ops) == (5, 10, 5)
    assert result.tally.expected == {"E1": 5}
    assert result.tally.checks == {"full": 15}
    assert result.stopped == "5 programs"


def test_time_ends_it_but_one_program_always_runs(tmp_path: Path) -> None:
    it = campaign(settings(tmp_path, runs=None, seconds=1e-9), [sizes(32)])
    it.run()
    assert it.result().tally.programs == 1


def test_every_result_goes_back_to_the_engine(tmp_path: Path) -> None:
    engine = FakeEngine([sizes(32), sizes(5000)])
    Campaign(settings(tmp_path), engine, FakeRunner(), Ticks(), lambda progress: None, StopFlag()).run()
    assert [len(result.findings) for _, result in engine.told] == [0, 1, 0]


def test_a_finding_is_run_again_with_a_comparison_after_every_step(tmp_path: Path) -> None:
    runner = FakeRunner()
    campaign(settings(tmp_path, runs=1), [sizes(5000)], runner).run()
    assert [cadence for _, cadence in runner.calls] == [None, 1]


def test_the_signature_of_the_careful_run_is_the_one_reported(tmp_path: Path) -> None:
    class Hasty(FakeRunner):
        def run(self, program, *, cadence=None, observer=None):  # type: ignore[no-untyped-def]
            self.rule = lambda _: finding_at(0, "late") if cadence is None else finding_at(0, "early")
            return super().run(program, cadence=cadence, observer=observer)

    it = campaign(settings(tmp_path, runs=1), [sizes(1)], Hasty())
    it.run()
    assert [kept.finding.rule for kept in it.result().findings] == ["early"]


def test_a_finding_that_does_not_come_again_is_a_fault_of_ours_and_its_program_is_kept(
    tmp_path: Path,
) -> None:
    once: list[Finding | None] = [finding_at(0)]
    runner = FakeRunner(lambda program: once.pop() if once else None)
    it = campaign(settings(tmp_path), [sizes(1)], runner)
    with pytest.raises(ProgramFault, match="not deterministic") as caught:
        it.run()
    assert load_program(Path(caught.value.path)).steps == sizes(1).steps
    assert "not deterministic" in it.result().stopped


def test_the_run_goes_on_after_a_finding_and_counts_one_signature_once(tmp_path: Path) -> None:
    it = campaign(settings(tmp_path, runs=6), [sizes(5000), sizes(1, 6000), sizes(13)])
    it.run()
    kept = it.result().findings
    assert [(each.finding.rule, each.hits) for each in kept] == [("I6", 4), ("I7", 2)]
    assert it.result().tally.programs == 6


def test_stop_on_first_stops_at_the_first(tmp_path: Path) -> None:
    it = campaign(settings(tmp_path, runs=6, stop_on_first=True), [sizes(1), sizes(5000)])
    it.run()
    assert (it.result().tally.programs, it.result().stopped) == (2, "first finding")


def test_steps_behind_the_finding_are_cut_off(tmp_path: Path) -> None:
    """[1 5000 2 3] -> [1 5000]: a run stops at its finding, so the rest never ran."""
    it = campaign(settings(tmp_path, runs=1), [sizes(1, 5000, 2, 3)])
    it.run()
    assert it.result().findings[0].program.steps == sizes(1, 5000).steps


BLOCK = Block(((Stats(), Stats()), (Stats(),)))


def test_a_block_behind_the_finding_is_cut_off(tmp_path: Path) -> None:
    it = campaign(settings(tmp_path, runs=1), [replace(sizes(1, 5000), block=BLOCK)])
    it.run()
    assert it.result().findings[0].program.steps == sizes(1, 5000).steps
    assert it.result().findings[0].program.block is None


def test_a_finding_in_the_block_keeps_it_and_counts_its_operations(tmp_path: Path) -> None:
    runner = FakeRunner(lambda program: finding_at(len(program.steps)))
    it = campaign(settings(tmp_path, runs=2), [replace(sizes(1), block=BLOCK), sizes(1, 2, 3)], runner)
    it.run()
    (kept,) = it.result().findings
    assert kept.program.steps == sizes(1, 2, 3).steps, "three operations are fewer than four"
    assert kept.as_json()["steps"] == 3
    it = campaign(settings(tmp_path / "again", runs=1), [replace(sizes(1), block=BLOCK)], runner)
    it.run()
    (kept,) = it.result().findings
    assert (kept.program.block, kept.as_json()["steps"]) == (BLOCK, 4)


def test_a_cut_that_hides_the_finding_is_not_made(tmp_path: Path) -> None:
    runner = FakeRunner(lambda program: finding_at(0) if len(program.steps) == 3 else None)
    it = campaign(settings(tmp_path, runs=1), [sizes(1, 2, 3)], runner)
    it.run()
    assert it.result().findings[0].program.steps == sizes(1, 2, 3).steps


def test_a_finding_at_the_end_keeps_every_step(tmp_path: Path) -> None:
    runner = FakeRunner(lambda program: finding_at(len(program.steps)))
    it = campaign(settings(tmp_path, runs=1), [sizes(1, 2)], runner)
    it.run()
    assert len(it.result().findings[0].program.steps) == 2


def test_a_shorter_program_replaces_the_kept_one_and_a_longer_one_does_not(tmp_path: Path) -> None:
    chosen = settings(tmp_path, runs=3)
    it = campaign(chosen, [sizes(1, 2, 5000), sizes(5000), sizes(1, 5000)])
    it.run()
    (kept,) = it.result().findings
    assert kept.program.steps == sizes(5000).steps
    assert load_program(kept.path).steps == sizes(5000).steps
    assert json.loads(kept.path.with_suffix(".json").read_text())["hits"] == 3


def test_the_file_says_what_it_was_found_with(tmp_path: Path) -> None:
    chosen = settings(tmp_path, runs=1, candidate="candidate-literal", faults=("H05",))
    program = replace(sizes(5000), header=Header(faults=("F9",)))
    it = campaign(chosen, [program])
    it.run()
    (kept,) = it.result().findings
    header = load_program(kept.path).header
    assert (header.reference, header.candidate) == ("reference", "candidate-literal")
    assert header.faults == ("F9", "H05")
    assert header.verdict == kept.finding.signature
    described = json.loads(kept.path.with_suffix(".json").read_text())
    assert {"id", "signature", "kind", "target", "program", "replay", "hits", "seed"} <= described.keys()


def test_a_shorter_program_of_an_earlier_campaign_is_not_overwritten(tmp_path: Path) -> None:
    chosen = settings(tmp_path, runs=1)
    campaign(chosen, [sizes(5000)]).run()
    it = campaign(chosen, [sizes(1, 2, 6000)])
    it.run()
    (kept,) = it.result().findings
    assert load_program(kept.path).steps == sizes(5000).steps
    assert len(kept.program.steps) == 3  # what this campaign reports does not depend on the folder


def test_an_earlier_file_that_no_longer_shows_the_finding_is_replaced(tmp_path: Path) -> None:
    chosen = settings(tmp_path, runs=1)
    campaign(chosen, [sizes(5000)]).run()
    (path,) = chosen.findings.glob("*.zst")
    save_program(replace(load_program(path), steps=sizes(1).steps), path)
    campaign(chosen, [sizes(1, 6000)]).run()
    assert load_program(path).steps == sizes(1, 6000).steps


def test_an_earlier_file_that_needs_another_fault_is_replaced(tmp_path: Path) -> None:
    chosen = settings(tmp_path, runs=1)
    campaign(replace(chosen, faults=("H05",)), [sizes(5000)]).run()
    campaign(chosen, [sizes(1, 6000)]).run()
    (path,) = chosen.findings.glob("*.zst")
    assert load_program(path).header.faults == ()
    assert load_program(path).steps == sizes(1, 6000).steps


def test_a_damaged_earlier_file_is_replaced(tmp_path: Path) -> None:
    chosen = settings(tmp_path, runs=1)
    campaign(chosen, [sizes(5000)]).run()
    (path,) = chosen.findings.glob("*.zst")
    path.write_bytes(b"zsfuzz 1\n\x00")
    campaign(chosen, [sizes(1, 6000)]).run()
    assert load_program(path).steps == sizes(1, 6000).steps


def test_a_runner_that_raises_leaves_the_program_on_disk(tmp_path: Path) -> None:
    def rule(program: Program) -> Finding | None:
        if program == sizes(2):
            raise ValueError("boom")
        return None

    it = campaign(settings(tmp_path), [sizes(1), sizes(2)], FakeRunner(rule))
    with pytest.raises(ProgramFault, match="ValueError: boom") as caught:
        it.run()
    assert load_program(Path(caught.value.path)).steps == sizes(2).steps
    assert it.result().tally.programs == 1


def test_a_fault_does_not_lose_the_findings_before_it(tmp_path: Path) -> None:
    def rule(program: Program) -> Finding | None:
        if program == sizes(2):
            raise ValueError("boom")
        return finding_at(0)

    it = campaign(settings(tmp_path), [sizes(1), sizes(1), sizes(2)], FakeRunner(rule))
    with pytest.raises(ProgramFault):
        it.run()
    (kept,) = it.result().findings
    assert json.loads(kept.path.with_suffix(".json").read_text())["hits"] == 2


def test_the_stop_flag_ends_it_after_the_program_that_runs(tmp_path: Path) -> None:
    stop = StopFlag()

    def rule(program: Program) -> Finding | None:
        stop.reason = "stopped by SIGINT"
        return finding_at(0)

    it = campaign(settings(tmp_path, runs=100), [sizes(1)], FakeRunner(rule), stop=stop)
    it.run()
    assert (it.result().stopped, it.result().tally.programs) == ("stopped by SIGINT", 1)
    assert len(it.result().findings) == 1


def test_an_interrupt_in_the_middle_of_a_program_keeps_what_was_found(tmp_path: Path) -> None:
    def rule(program: Program) -> Finding | None:
        if program == sizes(2):
            raise KeyboardInterrupt
        return finding_at(0)

    it = campaign(settings(tmp_path), [sizes(1), sizes(2)], FakeRunner(rule))
    it.run()
    assert (it.result().stopped, len(it.result().findings)) == ("interrupted", 1)


def test_a_full_disk_is_the_users_to_mend(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(source: object, target: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    it = campaign(settings(tmp_path), [sizes(5000)])
    with pytest.raises(UsageError, match="No space left on device") as caught:
        it.run()
    assert "\n" not in str(caught.value)
    assert it.result().findings[0].hits == 1


def test_no_part_of_a_file_is_left_behind_when_the_disk_is_full(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(source: object, target: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.replace", full)
    with pytest.raises(UsageError):
        campaign(settings(tmp_path), [sizes(5000)]).run()
    assert list((tmp_path / "findings").iterdir()) == []


def test_equal_programs_give_equal_reports_times_aside(tmp_path: Path) -> None:
    reports = []
    for attempt in range(2):
        it = campaign(settings(tmp_path, runs=7), [sizes(5000, 1), sizes(1), sizes(13)])
        it.run()
        document = run_json(it.result())
        document.pop("seconds")
        reports.append(json.dumps(document))
        assert attempt or document["findings"]
    assert reports[0] == reports[1]


def test_the_json_has_every_key_of_the_contract(tmp_path: Path) -> None:
    it = campaign(settings(tmp_path), [sizes(5000)])
    it.run()
    document = run_json(it.result())
    wanted = "engine seed targets seconds programs operations no_ops concurrent_cases findings"
    assert {*wanted.split(), "expected_differences"} <= document.keys()
    assert {"id", "signature", "kind", "target", "program", "replay"} <= document["findings"][0].keys()


def test_the_summary_tells_how_to_replay_each_finding(tmp_path: Path) -> None:
    it = campaign(settings(tmp_path), [sizes(5000)])
    it.run()
    text = "\n".join(run_lines(it.result()))
    (kept,) = it.result().findings
    assert f"zsfuzz replay {kept.path}" in text
    assert kept.finding.signature in text
    assert "reference | candidate" in text


def test_progress_is_shown_now_and_then_and_at_the_end(tmp_path: Path) -> None:
    seen: list[Progress] = []
    campaign(settings(tmp_path, runs=200), [sizes(1)], watch=seen.append).run()
    assert 2 <= len(seen) < 100
    assert seen[-1].programs == 200
    assert seen[-1].programs_left == 0
