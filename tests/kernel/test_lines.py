"""Programs on a build that counts lines: what ran was counted, and a crash costs one program, not the count.

In:    the tree of 6.12, gcc, cffi.
Out:   coverage.
Never: a kernel's line in this file.
Next:  zsfuzz/kernel/lines.py, zsfuzz/kernel/lines_worker.py.
"""

from __future__ import annotations

import pytest

from tests.kernel.kernels import tree
from tests.kernel.test_coverage import needs_gcc
from zsfuzz.kernel.build import Build, BuildOptions, build
from zsfuzz.kernel.coverage import judge
from zsfuzz.kernel.gcov import FileCoverage
from zsfuzz.kernel.library import RANDOM
from zsfuzz.kernel.lines import Died, LinesRun, batch_of
from zsfuzz.kernel.unreachable import RULES
from zsfuzz.program.block import Block, Chance, Switch
from zsfuzz.program.ops import Compact, Free, Gfp, Malloc
from zsfuzz.program.program import Header, Program

SMALL = Program(Header(), (Malloc(0, 64, Gfp.KERNEL), Malloc(1, 64, Gfp.KERNEL), Free(1)))


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Build:
    pytest.importorskip("cffi", reason="kernel builds need cffi")
    return build(tree("6.12"), "lines", BuildOptions(coverage="lines"), tmp_path_factory.mktemp("cache"))


def calls(file: FileCoverage) -> dict[str, int]:
    return {function.name: function.calls for function in file.functions}


@needs_gcc
def test_what_programs_do_is_counted(made: Build) -> None:
    with LinesRun(made) as run:
        assert [run.run(SMALL) for _ in range(3)] == [None] * 3
        before = calls(run.coverage())
        assert run.run(Program(Header(), (*SMALL.steps, Compact()))) is None
        after = calls(run.coverage())
    assert before["zs_malloc"] == 6
    assert before["zs_free"] >= 3
    assert (before["zs_compact"], after["zs_compact"]) == (0, 1)
    assert after["zs_malloc"] == 8


@needs_gcc
def test_an_earlier_run_is_not_counted(made: Build) -> None:
    for _ in range(2):
        with LinesRun(made) as run:
            run.run(SMALL)
            assert calls(run.coverage())["zs_malloc"] == 2


@needs_gcc
def test_a_worker_that_dies_costs_one_program(made: Build) -> None:
    with LinesRun(made) as run:
        run.run(SMALL)
        assert run._process is not None
        run._process.kill()
        run._process.wait()
        assert run.run(SMALL) == Died(-9)
        assert run.run(SMALL) is None
        assert calls(run.coverage())["zs_malloc"] == 2


@needs_gcc
def test_no_rule_excuses_a_line_that_even_a_small_program_reaches(made: Build) -> None:
    with LinesRun(made) as run:
        run.run(SMALL)
        measured = run.coverage()
    source = made.source.read_text(encoding="utf-8", errors="replace").splitlines()
    report = judge(measured, source, RULES)
    assert report.wrong_rules == ()
    assert report.line_tally.unreachable > 20
    assert 0.3 < report.line_tally.share < 0.9


def test_lanes_take_turns_as_the_program_says() -> None:
    lanes = ((Free(0),), (Free(1),))
    chance = Chance("uniform", 7)
    _, free = batch_of(Program(Header(normal_pages=64), SMALL.steps, Block(lanes, (), chance)))
    assert (free.policy, free.seed, free.normal_pages) == (RANDOM, 7, 64)
    _, told = batch_of(Program(Header(), SMALL.steps, Block(lanes, (Switch(0, 0, 2, 1),))))
    assert told.switches == ((0, 0, 2, 1),)
    assert told.policy != RANDOM
