"""`zsfuzz atheris`: libFuzzer with its own flags over the two targets.

In:    targets, folders; behind --, libFuzzer's flags and corpus folders.
Out:   findings on disk, a line for each; libFuzzer's exit status, 77 also when findings were kept and the run went on.
Never: libFuzzer in this process: it ends the process it runs in, and starts further ones by itself.
Next:  the target function in zsfuzz/campaign/libfuzzer.py; docs/engines.md.

libFuzzer starts itself again for -merge=1, -minimize_crash=1 and -fork=N: it hands its first word and its flags to sh.
So that word has to be a program: the script `zsfuzz-atheris` that is installed beside `zsfuzz`. If sh cannot start it,
libFuzzer merges nothing and says that all is well; so it is looked at first.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from zsfuzz.campaign.engines import missing_extra
from zsfuzz.campaign.files import check_folder
from zsfuzz.campaign.findings import replay_command
from zsfuzz.campaign.running import DEFAULT_CANDIDATE, DEFAULT_REFERENCE, Runners
from zsfuzz.campaign.verdict import judge
from zsfuzz.cli import options, status
from zsfuzz.cli.output import Output
from zsfuzz.cli.signals import interrupting_on_signals
from zsfuzz.errors import HarnessError, UsageError
from zsfuzz.program.files import load_program

SCRIPT = "zsfuzz-atheris"
CRASH = 77
_VARIABLE = "ZSFUZZ_ATHERIS"
_STARTS_ITSELF = ("-merge", "-minimize_crash", "-fork", "-jobs", "-cleanse_crash")

_EXAMPLES = """\
  zsfuzz atheris -- -runs=1000 corpus/
  zsfuzz atheris --candidate mymodule:MyAllocator -- -max_total_time=600 corpus/
  zsfuzz atheris -- -merge=1 small/ corpus/
  zsfuzz atheris -- -minimize_crash=1 -runs=2000 zsfuzz-findings/1a2b3c4d5e6f.zst
