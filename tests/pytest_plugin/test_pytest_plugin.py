"""The pytest plugin, run by a pytest of its own over a folder of programs.

In:    programs whose findings a stand-in runner decides (tests/campaign/fakes.py).
Out:   which items there are, what fails, what a failure says; -k, --lf, xdist, JUnit.
Never: the machine.
Next:  zsfuzz/pytest_plugin.py.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.campaign.fakes import FakeRunner, finding_at, sizes
from zsfuzz.campaign import running
from zsfuzz.errors import UsageError
from zsfuzz.program.files import save_program
from zsfuzz.program.program import Program

ROOT = Path(__file__).resolve().parents[2]
CONFTEST = """
from tests.campaign.fakes import FakeRunner
from zsfuzz.campaign import running
running.open_runner = lambda *names: FakeRunner()
"""
SIGNATURE = finding_at(0).signature


def kept(program: Program, verdict: str | None) -> Program:
    return replace(program, header=replace(program.header, verdict=verdict))


@pytest.fixture(autouse=True)
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    """Put the stand-in behind the plugin; processes of their own get it by CONFTEST."""
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")
    monkeypatch.setattr(running, "open_runner", lambda *names: FakeRunner())


@pytest.fixture
def corpus(pytester: pytest.Pytester) -> Path:
    """Make a project with one corpus folder of four programs, two of them with a wrong verdict."""
    pytester.makeini("[pytest]\nzsfuzz_corpus = corpus\ntestpaths = tests\n")
    folder = pytester.mkdir("corpus")
    (folder / "deep").mkdir()
    save_program(kept(sizes(32), "clean"), folder / "good.zst")
    save_program(kept(sizes(32, 5000), SIGNATURE), folder / "deep" / "found.zsf")
    save_program(kept(sizes(32, 64), SIGNATURE), folder / "gone.zst")
    save_program(sizes(32, 5000), folder / "unnamed.zst")
    tests = pytester.mkdir("tests")
    (tests / "test_plain.py").write_text("def test_plain(): pass\n")
    return folder


def run(pytester: pytest.Pytester, *words: str) -> pytest.RunResult:
    """Run pytest with the plugin and with no other of this environment."""
    return pytester.runpytest_inprocess("-p", "zsfuzz.pytest_plugin", *words)


def run_apart(pytester: pytest.Pytester, *words: str) -> pytest.RunResult:
    """Run pytest with xdist, in a process of its own, as its workers are."""
    pytester.makeconftest(CONFTEST)
    return pytester.runpytest_subprocess("-p", "zsfuzz.pytest_plugin", "-p", "xdist", *words)


def test_every_program_of_a_configured_folder_is_an_item_beside_the_other_tests(
    pytester: pytest.Pytester, corpus: Path
) -> None:
    result = run(pytester, "--collect-only", "-q")
    result.stdout.fnmatch_lines_random(
        [
            "tests/test_plain.py::test_plain",
            "corpus/good.zst::verdict",
            "corpus/deep/found.zsf::verdict",
            "corpus/gone.zst::verdict",
            "corpus/unnamed.zst::verdict",
        ]
    )
    assert "5 tests collected" in result.stdout.str()


def test_a_program_passes_when_it_gives_the_verdict_of_its_header(pytester: pytest.Pytester, corpus: Path) -> None:
    run(pytester).assert_outcomes(passed=3, failed=2)


def test_a_failure_shows_the_trace_and_the_replay_command(pytester: pytest.Pytester, corpus: Path) -> None:
    result = run(pytester, "-k", "unnamed")
    result.assert_outcomes(failed=1, deselected=4)
    result.stdout.fnmatch_lines(
        [
            "zsfuzz: corpus/unnamed.zst (reference | candidate)",
            "*kept for  clean (the header names no verdict)",
            f"*now gives {SIGNATURE}",
            "*step*operation*reference*candidate",
            "*0*h0 = malloc 32*ok*ok",
            ">*1*h1 = malloc 5000*ok*broken",
            "*candidate: I6 is broken",
            "*pfn*zone*",
            "replay: zsfuzz replay corpus/unnamed.zst --trace",
        ]
    )


def test_a_finding_that_is_gone_fails_too(pytester: pytest.Pytester, corpus: Path) -> None:
    result = run(pytester, "-k", "gone")
    result.assert_outcomes(failed=1, deselected=4)
    result.stdout.fnmatch_lines([f"*kept for  {SIGNATURE}", "*now gives clean"])


def test_only_the_folders_named_by_the_ini_file_are_collected(pytester: pytest.Pytester, corpus: Path) -> None:
    save_program(sizes(32), pytester.path / "tests" / "elsewhere.zst")
    assert "5 tests collected" in run(pytester, "--collect-only", "-q").stdout.str()


def test_pytest_told_what_to_run_leaves_the_folder_of_the_ini_file_out(pytester: pytest.Pytester, corpus: Path) -> None:
    run(pytester, "tests/test_plain.py").assert_outcomes(passed=1)


def test_the_option_adds_a_folder_whatever_else_is_run(pytester: pytest.Pytester, corpus: Path) -> None:
    run(pytester, "tests/test_plain.py", "--zsfuzz-corpus", "corpus/deep").assert_outcomes(passed=2)


def test_a_folder_that_is_walked_anyway_is_not_walked_twice(pytester: pytest.Pytester, corpus: Path) -> None:
    run(pytester, ".", "--zsfuzz-corpus=corpus").assert_outcomes(passed=3, failed=2)


def test_a_program_can_be_named_by_itself(pytester: pytest.Pytester, corpus: Path) -> None:
    elsewhere = pytester.path / "elsewhere.zst"
    save_program(sizes(32), elsewhere)
    run(pytester, "elsewhere.zst").assert_outcomes(passed=1)
    run(pytester, "corpus/deep/found.zsf::verdict").assert_outcomes(passed=1)


def test_k_selects_by_file_name(pytester: pytest.Pytester, corpus: Path) -> None:
    run(pytester, "-k", "good or found").assert_outcomes(passed=2, deselected=3)


def test_lf_runs_the_failed_ones_again(pytester: pytest.Pytester, corpus: Path) -> None:
    run(pytester).assert_outcomes(passed=3, failed=2)
    run(pytester, "--lf").assert_outcomes(failed=2)
    save_program(kept(sizes(32), "clean"), corpus / "gone.zst")
    run(pytester, "--lf").assert_outcomes(failed=1, passed=1)


def test_xdist_spreads_the_programs(pytester: pytest.Pytester, corpus: Path) -> None:
    pytest.importorskip("xdist")
    result = run_apart(pytester, "-n", "2")
    result.assert_outcomes(passed=3, failed=2)
    result.stdout.fnmatch_lines(["*replay: zsfuzz replay corpus/*"])


def test_xdist_knows_the_folder_of_the_option(pytester: pytest.Pytester, corpus: Path) -> None:
    pytest.importorskip("xdist")
    result = run_apart(pytester, "-n", "2", "tests/test_plain.py", "--zsfuzz-corpus", "corpus/deep")
    result.assert_outcomes(passed=2)


def test_junit_has_a_case_for_each_program_with_its_trace(pytester: pytest.Pytester, corpus: Path) -> None:
    run(pytester, "--junitxml=report.xml")
    cases = ElementTree.parse(pytester.path / "report.xml").findall(".//testcase")
    names = {f"{case.get('classname')}/{case.get('name')}" for case in cases}
    assert "corpus.deep.found.zsf/verdict" in names
    failures = ["".join(failure.itertext()) for case in cases for failure in case.findall("failure")]
    assert len(failures) == 2
    assert all("replay: zsfuzz replay corpus/" in text for text in failures)


def test_a_file_that_is_no_program_fails_in_one_line(pytester: pytest.Pytester, corpus: Path) -> None:
    (corpus / "broken.zst").write_text("zsfuzz 1\ngeometry linux-5.10\n---\nh0 = malloc many\n")
    result = run(pytester, "-k", "broken")
    result.assert_outcomes(failed=1, deselected=5)
    result.stdout.fnmatch_lines(["zsfuzz: *broken.zst:4: *"])
    assert "Traceback" not in result.stdout.str()


def test_a_target_that_is_unknown_fails_in_one_line(
    pytester: pytest.Pytester, corpus: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*names: str) -> FakeRunner:
        raise UsageError(f"unknown target {names[1]!r}")

    monkeypatch.setattr(running, "open_runner", refuse)
    result = run(pytester, "-k", "good")
    result.assert_outcomes(failed=1, deselected=4)
    result.stdout.fnmatch_lines(["zsfuzz: unknown target 'candidate'"])


def test_a_folder_that_is_not_there_is_said_at_once(pytester: pytest.Pytester, corpus: Path) -> None:
    result = run(pytester, "--zsfuzz-corpus", "nowhere")
    assert result.ret == pytest.ExitCode.USAGE_ERROR
    result.stderr.fnmatch_lines(["ERROR: zsfuzz: *nowhere is not a folder*"])


def test_without_a_folder_nothing_changes(pytester: pytest.Pytester) -> None:
    pytester.makepyfile("def test_plain(): pass")
    save_program(sizes(5000), pytester.path / "lying_about.zst")
    run(pytester).assert_outcomes(passed=1)
