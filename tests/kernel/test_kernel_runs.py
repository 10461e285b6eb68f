"""Kernels run programs, agree with the model of their design, and differ from others by named rules only.

In:    sources from the cache (tests/kernel/kernels.py); without one a test is skipped with its reason.
Out:   -
Never: a fetch.
Next:  bugs planted in copies of the source: tests/kernel/test_kernel_bugs.py.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from tests.kernel.kernels import Kernels, program
from zsfuzz.engine.profile import GenerateSettings
from zsfuzz.engine.random_engine import RandomEngine
from zsfuzz.kernel.build import BuildOptions
from zsfuzz.kernel.library import STATE, Request
from zsfuzz.kernel.lower import lower_steps
from zsfuzz.kernel.process import open_executor
from zsfuzz.program.program import Program
from zsfuzz.trace.files import import_trace_file

VERSIONS = ("5.10", "6.1", "6.12", "7.2")
CAPTURE = Path(__file__).parents[2] / "corpus" / "traces" / "zram-swap-6.1.excerpt.trace"

EVERYTHING = """
    h1 = malloc 3256
    h2 = malloc 3256
    h3 = malloc 100 kernel
    h4 = malloc 4096
    write h1 0+4096 7
    write h4 100+3000 9
    map h2 wo
    write h2 0+4096 3
    unmap h2
    map h1 ro
    read h1 0+3256
    unmap h1
    read h4 101+77
    p0 = isolate h1.1
    migrate p0 h4.0 @3 @200 sync
    p1 = isolate h2.2
    free h1
    free h2
    migrate p1 sync_light
    putback p1
    run_work
    r0 = speculative_get h3.0
    free h3
    speculative_put r0
    create_pool z1
    h5 = malloc 2440 z1
    fail malloc page 1
    h6 = malloc 2440
    fail malloc handle 0
    h7 = malloc 64
    h8 = malloc 0
    h9 = malloc 5000
    shrink count
    shrink scan
    compact z1
    stats
    stats z1
    huge_class_size
    free h5
    destroy_pool z1
    migrate h4.0 sync_no_copy
    trim
    run_work
