"""Process: a kernel in a worker process of its own, for what may end the process it runs in.

In:    a Build; batches.
Out:   Executor: in this process as long as that is sound, in a worker otherwise.
Never: shares a worker between two builds.
Next:  the worker's side: zsfuzz/kernel/worker.py.

Sanitizers end the process at their first report and need their runtime loaded first (LD_PRELOAD). A wild access or an
endless loop that was trapped in this process is reported from here, but leaves memory that cannot be trusted: from
then on the build runs in a worker, which is made anew after every such end.
"""

from __future__ import annotations

import os
import pickle
import re
import subprocess
import sys
from array import array
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

from zsfuzz.errors import HarnessError
from zsfuzz.kernel.build import Build
from zsfuzz.kernel.library import Executor, Library, Ran, Report, Request

_RUNTIMES = {"address": "libasan.so", "undefined": "libubsan.so"}
_SHOWN_LINES = 12


_open: dict[str, Executor] = {}


def open_executor(build: Build) -> Executor:
    """Return what runs a build: one for all who ask, as one library has one world."""
    if build.module not in _open:
        _open[build.module] = Worker(build) if build.options.sanitize else InProcess(build)
    return _open[build.module]


class InProcess:
    """A build in this process; after a crash, in a worker."""

    def __init__(self, build: Build) -> None:
        self._build = build
        self.library = Library(build)
        self._worker: Worker | None = None

    def run(self, words: array[int], request: Request) -> Ran:
        """Run one batch."""
        if self._worker is not None:
            return self._worker.run(words, request)
        ran = self.library.run(words, request)
        if self.library.crashed:
            self._worker = Worker(self._build)
        return ran


class Worker:
    """A build in a process of its own, which is started when it is needed and again after it died."""

    def __init__(self, build: Build) -> None:
        self.build = build
        self._process: subprocess.Popen[bytes] | None = None

    def run(self, words: array[int], request: Request) -> Ran:
        """Run one batch. A process that dies of it is the batch's report."""
        process = self._started()
        try:
            _send(process.stdin, (words.tobytes(), request))
            answer = _receive(process.stdout)
        except (EOFError, BrokenPipeError):
            return self._died()
        assert isinstance(answer, Ran)
        if answer.report is not None and answer.report.crashed:
            self.close()
        return answer

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            command = [sys.executable, "-m", "zsfuzz.kernel.worker"]
            pipe = subprocess.PIPE
            self._process = subprocess.Popen(
                command, stdin=pipe, stdout=pipe, stderr=pipe, env=_environment(self.build)
            )
            _send(self._process.stdin, self.build)
        return self._process

    def _died(self) -> Ran:
        assert self._process is not None
        process, self._process = self._process, None
        assert process.stderr is not None
        text = process.stderr.read().decode(errors="replace")
        status = process.wait()
        _close(process)
        report = sanitizer_report(text, status)
        if report is None:
            raise HarnessError(f"a kernel worker ended with status {status}: {text.strip()[-400:]}")
        step = re.search(r"^zsfuzz: step (\d+)$", text, re.MULTILINE)
        return Ran(b"", 0, 0, int(step[1]) if step else 0, 0, 0, 0, 0, report, b"", b"")

    def close(self) -> None:
        """End the worker."""
        if self._process is not None:
            process, self._process = self._process, None
            process.kill()
            process.wait()
            _close(process)

    def __del__(self) -> None:
        self.close()


def _close(process: subprocess.Popen[bytes]) -> None:
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            with suppress(BrokenPipeError):  # what it never read is of no use to anybody
                pipe.close()


def sanitizer_report(text: str, status: int) -> Report | None:
    """Return the report that a dead worker left on its standard error, None when there is none.

    The place is the innermost frame in mm/zsmalloc.c, else the innermost of all.
    """
    found = re.search(r"ERROR: AddressSanitizer: ([\w-]+)", text)
    undefined = re.search(r"^(\S+?):(\d+):\d+: runtime error: (.*)$", text, re.MULTILINE)
    if undefined:
        path, line, message = undefined.groups()
        file = Path(path).name
        return Report(
            "memory", "UndefinedBehaviorSanitizer", "", message, file, int(line), _function(text, file), 0, True
        )
    if not found:
        return (
            Report("memory", f"killed by signal {-status}", "", text.strip()[-200:], "", 0, "", 0, True)
            if status < 0
            else None
        )
    frames = re.findall(r"#\d+ 0x[0-9a-f]+ in (\S+) (\S+?):(\d+)", text)
    kernel = [frame for frame in frames if frame[1].endswith("zsmalloc.c")] or frames or [("", "", "0")]
    function, path, line = kernel[0]
    lines = [line.strip() for line in text.splitlines() if line.strip()][:_SHOWN_LINES]
    return Report(
        "memory",
        f"AddressSanitizer {found[1]}",
        "",
        " | ".join(lines)[:300],
        Path(path).name,
        int(line),
        function,
        0,
        True,
    )


def _function(text: str, file: str) -> str:
    found = re.search(rf"#\d+ 0x[0-9a-f]+ in (\S+) \S*{re.escape(file)}:", text)
    return found[1] if found else ""


def _environment(build: Build) -> dict[str, str]:
    environment = dict(os.environ)
    root = str(Path(__file__).resolve().parents[2])
    environment["PYTHONPATH"] = os.pathsep.join(filter(None, (root, environment.get("PYTHONPATH", ""))))
    if build.options.sanitize:
        compiler = build.options.compiler
        runtimes = [_runtime(compiler, sanitizer) for sanitizer in build.options.sanitize]
        environment["LD_PRELOAD"] = " ".join(filter(None, (*runtimes, environment.get("LD_PRELOAD", ""))))
        environment["ASAN_OPTIONS"] = "detect_leaks=0:handle_segv=1:allow_user_segv_handler=1"
        environment["UBSAN_OPTIONS"] = "print_stacktrace=1"
    return environment


def _runtime(compiler: str, sanitizer: str) -> str:
    name = _RUNTIMES[sanitizer]
    if "clang" in compiler:
        name = "libclang_rt.asan-x86_64.so" if sanitizer == "address" else "libclang_rt.ubsan_standalone-x86_64.so"
    asked = [compiler, f"-print-file-name={name}"]
    found = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
    return found if os.path.isabs(found) else ""


def _send(pipe: IO[bytes] | None, value: Any) -> None:
    assert pipe is not None
    data = pickle.dumps(value)
    pipe.write(len(data).to_bytes(8, "little") + data)
    pipe.flush()


def _receive(pipe: IO[bytes] | None) -> Any:
    assert pipe is not None
    head = pipe.read(8)
    if len(head) < 8:
        raise EOFError
    length = int.from_bytes(head, "little")
    data = pipe.read(length)
    if len(data) < length:
        raise EOFError
    return pickle.loads(data)
