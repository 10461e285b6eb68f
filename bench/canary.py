"""Canary: which planted faults are found so surely that a run that misses one is broken, and which one is today's.

In:    the command line: python -m bench.canary --tries 100 measures; python -m bench.canary --date 2026-01-31 chooses.
Out:   bench/canaries.json, a table; one fault id on standard output.
Never: the date of today: whoever asks names one (the Makefile does).
Next:  who plants the chosen one: `make smoke` in the Makefile; the faults: zsfuzz/target/registry.py.

A fault is a canary when at least 99 of 100 tries find it within 10 s of processor time each. A try is what
`zsfuzz run --fault ID` does: the engine `coverage` with a seed of its own, until the first finding. A fault is given
up as soon as it cannot be one any more, or when its tries take so long that measuring it costs more than it is worth: a
smoke test needs a few dozen sure faults, not all of them.
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import date
from pathlib import Path
from time import process_time
from typing import Any

from bench.tables import aligned
from zsfuzz.campaign.engines import open_engine, seeds_of_the_sources
from zsfuzz.campaign.settings import RunSettings
from zsfuzz.cli.run import DEFAULT_PARALLEL
from zsfuzz.execute.runner import Runner
from zsfuzz.target.registry import faults

CANARIES = Path(__file__).resolve().parent / "canaries.json"
SECONDS = 10.0
FOUND_SHARE = 0.99
PATIENCE_SECONDS = 16.0
"""How long all tries of one fault may take: a mean of 0.16 s each for a hundred."""
FIRST_LOOK = 5
"""After so many tries a fault that would take twice the patience is given up."""

Try = Callable[[int], tuple[bool, float]]
"""One try with a seed: (found, seconds it took)."""


@dataclass(slots=True)
class Tried:
    """What the tries of one fault gave. seconds: of those that found it. verdict: "canary", "missed" or "slow"."""

    fault: str
    wanted: int
    tries: int = 0
    seconds: list[float] = field(default_factory=list)
    spent: float = 0.0
    verdict: str = ""

    @property
    def found(self) -> int:
        """Return how many tries found it."""
        return len(self.seconds)

    @property
    def misses_allowed(self) -> int:
        """Return how many tries may miss it."""
        return self.wanted - math.ceil(FOUND_SHARE * self.wanted)

    def add(self, found: bool, seconds: float) -> None:
        """Count one try, and say what the fault is as soon as that is clear."""
        self.tries += 1
        self.spent += seconds
        if found:
            self.seconds.append(seconds)
        if self.tries - self.found > self.misses_allowed:
            self.verdict = "missed"
        elif self.tries == self.wanted:
            self.verdict = "canary"
        elif self.spent > PATIENCE_SECONDS or self._will_be_slow():
            self.verdict = "slow"

    def _will_be_slow(self) -> bool:
        return self.tries == FIRST_LOOK and self.spent / self.tries * self.wanted > 2 * PATIENCE_SECONDS

    def as_json(self) -> dict[str, Any]:
        """Return the line of the file."""
        return {
            "verdict": self.verdict,
            "tries": self.tries,
            "found": self.found,
            "median_seconds": round(statistics.median(self.seconds), 3) if self.seconds else None,
            "most_seconds": round(max(self.seconds), 3) if self.seconds else None,
        }


def try_fault(fault: str) -> Try:
    """Return the try of one fault; machines are made once and put back for each program."""
    runner = Runner(faults=(fault,))

    def one(seed: int) -> tuple[bool, float]:
        settings = RunSettings(
            "reference", "candidate", "coverage", SECONDS, None, seed, Path("unused"), faults=(fault,)
        )
        engine = open_engine(
            replace(settings, parallel_percent=DEFAULT_PARALLEL, seeds=seeds_of_the_sources()), _refuse
        )
        start = process_time()
        while True:
            program = engine.next_program()
            result = runner.run(program)
            seconds = process_time() - start
            if result.findings or seconds > SECONDS:
                return bool(result.findings) and seconds <= SECONDS, seconds
            engine.feedback(program, result)

    return one


def _refuse(line: str) -> None:
    raise AssertionError(f"an engine without a folder has something to say: {line}")


def measure(fault: str, wanted: int, one: Try) -> Tried:
    """Return what up to `wanted` tries of a fault gave."""
    tried = Tried(fault, wanted)
    while not tried.verdict:
        tried.add(*one(tried.tries + 1))
    return tried


def measure_all(wanted: int, say: Callable[[str], None]) -> list[Tried]:
    """Return what the tries of every fault gave, in the order of the catalogue."""
    done = []
    for fault in faults():
        done.append(measure(fault, wanted, try_fault(fault)))
        say(f"{fault}: {done[-1].verdict}, {done[-1].found} of {done[-1].tries} in {done[-1].spent:.1f} s")
    return done


def document_of(done: Sequence[Tried], wanted: int) -> dict[str, Any]:
    """Return what bench/canaries.json holds."""
    return {
        "tries": wanted,
        "seconds": SECONDS,
        "found_share": FOUND_SHARE,
        "canaries": [tried.fault for tried in done if tried.verdict == "canary"],
        "faults": {tried.fault: tried.as_json() for tried in done},
    }


def table_of(done: Sequence[Tried]) -> list[str]:
    """Return the measured faults as lines, and how many canaries there are."""
    rows: list[tuple[str, ...]] = [("fault", "verdict", "found", "tries", "median s", "most s")]
    for tried in done:
        entry = tried.as_json()
        seconds = [f"{entry[name]:.2f}" if tried.seconds else "-" for name in ("median_seconds", "most_seconds")]
        rows.append((tried.fault, tried.verdict, str(tried.found), str(tried.tries), *seconds))
    canaries = sum(tried.verdict == "canary" for tried in done)
    spent = sum(tried.spent for tried in done)
    return [*aligned(rows), "", f"{canaries} canaries of {len(done)} faults; {spent:.0f} s of processor time"]


def choose(day: date, document: Mapping[str, Any]) -> str:
    """Return the canary of a day: one after the other, so that each has its turn before the first comes again.

    Errors: ValueError when the document has none.
    """
    canaries = document["canaries"]
    if not canaries:
        raise ValueError("no canary in bench/canaries.json; measure again: python -m bench.canary --tries 100")
    return str(canaries[day.toordinal() % len(canaries)])


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    """Return the command line's options."""
    parser = argparse.ArgumentParser(prog="python -m bench.canary", description="Measure canaries, or choose one.")
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--tries", type=int, metavar="N", help="measure every fault with up to N tries")
    what.add_argument("--date", type=date.fromisoformat, metavar="YYYY-MM-DD", help="print the canary of that day")
    parser.add_argument("--file", type=Path, default=CANARIES, metavar="FILE", help="where the measured list is")
    options = parser.parse_args(arguments)
    if options.tries is not None and options.tries < 1:
        parser.error("--tries: give 1 or more")
    return options


def main(arguments: Sequence[str]) -> int:
    """Do what was asked for. Returns the exit status."""
    options = parsed(arguments)
    if options.date is not None:
        print(choose(options.date, json.loads(options.file.read_text(encoding="utf-8"))))
        return 0
    done = measure_all(options.tries, lambda line: print(line, file=sys.stderr, flush=True))
    print("\n".join(table_of(done)))
    options.file.write_text(json.dumps(document_of(done, options.tries), indent=1) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
