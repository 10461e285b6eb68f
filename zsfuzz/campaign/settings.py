"""What one `zsfuzz run` was asked to do.

In:    checked values, from zsfuzz/cli/run.py.
Out:   RunSettings and WorkerSettings, frozen.
Never: defaults that depend on the machine.
Next:  zsfuzz/campaign/loop.py, zsfuzz/campaign/workers/supervisor.py.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class RunSettings:
    """Limits and choices of one campaign.

    seconds: wall-clock limit, None for none. runs: program limit, None for none. One of them is set, or the
    campaign ends by a signal only. corpus: folder of programs to start from and to add to, None for none.
    seeds: folder of programs to start from that stays as it
    is. geometry: of generated programs, None for a mix of all. parallel_percent: how often a family of programs with a
    parallel block comes instead of one without.
    """

    reference: str
    candidate: str
    engine: str
    seconds: float | None
    runs: int | None
    seed: int
    findings: Path
    corpus: Path | None = None
    faults: tuple[str, ...] = ()
    geometry: str | None = None
    stop_on_first: bool = False
    parallel_percent: int = 0
    seeds: Path | None = None


@dataclass(frozen=True, slots=True)
class WorkerSettings:
    """Choices of a campaign of several processes.

    count: of workers, 2 or more. program_seconds: by the clock on the wall, how long one program (its confirmation and
    its shortening included) may take before its worker is killed. memory_bytes: of one worker, resident.
    seed_given: whether the user named the seed; if not, a campaign that was cut off goes on with its own.
    """

    count: int
    program_seconds: float = 60.0
    memory_bytes: int = 2 << 30
    seed_given: bool = False
