"""The mutation score: how many small changes of the models the fuzzer sees.

In:    how many mutants, a seed, a budget each; a store; the reasons that somebody wrote down.
Out:   Score: killed, survived, and which survivors are equivalent by a written reason.
Never: a survivor that counts as equivalent without a reason.
Next:  the mutants: zsfuzz/measure/mutants.py; the reasons: zsfuzz/measure/equivalent.toml.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from zsfuzz.errors import HarnessError
from zsfuzz.measure.mutants import Mutant, all_mutants, sample
from zsfuzz.measure.mutating import HANG, SURVIVED
from zsfuzz.measure.processes import run_jobs, wall_limit
from zsfuzz.measure.store import Store

REASONS: Final = Path(__file__).resolve().with_name("equivalent.toml")
_FIELDS: Final = ("path", "function", "operator", "before", "after")


@dataclass(frozen=True, slots=True)
class Reason:
    """Why mutants that fit five patterns change nothing that can be seen. "*" in a pattern stands for any text."""

    patterns: Mapping[str, str]
    reason: str

    def fits(self, mutant: Mutant) -> bool:
        """Return whether a mutant fits all patterns."""
        return all(_matches(self.patterns.get(name, "*"), getattr(mutant, name)) for name in _FIELDS)


def _matches(pattern: str, text: str) -> bool:
    return re.fullmatch(".*".join(re.escape(part) for part in pattern.split("*")), text) is not None


def reasons() -> list[Reason]:
    """Return what is written down. Errors: HarnessError for an entry without a reason or with an unknown field."""
    found = []
    for entry in tomllib.loads(REASONS.read_text(encoding="utf-8")).get("equivalent", []):
        patterns = {name: value for name, value in entry.items() if name != "reason"}
        if len(entry.get("reason", "").split()) < 4 or not set(patterns) <= set(_FIELDS) or not patterns:
            raise HarnessError(f"{REASONS.name}: an entry needs patterns of {', '.join(_FIELDS)} and a reason: {entry}")
        found.append(Reason(patterns, entry["reason"]))
    return found


@dataclass(frozen=True, slots=True)
class MutantResult:
    """What became of a mutant. killed_by: a finding's kind, "import", "boot", "oracle crashed", "hang" or "survived".
    reason: why a survivor is equivalent, "" when nobody said.
    """

    mutant: Mutant
    killed_by: str
    detail: str
    seconds: float
    programs: int
    reason: str = ""

    @property
    def survived(self) -> bool:
        """Return whether nothing killed it."""
        return self.killed_by == SURVIVED


@dataclass(frozen=True, slots=True)
class Score:
    """All results. raw: killed of all. adjusted: killed of those that are not equivalent by a written reason."""

    results: tuple[MutantResult, ...]
    budget: float
    seed: int
    population: int

    @property
    def total(self) -> int:
        """Return how many mutants ran."""
        return len(self.results)

    @property
    def survivors(self) -> tuple[MutantResult, ...]:
        """Return those that nothing killed."""
        return tuple(each for each in self.results if each.survived)

    @property
    def killed(self) -> int:
        """Return how many were killed."""
        return self.total - len(self.survivors)

    @property
    def equivalent(self) -> int:
        """Return how many survivors a written reason calls equivalent."""
        return sum(bool(each.reason) for each in self.survivors)

    @property
    def raw(self) -> float:
        """Return the share killed."""
        return self.killed / max(self.total, 1)

    @property
    def adjusted(self) -> float:
        """Return the share killed of those that are not equivalent."""
        return self.killed / max(self.total - self.equivalent, 1)

    def killers(self) -> dict[str, int]:
        """Return how many mutants each sort of oracle killed, most first."""
        return dict(Counter(each.killed_by for each in self.results).most_common())

    def as_json(self) -> dict[str, Any]:
        """Return plain data."""
        return {
            "mutants": self.total,
            "population": self.population,
            "budget": self.budget,
            "seed": self.seed,
            "killed": self.killed,
            "equivalent": self.equivalent,
            "score": self.raw,
            "score_without_equivalent": self.adjusted,
            "killed_by": self.killers(),
            "survivors": [
                {"mutant": each.mutant.describe(), "reason": each.reason, "diff": each.mutant.diff()}
                for each in self.survivors
            ],
        }


@dataclass(frozen=True, slots=True)
class MutantProgress:
    """Where a run over mutants is. last: the mutant that ended last, as text."""

    done: int
    total: int
    killed: int
    last: str


def run_mutants(
    wanted: int, seed: int, budget: float, store: Store, at_once: int, watch: Callable[[MutantProgress], None]
) -> Score:
    """Run a sample of mutants, those that are not in the store yet. Errors: HarnessError for a broken worker."""
    population = all_mutants()
    mutants = sample(population, wanted, seed)
    written = reasons()
    documents: dict[int, dict[str, Any]] = {}
    for number, mutant in enumerate(mutants):
        kept = store.load(name_of(mutant, seed), budget)
        if kept is not None:
            documents[number] = kept
    missing = [number for number in range(len(mutants)) if number not in documents]

    def show(last: str) -> None:
        killed = sum(each["killed_by"] != SURVIVED for each in documents.values())
        watch(MutantProgress(len(documents), len(mutants), killed, last))

    show("")
    jobs = [{"mutant": asdict(mutants[number]), "budget": budget, "seed": seed} for number in missing]
    for job_number, result in run_jobs(jobs, at_once, wall_limit(budget)):
        number = missing[job_number]
        document = result or {"killed_by": HANG, "detail": "", "seconds": budget, "programs": 0, "budget": budget}
        store.save(name_of(mutants[number], seed), document)
        documents[number] = document
        show(f"; {mutants[number].describe()}: {document['killed_by']}")
    results = tuple(_result(mutant, documents[number], written) for number, mutant in enumerate(mutants))
    return Score(results, budget, seed, len(population))


def name_of(mutant: Mutant, seed: int) -> str:
    """Return a file name for a mutant's result."""
    digest = hashlib.sha256(mutant.describe().encode()).hexdigest()[:16]
    return f"mutant-{digest}-{seed}"


def _result(mutant: Mutant, document: Mapping[str, Any], written: list[Reason]) -> MutantResult:
    reason = ""
    if document["killed_by"] == SURVIVED:
        reason = next((each.reason for each in written if each.fits(mutant)), "")
    return MutantResult(
        mutant, document["killed_by"], document["detail"], document["seconds"], document["programs"], reason
    )
