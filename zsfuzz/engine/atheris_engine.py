"""The engine `atheris`: libFuzzer's corpus and schedule over programs, fed by code coverage and by state features.

In:    the package atheris (extra `atheris`), modules to instrument, a seed, perhaps a corpus folder.
Out:   AtherisEngine, an Engine of zsfuzz/engine/base.py; the parts that `zsfuzz atheris` uses by itself.
Never: a second one in a process: libFuzzer is made once. An exception in a callback of libFuzzer's: it would unwind
       through C++; it is raised in whoever asked for the program.
Next:  bytes and programs in zsfuzz/engine/libfuzzer.py; how a driver is asked: zsfuzz/engine/pulled.py; with
       libFuzzer's own flags: zsfuzz/campaign/libfuzzer.py.

State features reach libFuzzer as coverage: FeatureTable has FEATURE_COUNTERS functions that do nothing, instrumented
as any function is, so that each has a counter. After a run the function of each feature is called once.
"""

from __future__ import annotations

import ctypes
import importlib
import types
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar

from zsfuzz.engine.libfuzzer import MOST_BYTES, ProgramBytes
from zsfuzz.engine.profile import GenerateSettings
from zsfuzz.engine.pulled import Ask, Pulled
from zsfuzz.errors import HarnessError
from zsfuzz.execute.result import RunResult
from zsfuzz.program.program import Program

FEATURE_COUNTERS = 4096
"""Counters of the table. Two features may share one; then libFuzzer sees a count of two, which is new to it too."""

_GOLDEN = 0x9E3779B97F4A7C15  # spreads numbers that differ in a few low bits
_WORD = (1 << 64) - 1

_QUIET_FLAGS = (
    "-verbosity=0",
    "-handle_int=0",  # signals are the campaign's
    "-handle_term=0",
    "-timeout=1000000000",  # so is time; 0 would be one second
    "-rss_limit_mb=0",
    "-reload=0",  # the corpus folder is read once: when it is read again would depend on the clock
    "-detect_leaks=0",
)


def atheris_module() -> Any:
    """Return the package. Errors: ModuleNotFoundError."""
    return importlib.import_module("atheris")


def functions_of(modules: Iterable[types.ModuleType]) -> Iterator[types.FunctionType]:
    """Yield every function that modules define, methods and properties included, each once."""
    seen: dict[types.FunctionType, None] = {}
    for module in modules:
        for value in list(vars(module).values()):
            members = vars(value).values() if isinstance(value, type) and value.__module__ == module.__name__ else ()
            for each in (value, *members):
                for function in _plain_functions(each):
                    if function.__module__ == module.__name__ and function not in seen:
                        seen[function] = None
                        yield function


def _plain_functions(value: object) -> Iterator[types.FunctionType]:
    if isinstance(value, types.FunctionType):
        yield value
    elif isinstance(value, staticmethod | classmethod):
        yield from _plain_functions(value.__func__)
    elif isinstance(value, property):
        for each in (value.fget, value.fset):
            yield from _plain_functions(each)


def instrument(modules: Iterable[types.ModuleType]) -> int:
    """Instrument the functions of modules in place, whoever holds them; return how many."""
    atheris = atheris_module()
    count = 0
    for function in functions_of(modules):
        atheris.instrument_func(function)
        count += 1
    return count


def _nothing() -> None:
    """What a feature's function does."""


class FeatureTable:
    """One counter of libFuzzer's for each state feature, about."""

    def __init__(self, counters: int = FEATURE_COUNTERS) -> None:
        atheris = atheris_module()
        self._functions: list[Callable[[], None]] = []
        for number in range(counters):
            code = _nothing.__code__.replace(co_name=f"feature_{number}")
            function = types.FunctionType(code, {})
            atheris.instrument_func(function)
            self._functions.append(function)

    def show(self, features: Iterable[int]) -> None:
        """Count features, inside of libFuzzer's target function."""
        functions = self._functions
        for feature in features if functions else ():
            functions[((feature * _GOLDEN & _WORD) >> 32) % len(functions)]()


def _leave_at_exit() -> None:
    """Let the process end with its status as soon as C's exit() is called, Python being done.

    exit() calls the last registered function first, and that is libc's own _exit() then. What would come behind it
    takes the end for a crash, since libFuzzer still stands in its target function, or waits for an interpreter that is
    gone: the callbacks that atheris keeps are Python's.
    """
    libc = ctypes.CDLL(None)
    if libc.on_exit(ctypes.cast(libc._exit, ctypes.c_void_p), None) != 0:
        raise HarnessError("on_exit() failed: this process could not end")


class AtherisEngine:
    """libFuzzer, asked for one program after the other."""

    name = "atheris"
    _made: ClassVar[bool] = False

    def __init__(
        self,
        seed: int,
        settings: GenerateSettings | None = None,
        modules: Sequence[types.ModuleType] = (),
        corpus: Path | None = None,
        parallel_percent: int = 0,
    ) -> None:
        """modules: to instrument. corpus: a folder that libFuzzer reads, and adds to what reaches something new."""
        self._atheris = atheris_module()
        self._bytes = ProgramBytes(seed, settings or GenerateSettings(), parallel_percent)
        self._instrumented = instrument(modules)
        self._table = FeatureTable()
        self._flags = ["zsfuzz", *_QUIET_FLAGS, f"-seed={seed % (1 << 31) + 1}", f"-max_len={MOST_BYTES}"]
        self._flags += [] if corpus is None else [str(corpus)]
        self._counts = {"executions": 0, "mutated": 0, "crossed": 0}
        self._ask: Ask | None = None
        self._pulled = Pulled(self._drive)

    # -- an Engine

    def next_program(self) -> Program:
        """Return the program that libFuzzer wants to see run. Errors: HarnessError for a second engine in a process."""
        return self._pulled.next_program()

    def feedback(self, program: Program, result: RunResult) -> None:
        """Keep the result until libFuzzer goes on."""
        self._pulled.feedback(program, result)

    def statistics(self) -> Mapping[str, int]:
        """Return counts: executions, mutants, crossings, inputs that were no program, functions instrumented."""
        return {**self._counts, "replaced": self._bytes.replaced, "instrumented": self._instrumented}

    # -- the driver

    def _drive(self, ask: Ask) -> None:
        if AtherisEngine._made:
            raise HarnessError("libFuzzer can be made once in a process; start another one")
        AtherisEngine._made = True
        self._ask = ask
        guarded = self._pulled.guarded
        self._atheris.Setup(
            self._flags,
            guarded(self._run_one),
            custom_mutator=guarded(self._mutate),
            custom_crossover=guarded(self._cross),
        )
        self._atheris.Fuzz()

    def _run_one(self, data: bytes) -> None:
        assert self._ask is not None
        if not self._counts["executions"]:
            _leave_at_exit()  # not before: libFuzzer has begun by now
        self._counts["executions"] += 1
        result = self._ask(self._bytes.program_of(data))
        self._table.show(result.features)

    def _mutate(self, data: bytes, most_bytes: int, seed: int) -> bytes:
        self._counts["mutated"] += 1
        return self._bytes.mutated(data, most_bytes, seed)

    def _cross(self, one: bytes, two: bytes, most_bytes: int, seed: int) -> bytes:
        self._counts["crossed"] += 1
        return self._bytes.crossed(one, two, most_bytes, seed)
