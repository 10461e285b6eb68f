"""Replay: the swap capture through both targets, in a process of its own, for its time and its peak memory.

In:    corpus/traces/zram-swap-6.1.trace.gz.
Out:   ReplayFigures; as a program (`python -m bench.replay FILE`), the same as one JSON object.
Never: a process that did anything else before: its peak memory is the figure.
Next:  the import in zsfuzz/trace/files.py.
"""

from __future__ import annotations

import json
import resource
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from time import perf_counter, process_time

from bench.work import KindCounter, must
from zsfuzz.campaign.verdict import careful_cadence
from zsfuzz.execute.runner import Runner
from zsfuzz.program.ops import Operation
from zsfuzz.trace.files import import_trace_file

ROOT = Path(__file__).resolve().parents[1]
SWAP_CAPTURE = "corpus/traces/zram-swap-6.1.trace.gz"
SWAP_COUNTS = {"malloc": 84_277, "free": 84_277, "migrate": 284, "compact": 40}
EXCERPT = "corpus/traces/zram-swap-6.1.excerpt.trace"
EXCERPT_COUNTS = {"malloc": 110, "free": 93, "migrate": 40, "compact": 3}
SECONDS_MOST = 60.0
BYTES_MOST = 1 << 30


@dataclass(frozen=True, slots=True)
class ReplayFigures:
    """One capture on both targets. imported: events by kind. effective: operations by kind.

    cpu_seconds: processor time of the whole process, which a busy machine stretches less.
    """

    capture: str
    targets: tuple[str, str]
    cadence: int
    import_seconds: float
    replay_seconds: float
    cpu_seconds: float
    peak_bytes: int
    steps: int
    operations: int
    no_ops: int
    findings: tuple[str, ...]
    imported: Mapping[str, int]
    effective: Mapping[str, int]
    checks: Mapping[str, int]

    @property
    def seconds(self) -> float:
        """Return import and replay together."""
        return self.import_seconds + self.replay_seconds


def replay_here(path: Path, reference: str, candidate: str, cadence: int) -> ReplayFigures:
    """Import and replay in this process. cadence: 0 for what `zsfuzz replay` would choose."""
    began = perf_counter()
    imported = import_trace_file(path)
    import_seconds = perf_counter() - began
    (program,) = imported.programs
    runner, counter = Runner(reference, candidate), KindCounter()
    cadence = cadence or careful_cadence(program)
    began = perf_counter()
    result = runner.run(program, cadence=cadence, observer=counter)
    replay_seconds = perf_counter() - began
    return ReplayFigures(
        capture=path.name,
        targets=runner.targets,
        cadence=cadence,
        import_seconds=import_seconds,
        replay_seconds=replay_seconds,
        cpu_seconds=process_time(),
        peak_bytes=resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * _RSS_UNIT,
        steps=len(program.steps),
        operations=result.operations,
        no_ops=result.no_ops,
        findings=tuple(f"{finding.signature}: {finding.message}" for finding in result.findings),
        imported={name: getattr(imported.counts, name) for name in SWAP_COUNTS},
        effective=_names(counter.counts),
        checks=result.checks,
    )


_RSS_UNIT = 1 if sys.platform == "darwin" else 1024


def _names(counts: Mapping[type[Operation], int]) -> dict[str, int]:
    return {kind.__name__.lower(): count for kind, count in counts.items() if count}


def measure_replay(
    path: Path = ROOT / SWAP_CAPTURE,
    *,
    reference: str = "reference",
    candidate: str = "candidate",
    expected: Mapping[str, int] = SWAP_COUNTS,
    cadence: int = 0,
) -> ReplayFigures:
    """Replay in a fresh process and check the work. Errors: WorkNotDone."""
    command = [sys.executable, "-m", "bench.replay", str(path), reference, candidate, str(cadence)]
    ended = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    must(ended.returncode == 0, f"replay of {path.name} failed: {ended.stderr.strip().splitlines()[-1:]}")
    data = json.loads(ended.stdout)
    figures = ReplayFigures(**{**data, "targets": tuple(data["targets"]), "findings": tuple(data["findings"])})
    check_replay(figures, expected)
    return figures


def check_replay(figures: ReplayFigures, expected: Mapping[str, int]) -> None:
    """Errors: WorkNotDone when an event was lost, a free found no object, or something was found."""
    name = figures.capture
    for finding in figures.findings:
        must(False, f"{name}: {finding}")
    for kind, count in expected.items():
        must(figures.imported[kind] == count, f"{name}: {figures.imported[kind]} {kind} imported, not {count}")
    for kind in ("malloc", "free", "compact"):
        done = figures.effective.get(kind, 0)
        must(done == expected[kind], f"{name}: {done} {kind} took effect, not {expected[kind]}")
    must(
        figures.operations + figures.no_ops == figures.steps,
        f"{name}: {figures.steps} steps, {figures.operations + figures.no_ops} of them accounted for",
    )
    must(
        figures.checks["full"] > 0 and figures.checks["drain"] == 1,
        f"{name}: the run was not compared to its end",
    )


def main(arguments: list[str]) -> None:
    """FILE REFERENCE CANDIDATE CADENCE: print the figures as JSON."""
    path, reference, candidate, cadence = arguments
    print(json.dumps(asdict(replay_here(Path(path), reference, candidate, int(cadence)))))


if __name__ == "__main__":
    main(sys.argv[1:])