"""

_MORE = """\
Everything behind -- is libFuzzer's (`zsfuzz atheris -- -help=1` lists it). A finding is kept in the findings folder
and the run goes on; only with single files, and with -minimize_crash=1, it is a crash to libFuzzer.
Exit status: libFuzzer's: 0, 77 a finding, 70 a timeout, 71 out of memory; 2 a mistake in the command, 3 a fault.
"""


def add(commands: options.Commands) -> None:
    """Add the command."""
    parser = options.add_command(commands, "atheris", run, "libFuzzer with its own flags", _EXAMPLES, _MORE)
    options.add_target_options(parser)
    parser.add_argument("--findings", type=options.folder, default=Path("zsfuzz-findings"), metavar="DIR")
    parser.add_argument("--geometry", metavar="NAME", help="of new programs (a mix)")
    parser.add_argument(
        "--parallel", type=options.percent, default=0, metavar="PERCENT", help="new programs with lanes"
    )
    parser.add_argument("flags", nargs="*", metavar="FLAG", help="behind --: libFuzzer's flags and folders")


def run(arguments: argparse.Namespace, output: Output) -> int:
    """Start libFuzzer, wait for it, tell what it kept."""
    if importlib.util.find_spec("atheris") is None:
        raise UsageError(missing_extra("zsfuzz atheris", "atheris"))
    from zsfuzz.campaign.libfuzzer import Order, minimizes, usual_flags  # needs atheris

    check_folder(arguments.findings, "--findings")
    flags: list[str] = arguments.flags
    entry = entry_script(flags)
    choice = options.choice_of(arguments)
    targets = (choice.reference or DEFAULT_REFERENCE, choice.candidate or DEFAULT_CANDIDATE)
    Runners().get(*targets, choice.faults)  # an unknown name is a mistake here, in one line
    signature = _signature_of(flags, targets, choice.faults) if minimizes(flags) else ""
    arguments.findings.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="zsfuzz-") as folder:
        journal = Path(folder, "journal")
        order = Order(
            *targets,
            choice.faults,
            str(arguments.findings),
            arguments.geometry,
            arguments.parallel,
            str(journal),
            signature,
        )
        before = _merged_files(flags)
        code = _wait([str(entry), *usual_flags(flags, arguments.findings)], {**os.environ, _VARIABLE: order.as_text()})
        found = _hits(journal)
    _check_merge(flags, before, code)
    for finding_id, (text, hits) in found.items():
        output.line(f"{finding_id}  {text}")
        output.line(f"  hits {hits}; {replay_command(arguments.findings / (finding_id + '.zst'))}")
    if code < 0:
        raise HarnessError(f"libFuzzer was ended by signal {-code}")
    return CRASH if code == status.NOTHING_FOUND and found else code


def entry_script(flags: list[str]) -> Path:
    """Return the script that libFuzzer can start again. Errors: UsageError that says what is wrong with it."""
    beside = [Path(sys.argv[0]).resolve().parent, Path(sys.executable).parent]
    places = [folder / SCRIPT for folder in beside if (folder / SCRIPT).is_file()]
    found = places[0] if places else Path(shutil.which(SCRIPT) or "")
    if not found.is_file():
        raise UsageError(
            f"{SCRIPT} is not installed beside zsfuzz; install zsfuzz again: pip install 'zsfuzz[atheris]'"
        )
    problem = script_problem(found)
    if problem:
        raise UsageError(
            f"{found}: {problem}; libFuzzer starts it through sh, and would call a merge of nothing a success"
        )
    if " " in str(found) and any(flag.startswith(_STARTS_ITSELF) for flag in flags):
        raise UsageError(
            f"{found}: libFuzzer cannot start a program with a space in its path; install zsfuzz elsewhere"
        )
    return found


def script_problem(path: Path) -> str:
    """Return why sh could not start a script, "" when it can."""
    if not os.access(path, os.X_OK):
        return "it is not executable; chmod +x it"
    with open(path, "rb") as script:
        first = script.readline().rstrip()
    if not first.startswith(b"#!"):
        return "it has no first line that names its interpreter (#!); install zsfuzz again"
    interpreter = first[2:].split()[0].decode(errors="replace") if first[2:].split() else ""
    return "" if os.access(interpreter, os.X_OK) else f"its interpreter {interpreter} cannot be started"


def _signature_of(flags: list[str], targets: tuple[str, str], faults: tuple[str, ...]) -> str:
    """Return what the input that is to be minimized gives. Errors: UsageError for none, or a clean one."""
    inputs = [flag for flag in flags if not flag.startswith("-")]
    if len(inputs) != 1:
        raise UsageError(f"-minimize_crash=1 takes one input file, not {len(inputs)}")
    verdict = judge(load_program(inputs[0]), Runners().get(*targets, faults), targets, inputs[0])
    if verdict.finding is None:
        raise UsageError(f"{inputs[0]}: gives no finding on {' | '.join(targets)}; there is nothing to minimize")
    return verdict.finding.signature


def _wait(words: list[str], environment: dict[str, str]) -> int:
    """Run libFuzzer, and let it end by itself when a signal says so."""
    with interrupting_on_signals(), subprocess.Popen(words, env=environment) as process:
        while True:
            try:
                return process.wait()
            except KeyboardInterrupt:
                process.terminate()


def _hits(journal: Path) -> dict[str, tuple[str, int]]:
    """Return id -> (signature, hits), in the order of the first hits."""
    found: dict[str, tuple[str, int]] = {}
    if journal.exists():
        for line in journal.read_text(encoding="utf-8").splitlines():
            finding_id, _, text = line.partition(" ")
            found[finding_id] = (text, found.get(finding_id, (text, 0))[1] + 1)
    return found


def _merged_files(flags: list[str]) -> int | None:
    """Return how many files a merge reads, None for no merge."""
    if "-merge=1" not in flags:
        return None
    folders = [Path(flag) for flag in flags if not flag.startswith("-")]
    return sum(1 for folder in folders[1:] if folder.is_dir() for each in folder.rglob("*") if each.is_file())


def _check_merge(flags: list[str], read: int | None, code: int) -> None:
    """Errors: HarnessError for a merge that read programs, kept none and says that all is well."""
    if not read or code != 0:
        return
    into = next(Path(flag) for flag in flags if not flag.startswith("-"))
    if not any(each.is_file() for each in into.rglob("*")):
        raise HarnessError(f"libFuzzer merged {read} files into none and reports success: it could not start itself")


def entry(argv: list[str] | None = None) -> int:
    """The script `zsfuzz-atheris`: what libFuzzer starts. By hand it is `zsfuzz atheris --`."""
    from zsfuzz.cli.main import main  # main.py imports this file

    flags = sys.argv[1:] if argv is None else argv
    if _VARIABLE not in os.environ:
        return main(["atheris", "--", *flags])
    sys.path.append(os.getcwd())  # for a target of a file right here, as in `zsfuzz`
    from zsfuzz.campaign.libfuzzer import run_libfuzzer

    try:
        run_libfuzzer(os.path.abspath(sys.argv[0]), flags)
    except UsageError as error:
        Output(sys.stdout, sys.stderr).note(f"zsfuzz: {error}")
        return status.USER_MISTAKE
