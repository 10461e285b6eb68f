"""Lists: the operations, and the corruption checks on planted corruption."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from zsfuzz.machine.lists import Lists
from zsfuzz.machine.machine import Machine
from zsfuzz.machine.report import Report


@pytest.fixture
def heads(machine: Machine) -> list[int]:
    heads = [machine.slab.kzalloc(64) for _ in range(5)]
    for head in heads:
        machine.lists.INIT_LIST_HEAD(head)
    return heads


def entries(lists: Lists, head: int, heads: list[int]) -> list[int]:
    return [heads.index(entry) for entry in lists.list_entries(head)]


def test_add_puts_first_and_add_tail_puts_last(machine: Machine, heads: list[int]) -> None:
    lists = machine.lists
    lists.list_add(heads[1], heads[0])
    lists.list_add(heads[2], heads[0])
    lists.list_add_tail(heads[3], heads[0])
    assert entries(lists, heads[0], heads) == [2, 1, 3]
    assert lists.list_first(heads[0]) == heads[2]
    lists.list_del_init(heads[1])
    assert lists.list_empty(heads[1]) and entries(lists, heads[0], heads) == [2, 3]
    lists.list_splice_init(heads[0], heads[4])
    assert lists.list_empty(heads[0]) and entries(lists, heads[4], heads) == [2, 3]


def _add_twice(machine: Machine, heads: list[int]) -> None:
    machine.lists.list_add(heads[1], heads[0])


def _delete_twice(machine: Machine, heads: list[int]) -> None:
    machine.lists.list_del(heads[1])
    machine.lists.list_del(heads[1])


def _break_next(machine: Machine, heads: list[int]) -> None:
    machine.store(heads[0], heads[2])
    machine.lists.list_del(heads[1])


def _break_prev(machine: Machine, heads: list[int]) -> None:
    machine.store(heads[0] + 8, heads[2])
    machine.lists.list_del(heads[1])


@pytest.mark.parametrize("plant", [_add_twice, _delete_twice, _break_next, _break_prev])
def test_corruption_is_reported(
    machine: Machine, heads: list[int], plant: Callable[[Machine, list[int]], None]
) -> None:
    machine.lists.list_add(heads[1], heads[0])
    with pytest.raises(Report) as caught:
        plant(machine, heads)
    assert caught.value.rule == "list corruption"


def test_a_list_that_does_not_return_is_reported(
    machine: Machine, heads: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("zsfuzz.machine.lists.MAX_LIST_LENGTH", 10)
    machine.store(heads[0], heads[1])
    machine.store(heads[1], heads[1])
    with pytest.raises(Report, match="does not return"):
        machine.lists.list_entries(heads[0])
