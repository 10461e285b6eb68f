"""Mutants are what the operators say, are keyed by what does not move, and never touch a file.

In:    small sources; mutants of the models that are known to die or to live.
Out:   nothing.
Never: a sample: that is what `zsfuzz faults bench --mutants` is for.
"""

from __future__ import annotations

import ast
import importlib
import json
import time
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from zsfuzz.errors import HarnessError
from zsfuzz.measure import mutants as mutants_module
from zsfuzz.measure import score as score_module
from zsfuzz.measure.mutants import Mutant, all_mutants, model_files, mutants_of, sample, source_of
from zsfuzz.measure.mutating import Hang, hang_guard, install
from zsfuzz.measure.processes import run_jobs
from zsfuzz.measure.score import MutantResult, Reason, Score, reasons

SOURCE = '''
class Model:
    """Docstrings 1 + 1 are left alone."""

    SIZE: int = 8

    def free(self, page: int, twice: bool = False) -> int:
        """Nor is this: 2 + 2."""
        count = page + 1
        if count < self.limit and not twice:
            self.k.put(page)
        self.k.reset(page)
        while page:
            break
        return ~count if page in self.pages else 0
'''


def changes(source: str, operator: str) -> list[tuple[str, str]]:
    return [(each.before, each.after) for each in mutants_of("m.py", source) if each.operator == operator]


def test_every_operator_makes_its_changes() -> None:
    assert changes(SOURCE, "operator") == [("page + 1", "((page) - (1))"), ("~count", "(count)")]
    assert changes(SOURCE, "comparison") == [
        ("count < self.limit", "((count) <= (self.limit))"),
        ("count < self.limit", "((count) >= (self.limit))"),
        ("page in self.pages", "((page) not in (self.pages))"),
    ]
    assert ("not twice", "bool(twice)") in changes(SOURCE, "logic")
    assert ("1", "2") in changes(SOURCE, "constant") and ("0", "(-1)") in changes(SOURCE, "constant")
    assert ("page", "not (page)") in changes(SOURCE, "condition")
    assert ("page", "True") not in changes(SOURCE, "condition"), "a loop for ever tells nothing"
    assert ("self.k.put(page)", "pass") in changes(SOURCE, "deletion")
    assert ("break", "pass") in changes(SOURCE, "deletion")


def test_text_annotations_and_class_data_are_left_alone() -> None:
    befores = {each.before for each in mutants_of("m.py", SOURCE)}
    assert not any("2 + 2" in each or "1 + 1" in each for each in befores)
    assert "8" not in befores and "False" not in befores


def test_two_statements_change_places_unless_they_are_independent_for_sure() -> None:
    source = "def f(self):\n    self.a.store(1)\n    self.b.store(2)\n    count = 1\n    self.c.store(3)\n"
    assert changes(source, "order") == [
        ("self.a.store(1) self.b.store(2)", "self.b.store(2) self.a.store(1)"),
    ]
    dependent = "def f(self, x):\n    y = x\n    self.store(y)\n"
    assert len(changes(dependent, "order")) == 1


def test_every_mutant_of_the_models_is_a_program_and_has_a_key_of_its_own() -> None:
    found = all_mutants()
    assert len(found) > 2000
    assert len({each.describe() for each in found}) == len(found)
    for each in sample(found, 60, 1):
        ast.parse(each.mutated())
        assert each.mutated() != source_of(each.path) and each.diff()


def test_a_key_survives_when_lines_move() -> None:
    moved = "\n\n# a comment\n" + SOURCE.replace('"""Nor', '"""\n        Nor')
    assert [each.describe() for each in mutants_of("m.py", SOURCE)] == [
        each.describe() for each in mutants_of("m.py", moved)
    ]


