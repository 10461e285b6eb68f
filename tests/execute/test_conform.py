"""Conformance: each rule of the protocol is broken on purpose, and the check says which."""

from __future__ import annotations

import pytest

from reference.zsmalloc import Zsmalloc
from zsfuzz.execute.conform import conform
from zsfuzz.machine.descriptor import Descriptor
from zsfuzz.target.protocol import Target
from zsfuzz.target.registry import resolve, target_names


class OtherVersion(Zsmalloc):
    protocol_version = 7


class NotCallable(Zsmalloc):
    rules = type("Rules", (Descriptor,), {"PageTail": 5})


class ForgetsBytes(Zsmalloc):
    def zs_map_object(self, pool: int, handle: int, mode: int) -> int:
        address = super().zs_map_object(pool, handle, mode)
        self.k.memset(address, 0, 8)
        return address


class LeaksOnFailure(Zsmalloc):
    def zs_malloc(self, pool: int, size: int, gfp: int) -> int:
        handle = super().zs_malloc(pool, size, gfp)
        if not handle:
            self.k.alloc_page(gfp)
        return handle


class RemembersOutside(Zsmalloc):
    def __init__(self, kernel) -> None:  # type: ignore[no-untyped-def]
        super().__init__(kernel)
        self.remembered: list[int] = []

    def zs_malloc(self, pool: int, size: int, gfp: int) -> int:
        self.remembered.append(size)
        return super().zs_malloc(pool, size, gfp)


class Residue(Zsmalloc):
    """Counts its calls outside the arena and behaves by the count: a restored machine runs differently."""

    def __init__(self, kernel) -> None:  # type: ignore[no-untyped-def]
        super().__init__(kernel)
        self._calls = [0]

    def zs_malloc(self, pool: int, size: int, gfp: int) -> int:
        self._calls[0] += 1
        return 0 if self._calls[0] == 5 else super().zs_malloc(pool, size, gfp)


class WritesWhileLooking(Zsmalloc):
    def isolated_zspages(self, pool: int) -> int:
        self.k.alloc_page(0)
        return super().isolated_zspages(pool)


class Raises(Zsmalloc):
    def zs_compact(self, pool: int) -> int:
        raise ZeroDivisionError("planted")


@pytest.mark.parametrize("name", ["reference", "candidate"])
def test_the_built_in_designs_conform(name: str) -> None:
    assert name in target_names()
    checks = conform(resolve(name))
    assert len(checks) == 10 and not [check for check in checks if check.problem]


@pytest.mark.parametrize(
    ("target", "rule"),
    [
        (OtherVersion, "speaks this version"),
        (NotCallable, "replaces only primitives"),
        (ForgetsBytes, "objects keep their bytes"),
        (LeaksOnFailure, "requests that cannot be served"),
        (RemembersOutside, "keeps nothing outside the arena"),
        (Residue, "a restored machine"),
        (WritesWhileLooking, "looking inside changes nothing"),
        (Raises, "compaction moves objects"),
    ],
)
def test_a_target_that_breaks_a_rule_is_told_which(target: type[Target], rule: str) -> None:
    broken = [check for check in conform(target) if check.problem]
    assert any(check.rule.startswith(rule) for check in broken), broken
    assert all("\n" not in check.problem for check in broken)
