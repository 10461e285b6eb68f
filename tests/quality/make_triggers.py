"""Make tests/quality/triggers/ again: one small program for each fault that the fuzz tests do not look for.

In:    the catalogue; the engine `random` with fixed seeds; what is there already.
Out:   tests/quality/triggers/*.zst, each with its fault in the header and the signature that it shows as its verdict.
Never: a file that is there and still shows its fault: hard faults have programs that were written by hand.
Next:  who replays them: tests/quality/test_triggers.py.

    python -m tests.quality.make_triggers              # those that are missing, or show nothing any more
    python -m tests.quality.make_triggers A21 S-kpf-buddy
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace
from pathlib import Path
from typing import Final

from tests.quality.planted import KEPT
from zsfuzz.execute.runner import Runner
from zsfuzz.measure.cell import DIVERGENCE, CellKey, run_cell
from zsfuzz.minimize.minimizer import minimize
from zsfuzz.oracle.finding import Finding
from zsfuzz.program.files import load_program
from zsfuzz.program.program import Program
from zsfuzz.program.text import format_program, parse_program
from zsfuzz.target.fault import Fault

FOLDER: Final = Path(__file__).resolve().parent / "triggers"
SEEDS: Final = 3
BUDGET_SECONDS: Final = 10.0


def shown(runner: Runner, program: Program, blind: bool) -> Finding | None:
    """Return what a program shows with every check after every step; under `blind` no divergence."""
    findings = runner.run(program, cadence=1).findings
    return findings[0] if findings and not (blind and findings[0].kind == DIVERGENCE) else None


def trigger(fault: Fault) -> Program | None:
    """Return the first program that shows a fault, minimized; None when no seed gives one."""
    for seed in range(SEEDS):
        found = run_cell(CellKey(fault.id, "random", seed, fault.shared), BUDGET_SECONDS, time.process_time)
        if not found.found:
            continue
        runner = Runner(faults=(fault.id,))
        wanted = found.signature

        def keeps(program: Program, runner: Runner = runner, wanted: str = wanted) -> bool:
            finding = shown(runner, program, fault.shared)
            return finding is not None and finding.signature == wanted

        return minimize(parse_program(found.program), keeps).program
    return None


def labelled(program: Program, fault: Fault, verdict: str) -> str:
    """Return the text of a trigger."""
    header = replace(program.header, reference="reference", candidate="candidate", faults=(fault.id,), verdict=verdict)
    return f"# {fault.id}: {fault.mechanism}\n{format_program(Program(header, program.steps))}"


def is_good(path: Path, fault: Fault) -> bool:
    """Return whether a file is there and shows its fault."""
    if not path.exists():
        return False
    program = load_program(path)
    finding = shown(Runner(faults=(fault.id,)), program, fault.shared)
    return finding is not None and finding.signature == program.header.verdict


def main(names: list[str]) -> None:
    """Write what is missing; tell of faults that no seed shows."""
    for fault in KEPT:
        path = FOLDER / f"{fault.id}.zst"
        if (names and fault.id not in names) or (not names and is_good(path, fault)):
            continue
        program = trigger(fault)
        if program is None:
            sys.stdout.write(f"{fault.id}: not found; write its program by hand\n")
        else:
            finding = shown(Runner(faults=(fault.id,)), program, fault.shared)
            assert finding is not None
            path.write_text(labelled(program, fault, finding.signature), encoding="utf-8")
            sys.stdout.write(f"{fault.id}: {finding.signature}, {len(program.steps)} steps\n")
        sys.stdout.flush()


if __name__ == "__main__":
    main(sys.argv[1:])
