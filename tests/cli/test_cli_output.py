"""Where output goes, and what happens when it cannot go there.

In:    commands in processes of their own, their outputs closed, full or gone.
Out:   statuses, single lines, no tracebacks.
Never: a run on a machine.
Next:  zsfuzz/cli/output.py, zsfuzz/cli/main.py.
"""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import pytest

from tests.campaign.fakes import FakeRunner, sizes
from tests.cli.commands import argv, call, environment, shell
from zsfuzz.cli.output import Output, printable
from zsfuzz.errors import UsageError
from zsfuzz.program.files import save_program
from zsfuzz.report.progress import LiveProgress, PlainProgress, progress_view

Capture = pytest.CaptureFixture[str]
COMMANDS = ("run", "replay", "minimize", "show", "assemble", "corpus", "trace", "faults", "conform")
PARTS = (("corpus", "add"), ("corpus", "check"), ("corpus", "stats"), ("trace", "import"), ("faults", "list"))


class Broken(io.StringIO):
    """A stream that refuses to be written."""

    def __init__(self, error: OSError) -> None:
        super().__init__()
        self._error = error

    def write(self, text: str) -> int:
        raise self._error


def big_program(path: Path) -> Path:
    save_program(sizes(*range(1, 20_000)), path)
    return path


@pytest.mark.parametrize("words", [(name,) for name in COMMANDS] + list(PARTS))
def test_every_help_shows_examples(capsys: Capture, words: tuple[str, ...]) -> None:
    done = call(capsys, *words, "--help")
    assert done.status == 0
    assert f"examples:\n  zsfuzz {words[0]}" in done.out


def test_the_main_help_names_every_command_and_every_status(capsys: Capture) -> None:
    done = call(capsys, "--help")
    assert all(name in done.out for name in COMMANDS)
    assert "0 nothing found, 1 a finding, 2 a mistake in the command or a file, 3 a fault" in done.out


def test_the_version_is_told(capsys: Capture) -> None:
    assert call(capsys, "--version").out.startswith("zsfuzz ")


@pytest.mark.parametrize(
    "words",
    [(), ("nonsense",), ("replay",), ("minimize", "a.zst"), ("corpus",), ("show",), ("trace", "import")],
)
def test_a_command_line_that_makes_no_sense_is_one_line(capsys: Capture, words: tuple[str, ...]) -> None:
    assert "--help`" in call(capsys, *words).complaint


def test_a_pipe_that_is_closed_ends_the_printing_quietly(tmp_path: Path) -> None:
    process = subprocess.Popen(
        argv("show", big_program(tmp_path / "big.zst")),
        cwd=tmp_path,
        env=environment(),
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stderr is not None
    assert process.stdout.readline() == "zsfuzz 1\n"
    process.stdout.close()
    assert process.stderr.read() == ""
    process.stderr.close()
    assert process.wait(60) == 0


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no device that is always full")
@pytest.mark.parametrize("words", [("show", "a.zst"), ("show", "big.zst"), ("--help",)])
def test_a_full_disk_behind_standard_output_is_one_line(tmp_path: Path, words: tuple[str, ...]) -> None:
    big_program(tmp_path / "big.zst")
    save_program(sizes(1), tmp_path / "a.zst")
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            argv(*words),
            cwd=tmp_path,
            env=environment(),
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            timeout=60,
        )
    assert done.returncode == 2
    assert done.stderr.splitlines() == [
        "zsfuzz: cannot write to standard output: No space left on device; send it elsewhere"
    ]


@pytest.mark.parametrize("closing", ["1>&-", "2>&-", "1>&- 2>&-", "0<&-"])
def test_streams_that_were_closed_before_the_start_do_no_harm(tmp_path: Path, closing: str) -> None:
    save_program(sizes(1), tmp_path / "a.zst")
    done = subprocess.run(
        ["sh", "-c", f'exec "$@" {closing}', "sh", *argv("show", "a.zst")],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_name_with_control_characters_stays_in_one_line(tmp_path: Path) -> None:
    assert "\\n" in shell("show", "a\nb\x1b[2J.zst", cwd=tmp_path).complaint


def test_a_name_that_is_not_utf_8_stays_printable(tmp_path: Path) -> None:
    path = tmp_path / "a\udcff.zst"
    path.write_text("no program")
    assert "udcff" in shell("show", path, cwd=tmp_path).complaint


def test_assertions_turned_off_are_refused(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-O", "-m", "zsfuzz", "--help"],
        cwd=tmp_path,
        env=environment(),
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 2
    assert "assertions are off" in done.stderr


def test_an_interrupt_is_told_in_a_line(fake: FakeRunner, capsys: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    def rule(program: object) -> None:
        raise KeyboardInterrupt

    fake.rule = rule
    save_program(sizes(1), "a.zst")
    done = call(capsys, "replay", "a.zst")
    assert (done.status, done.err) == (130, "zsfuzz: interrupted\n")


def test_a_broken_pipe_is_no_error_and_any_other_failure_is_the_users() -> None:
    output = Output(Broken(BrokenPipeError(32, "Broken pipe")), None)
    output.line("gone")
    output.line("still gone")
    with pytest.raises(UsageError, match="Input/output error"):
        Output(Broken(OSError(5, "Input/output error")), None).line("lost")


def test_notes_that_nobody_can_read_are_dropped() -> None:
    output = Output(None, Broken(OSError(5, "Input/output error")))
    output.note("gone")
    assert output.stderr is None


def test_progress_that_nobody_can_read_is_dropped() -> None:
    view = PlainProgress(Broken(BrokenPipeError(32, "Broken pipe")))
    view.show(100.0, "gone")
    view.show(200.0, "still gone")


def test_a_plain_line_comes_every_few_seconds_only() -> None:
    stream = io.StringIO()
    with PlainProgress(stream) as view:
        for tenth in range(200):
            view.show(tenth / 10, f"line {tenth}")
    assert [line.split()[-1] for line in stream.getvalue().splitlines()] == ["50", "100", "150"]


class Terminal(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def test_a_terminal_gets_a_line_that_is_drawn_over(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    stream = Terminal()
    view = progress_view(stream)
    assert isinstance(view, LiveProgress)
    with view:
        view.show(1.0, "12 programs", 0.5)
        view.show(2.0, "24 programs")
    assert "12 programs" in stream.getvalue()
    assert "\x1b[" in stream.getvalue()


def test_a_terminal_that_cannot_draw_gets_plain_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "dumb")
    assert isinstance(progress_view(Terminal()), PlainProgress)


@pytest.mark.parametrize(
    ("text", "shown"),
    [("plain ä", "plain ä"), ("a\nb", "a\\nb"), ("\x1b[2J", "\\x1b[2J"), ("\udcff", "\\udcff")],
)
def test_control_characters_are_shown_and_not_sent(text: str, shown: str) -> None:
    assert printable(text) == shown