"""


@pytest.fixture(scope="module")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> Kernels:
    root = tmp_path_factory.getbasetemp()
    return Kernels((root.parent if root.name.startswith("popen-") else root) / "kernels")


def generated(count: int, seed: int) -> Iterator[Program]:
    engine = RandomEngine(Random(seed), GenerateSettings(geometry="linux-5.10"))
    for _ in range(count):
        yield engine.next_program()


@pytest.mark.parametrize("version", VERSIONS)
def test_every_operation_runs_on_every_version(kernels: Kernels, version: str) -> None:
    made = kernels.build(version)
    result = kernels.run(made, made, EVERYTHING)
    assert not result.findings, result.findings
    assert result.operations == 42
    assert result.checks["invariants"] > 1000


def test_the_reference_is_what_5_10_is(kernels: Kernels) -> None:
    """Placements, lists, free lists, statistics, the class table, words of struct page, bytes, after every step."""
    result = kernels.run("reference", kernels.build("5.10"), EVERYTHING)
    assert not result.findings, result.findings
    runner = kernels.runner("reference", kernels.build("5.10"))
    for each in generated(60, seed=11):
        result = runner.run(each)
        assert not result.findings, result.findings


def test_without_compaction_the_reference_is_what_5_10_is(kernels: Kernels) -> None:
    made = kernels.build("5.10", BuildOptions(compaction=False), "5.10-no-compaction")
    runner = kernels.runner("reference", made)
    for each in generated(20, seed=5):
        assert not runner.run(each).findings


def test_a_fault_of_the_reference_shows_against_5_10(kernels: Kernels) -> None:
    """The comparison sees what it is there to see: A04 leaves an empty zspage on its list."""
    runner = kernels.runner("reference+A04", kernels.build("5.10"))
    found = [finding for each in generated(60, seed=11) for finding in runner.run(each).findings]
    assert found
    assert all(finding.target in ("both", "reference") for finding in found)


def test_6_12_and_7_2_are_equal_in_everything(kernels: Kernels) -> None:
    runner = kernels.runner(kernels.build("6.12"), kernels.build("7.2"))
    for each in (program(EVERYTHING), *generated(300, seed=2)):
        result = runner.run(each)
        assert not result.findings, result.findings
        assert not any(result.expected.values())


@pytest.mark.parametrize("version", ["6.1", "6.12", "7.2"])
def test_other_eras_keep_the_references_contract(kernels: Kernels, version: str) -> None:
    runner = kernels.runner("reference", kernels.build(version))
    for each in (program(EVERYTHING), *generated(25, seed=3)):
        result = runner.run(each)
        assert not result.findings, result.findings


def test_era_rules_are_counted(kernels: Kernels) -> None:
    """Too large is -ENOSPC in 6.12 and 0 in the reference: K1. Its chains are longer: in 9 pages it is out of memory
    where the reference is not, K2, and from there on the two part.
    """
    made = kernels.build("6.12")
    assert kernels.run("reference", made, "h1 = malloc 5000").expected["K1"] == 1
    steps = "\n".join(f"h{number} = malloc {2400 + 16 * number} kernel" for number in range(40))
    result = kernels.runner("reference", made).run(program(steps, "memory normal=32 movable=32"))
    assert not result.findings
    assert result.parted == "K2"


def test_a_batch_gives_the_same_twice_and_in_any_order(kernels: Kernels) -> None:
    executor = open_executor(kernels.build("7.2"))
    batches = [lower_steps(each.steps) for each in generated(30, seed=8)]
    request = Request(128, 128, level=STATE, cadence=16)
    first = [executor.run(words, request) for words in batches]
    again = [executor.run(words, request) for words in reversed(batches)]
    assert first == again[::-1]


@pytest.mark.parametrize("version", VERSIONS)
def test_the_swap_captures_excerpt_runs_on_every_version(kernels: Kernels, version: str) -> None:
    (captured,) = import_trace_file(CAPTURE).programs
    made = kernels.build(version)
    result = kernels.runner(made, made).run(captured)
    assert not result.findings, result.findings
    assert (result.operations, result.no_ops) == (len(captured.steps), 0)


def test_lanes_run_on_every_version_and_repeat_themselves(kernels: Kernels) -> None:
    text = """
        h1 = malloc 3256
        h2 = malloc 3256
        h3 = malloc 3256
        write h1 0+4096 1
        parallel {
        lane {
        free h2
        run_work
        read h1 0+3256
        }
        lane {
        migrate h1.0 h1.1 h1.2 sync
        }
        lane {
        compact
        h2 = malloc 3256
        }
        schedule 0.0+3>1 1.0+5>2 2.0+2>0
        }
    """
    for version in VERSIONS:
        made = kernels.build(version)
        first, again = kernels.run(made, made, text), kernels.run(made, made, text)
        assert not first.findings, first.findings
        assert first == again
        assert first.schedule is not None
        assert len(first.schedule) == 3
        assert sum(first.lengths) > 50


def test_a_program_of_another_page_size_runs_with_pages_of_4096_bytes(kernels: Kernels) -> None:
    made = kernels.build("6.12")
    small = program("h1 = malloc 4096\nwrite h1 0+4096 5\nread h1 0+4096")
    small = replace(small, header=replace(small.header, geometry="small"))
    assert kernels.runner(made, made).run(small).operations == 3


def test_edges_of_the_kernels_file_are_features(kernels: Kernels) -> None:
    made = kernels.build("6.12", BuildOptions(coverage="edges"), "6.12-edges")
    few = kernels.run(made, made, "h1 = malloc 100").features
    more = kernels.run(made, made, "h1 = malloc 100\nmigrate h1.0 sync\ncompact").features
    edges = [{feature for feature in features if feature >> 20} for features in (few, more)]
    assert len(edges[0]) > 20
    assert len(edges[1] - edges[0]) > 50
    assert kernels.run(made, made, "h1 = malloc 100").features == few
