"""What `zsfuzz corpus add`, `check` and `stats` do, without the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from zsfuzz.corpus.check import add_files, check_store, stats_of
from zsfuzz.corpus.store import CorpusStore
from zsfuzz.errors import UsageError
from zsfuzz.program import ops
from zsfuzz.program.block import Block
from zsfuzz.program.files import save_program
from zsfuzz.program.program import Header, Program

SIGNATURE = "invariant/I6/put_page/_refcount"


def program(size: int, verdict: str | None = None, geometry: str = "linux-5.10") -> Program:
    return Program(Header(geometry, verdict=verdict), (ops.Malloc(0, size), ops.Free(0)))


def test_add_takes_text_and_packed_files_once_each(tmp_path: Path) -> None:
    save_program(program(1), tmp_path / "one.zst")
    save_program(program(1), tmp_path / "same.zsf")
    save_program(program(2), tmp_path / "two.zsf")
    (tmp_path / "bad.zst").write_text("bad\n")
    store = CorpusStore(tmp_path / "corpus")
    names = ["one.zst", "same.zsf", "bad.zst", "two.zsf", "missing.zst"]
    report = add_files(store, [tmp_path / name for name in names])
    assert sorted(report.added) == store.paths()
    assert (len(report.added), report.present) == (2, 1)
    assert [bad.path.name for bad in report.bad] == ["bad.zst", "missing.zst"]
    assert json.loads(json.dumps(report.as_json()))["present"] == 1


def test_a_good_folder_checks_out_and_only_verdicts_are_run(tmp_path: Path) -> None:
    store = CorpusStore(tmp_path)
    store.add(program(1))
    store.add(program(2, "clean"))
    save_program(program(3, SIGNATURE), tmp_path / "people.zst")
    ran: list[Program] = []

    def gives(program: Program) -> str:
        ran.append(program)
        return program.header.verdict or ""

    watched: list[Path] = []
    report = check_store(store, gives, watched.append)
    assert (report.files, report.executed, report.bad) == (3, 2, ())
    assert {each.header.verdict for each in ran} == {"clean", SIGNATURE}
    assert watched == store.paths()


def test_without_a_runner_nothing_is_run(tmp_path: Path) -> None:
    store = CorpusStore(tmp_path)
    store.add(program(2, "clean"))
    assert check_store(store).executed == 0


def test_a_wrong_verdict_is_reported_with_both_words(tmp_path: Path) -> None:
    store = CorpusStore(tmp_path)
    store.add(program(2, "clean"))
    (bad,) = check_store(store, lambda program: SIGNATURE).bad
    assert "'clean'" in bad.reason
    assert SIGNATURE in bad.reason


def test_a_program_that_cannot_be_run_here_is_reported(tmp_path: Path) -> None:
    store = CorpusStore(tmp_path)
    store.add(program(2, "clean"))

    def gives(program: Program) -> str:
        raise UsageError("unknown target 'kernel:6.1'")

    (bad,) = check_store(store, gives).bad
    assert "kernel:6.1" in bad.reason


def test_a_fault_of_ours_is_not_swallowed(tmp_path: Path) -> None:
    store = CorpusStore(tmp_path)
    store.add(program(2, "clean"))

    def gives(program: Program) -> str:
        raise RuntimeError("model fell over")

    with pytest.raises(RuntimeError, match="fell over"):
        check_store(store, gives)


def test_a_file_under_the_name_of_another_content_is_reported(tmp_path: Path) -> None:
    store = CorpusStore(tmp_path)
    store.add(program(1))
    (path,) = store.paths()
    save_program(program(2), path)
    (bad,) = check_store(store).bad
    assert "add it again" in bad.reason


def test_a_file_that_was_cut_or_flipped_is_reported(tmp_path: Path) -> None:
    store = CorpusStore(tmp_path)
    store.add(program(1))
    (path,) = store.paths()
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 4
    path.write_bytes(data)
    assert len(check_store(store).bad) == 1
    path.write_bytes(data[: len(data) // 2])
    assert len(check_store(store).bad) == 1


def test_stats_count_what_a_folder_holds(tmp_path: Path) -> None:
    store = CorpusStore(tmp_path)
    store.add(program(1))
    store.add(program(2, "clean", "small"))
    store.add(Program(Header(), (ops.Trim(),) * 3, Block(((ops.Trim(),), (ops.Trim(),)))))
    (tmp_path / "bad.zsf").write_bytes(b"bad")
    report = stats_of(store)
    assert report.files == 4
    assert report.steps == (2, 2, 5)
    assert report.operations == {"Free": 2, "Malloc": 2, "Trim": 5}
    assert report.geometries == {"linux-5.10": 2, "small": 1}
    assert report.verdicts == {"clean": 1, "none": 2}
    assert [bad.path.name for bad in report.bad] == ["bad.zsf"]
    assert report.bytes == sum(path.stat().st_size for path in store.paths()) - 3
    data = json.loads(json.dumps(report.as_json()))
    assert data["steps"] == {"total": 9, "least": 2, "median": 2, "most": 5}


def test_an_empty_folder_has_stats_and_checks_out(tmp_path: Path) -> None:
    store = CorpusStore(tmp_path)
    assert stats_of(store).as_json()["steps"] == {"total": 0, "least": 0, "median": 0, "most": 0}
    assert check_store(store).files == 0
