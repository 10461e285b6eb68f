"""Record: what one worker has done, and the program that it is about to run.

In:    counts of zsfuzz/campaign/loop.py.
Out:   Record, to bytes and back. Written before each program, so that whoever reads it after a kill -9 knows the counts
       up to that program, and the program.
Never: a finding itself: that is on disk under its id before it is counted here.
Next:  written by zsfuzz/campaign/workers/worker.py through zsfuzz/campaign/workers/slate.py; summed in
       zsfuzz/campaign/workers/totals.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import msgpack  # type: ignore[import-untyped]

from zsfuzz.campaign.tally import Tally


@dataclass(frozen=True, slots=True)
class Record:
    """One incarnation of a worker: from its start to its end, whatever ended it.

    hits: by the ids of findings. engine: its own counts. running: the sealed program that is about to run, b"" for
    none. retried: names of the programs that it was handed because another one died of them, and that it survived.
    stopped: why it ended in order, "" as long as it did not. fault: of ours, that it ended by; fault_program: the path
    where the program that brought it out is kept, and fault_name its name, "" for none. mistake: of the user, that it
    ended by.
    """

    tally: Tally = field(default_factory=Tally)
    hits: Mapping[str, int] = field(default_factory=dict)
    engine: Mapping[str, int] = field(default_factory=dict)
    running: bytes = b""
    retried: tuple[str, ...] = ()
    stopped: str = ""
    fault: str = ""
    fault_program: str = ""
    fault_name: str = ""
    mistake: str = ""

    def pack(self) -> bytes:
        """Return the record as bytes."""
        plain = {name: getattr(self, name) for name in _PLAIN}
        packed: bytes = msgpack.packb(plain | {"tally": self.tally.as_plain(), "retried": list(self.retried)})
        return packed

    @classmethod
    def unpack(cls, data: bytes) -> Record:
        """Return what pack() packed; it was whole, its reader has checked that."""
        plain: dict[str, Any] = msgpack.unpackb(data)
        return cls(
            tally=Tally.from_plain(plain["tally"]),
            retried=tuple(plain["retried"]),
            **{name: plain[name] for name in _PLAIN},
        )


_PLAIN = ("hits", "engine", "running", "stopped", "fault", "fault_program", "fault_name", "mistake")

NOTHING = Record()
"""Of a worker that has not got to its first program."""
