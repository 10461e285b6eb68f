"""Suspects: programs that were running when a worker died; each is run again before anybody is blamed.

In:    deaths: the program that was running, and what ended the worker.
Out:   programs to run again; those that have killed too often, for quarantine.
Never: a verdict on one death that somebody outside may have caused.
Next:  who asks: zsfuzz/campaign/workers/supervisor.py.

    kill -9 of a worker     its program becomes a suspect
    next start              runs it first: it survives, and nothing was lost
    it kills again          ... until it has killed as often as its way of killing allows: quarantine
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from enum import Enum


class Cause(Enum):
    """What ended a worker out of order, as far as its program may be to blame. The value is for people."""

    HANG = "ran too long"
    MEMORY = "took too much memory"
    CRASH = "crashed its worker"
    KILLED = "was running whenever its worker was killed"


DEATHS_ALLOWED = {Cause.HANG: 1, Cause.MEMORY: 1, Cause.CRASH: 1, Cause.KILLED: 2}
"""After so many deaths a program is still run again. A kill from outside may hit the same program twice by chance."""


@dataclass(slots=True)
class _Suspect:
    sealed: bytes
    deaths: int = 0


class Suspects:
    """Who is to be run again, and who has killed how often. Programs are known by their names."""

    def __init__(self) -> None:
        self._known: dict[str, _Suspect] = {}
        self._waiting: list[str] = []

    @property
    def waiting(self) -> int:
        """Return how many programs wait to be run again."""
        return len(self._waiting)

    def died(self, name: str, sealed: bytes, cause: Cause) -> bool:
        """Count a death, and let the program wait to be run again; or return True: it goes into quarantine."""
        suspect = self._known.setdefault(name, _Suspect(sealed))
        suspect.deaths += 1
        if suspect.deaths > DEATHS_ALLOWED[cause]:
            self.forget(name)
            return True
        self._wait(name)
        return False

    def again(self, name: str, sealed: bytes) -> None:
        """Let a program wait to be run again, blaming it for nothing: everything was killed, its worker too."""
        self._known.setdefault(name, _Suspect(sealed))
        self._wait(name)

    def hand_out(self) -> dict[str, bytes]:
        """Return all waiting programs by name; they wait no longer."""
        handed = {name: self._known[name].sealed for name in self._waiting}
        self._waiting.clear()
        return handed

    def came_back(self, handed: Iterable[str], retried: Iterable[str]) -> None:
        """Take a worker's programs back: those that it has retried are cleared, the others wait again."""
        survived = frozenset(retried)
        for name in handed:
            if name in survived:
                self.forget(name)
            elif name in self._known:
                self._wait(name)

    def forget(self, name: str) -> None:
        """Drop a program."""
        self._known.pop(name, None)
        self._waiting = [each for each in self._waiting if each != name]

    def _wait(self, name: str) -> None:
        if name not in self._waiting:
            self._waiting.append(name)