def test_a_sample_changes_little_when_the_sources_do() -> None:
    found = all_mutants()
    drawn = {each.describe() for each in sample(found, 100, 7)}
    assert len(drawn) == 100 and drawn != {each.describe() for each in sample(found, 100, 8)}
    later = {each.describe() for each in sample(found[: len(found) * 9 // 10], 100, 7)}
    assert len(drawn & later) >= 75


def test_planted_bugs_are_not_mutated() -> None:
    names = {Path(each).name for each in model_files()}
    assert {"migration.py", "lifetime.py"} <= names
    assert not names & {"faults.py", "rare_faults.py", "lane_faults.py", "hazards.py", "slips.py"}


def one(path: str, function: str, before: str, after: str) -> Mutant:
    for each in mutants_of(path, source_of(path)):
        if (each.function, each.before, each.after) == (function, before, after):
            return each
    raise AssertionError(f"no mutant {function}: {before} -> {after}")


def run(mutant: Mutant, budget: float = 1.0) -> dict[str, Any]:
    """Run a mutant in a process of its own."""
    [(_, result)] = run_jobs([{"mutant": asdict(mutant), "budget": budget, "seed": 0}], 1, 300)
    assert result is not None
    return result


def test_a_mutant_dies_in_its_process_and_the_source_stays() -> None:
    before = source_of("reference/migration.py")
    result = run(one("reference/migration.py", "Migration.drop_old_page", "self.d.put_page(page)", "pass"))
    assert result["killed_by"] in ("invariant", "divergence", "progress") and result["programs"] > 0
    assert source_of("reference/migration.py") == before


def test_a_mutant_that_cannot_be_imported_is_dead() -> None:
    mutant = one("candidate/layout.py", "check_layout", "layout.SECOND + 4", "((layout.SECOND) - (4))")
    assert run(mutant)["killed_by"] == "import"


def test_a_mutant_that_changes_nothing_survives() -> None:
    mutant = one("reference/compaction.py", "Compaction.compact_class", "pages_freed = rounds = 0", "pass")
    assert run(mutant)["killed_by"] != "survived"
    same = Mutant(**{**asdict(mutant), "new": source_of(mutant.path).encode()[mutant.start : mutant.end].decode()})
    assert run(same, 0.2)["killed_by"] == "survived"


def _loop_for_ever() -> None:
    while True:
        pass


def test_a_loop_for_ever_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zsfuzz.measure.mutating.HANG_SECONDS", 0.05)
    with pytest.raises(Hang), hang_guard():
        _loop_for_ever()
    with hang_guard():
        time.sleep(0.001)


def test_a_module_that_is_imported_already_is_no_place_for_a_mutant() -> None:
    importlib.import_module("reference.migration")
    with pytest.raises(HarnessError, match="needs a process of its own"):
        install(mutants_of("reference/migration.py", source_of("reference/migration.py"))[0])


# -- the score


def result(killed_by: str, reason: str = "") -> MutantResult:
    return MutantResult(all_mutants()[0], killed_by, "", 1.0, 1, reason)


def test_a_survivor_counts_until_a_reason_is_written_down() -> None:
    score = Score((result("invariant"), result("import"), result("survived"), result("survived", "why")), 30, 1, 9)
    assert (score.killed, score.equivalent) == (2, 1)
    assert score.raw == 0.5 and score.adjusted == pytest.approx(2 / 3)
    assert json.loads(json.dumps(score.as_json()))["survivors"][0]["diff"]


def test_patterns_fit_whole_texts_and_stars_stand_for_anything() -> None:
    mutant = mutants_of("m.py", SOURCE)[0]
    assert Reason({"path": "m.py", "before": "page*"}, "").fits(mutant) == mutant.before.startswith("page")
    assert not Reason({"path": "m"}, "").fits(mutant)
    assert Reason({"function": "Model.*"}, "").fits(mutant)
    assert not Reason({"function": "Mode[l].free"}, "").fits(mutant), "brackets are brackets"


def test_every_written_reason_fits_a_mutant_that_exists() -> None:
    found = all_mutants()
    unused = [each.patterns for each in reasons() if not any(each.fits(mutant) for mutant in found)]
    assert unused == []


def test_an_entry_without_a_reason_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "reasons.toml"
    monkeypatch.setattr(score_module, "REASONS", path)
    for text in ('path = "m.py"', 'reason = "it is the same thing"', 'line = 3\nreason = "it is the same thing"'):
        path.write_text(f"[[equivalent]]\n{text}\n")
        with pytest.raises(HarnessError, match="an entry needs"):
            reasons()
    path.write_text('[[equivalent]]\npath = "m.py"\nreason = "it is the same thing"\n')
    assert len(reasons()) == 1


def test_nothing_but_this_project_is_mutated() -> None:
    assert mutants_module.PACKAGES == ("reference", "candidate")
