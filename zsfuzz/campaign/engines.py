"""Engines by the names that --engine takes.

In:    the settings of a campaign.
Out:   open_engine(): an Engine, seeded; its corpus folder is read here and written through it.
Never: an engine's choices.
Next:  zsfuzz/engine/random_engine.py, zsfuzz/engine/coverage_engine.py, zsfuzz/corpus/store.py.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from importlib import import_module
from pathlib import Path
from random import Random
from types import ModuleType

from zsfuzz.campaign.settings import RunSettings
from zsfuzz.corpus.store import CorpusStore
from zsfuzz.engine.base import Engine
from zsfuzz.engine.coverage_engine import CoverageEngine
from zsfuzz.engine.parallel_engine import ParallelEngine
from zsfuzz.engine.profile import GenerateSettings
from zsfuzz.engine.random_engine import RandomEngine
from zsfuzz.errors import UsageError
from zsfuzz.program.program import Program
from zsfuzz.target.registry import resolve

ENGINES = ("atheris", "coverage", "hypothesis", "random")

EXTRAS = ("atheris", "hypothesis")
"""Engines that need a package of the same name, which zsfuzz installs as an extra of that name."""


def seeds_of_the_sources() -> Path | None:
    """Return the folder of programs that campaigns start from, None for an installation without its sources."""
    folder = Path(__file__).resolve().parents[2] / "corpus" / "seeds"
    return folder if folder.is_dir() else None


def open_engine(settings: RunSettings, note: Callable[[str], None], store: CorpusStore | None = None) -> Engine:
    """Return the engine that the settings name. note: told, in one line each, what the user should know.

    store: over settings.corpus, where that folder is shared with others; None for one of its own.
    Errors: UsageError for an unknown name, or a corpus folder that cannot be used.
    """
    if settings.engine not in ENGINES:
        raise UsageError(f"--engine {settings.engine} is unknown; use one of {', '.join(ENGINES)}")
    inner, keep = _open_inner(settings, note, store)
    if not settings.parallel_percent or settings.engine == "atheris":  # which makes its own blocks
        return inner
    rng, generate = Random(settings.seed + 1), GenerateSettings(geometry=settings.geometry)
    learns = settings.engine == "coverage"
    return ParallelEngine(inner, rng, generate, settings.parallel_percent, learns=learns, keep=keep)


def _open_inner(
    settings: RunSettings, note: Callable[[str], None], store: CorpusStore | None
) -> tuple[Engine, Callable[[Program], object] | None]:
    """Return the engine of programs without blocks, and what keeps a program in the corpus folder."""
    rng = Random(settings.seed)
    generate = GenerateSettings(geometry=settings.geometry)
    if settings.engine == "random":
        if settings.corpus is not None:
            note(f"--corpus {settings.corpus} is left alone: the engine random takes and keeps no programs")
        if settings.seeds is not None:
            note(f"--seeds {settings.seeds} is left alone: the engine random takes no programs")
        return RandomEngine(rng, generate), None
    if settings.engine == "atheris":
        return _open_atheris(settings, generate), None
    if settings.engine == "hypothesis":
        if settings.corpus is not None:
            note(f"--corpus {settings.corpus} is left alone: Hypothesis takes and keeps no programs of others")
        if settings.seeds is not None:
            note(f"--seeds {settings.seeds} is left alone: Hypothesis takes no programs of others")
        return _open_extra("hypothesis", "zsfuzz.strategies.hypothesis_engine").HypothesisEngine(rng, generate), None
    seeds = _seeds(CorpusStore(settings.seeds, create=False), note) if settings.seeds is not None else []
    if settings.corpus is None:
        return CoverageEngine(rng, generate, seeds), None
    store = store or CorpusStore(settings.corpus)
    return CoverageEngine(rng, generate, seeds + _seeds(store, note), store.add), store.add


def _open_atheris(settings: RunSettings, generate: GenerateSettings) -> Engine:
    """Return libFuzzer over the code of the two targets. It keeps its corpus folder by itself."""
    made = _open_extra("atheris", "zsfuzz.engine.atheris_engine").AtherisEngine(
        settings.seed,
        generate,
        target_modules(settings.reference, settings.candidate),
        None if settings.corpus is None else CorpusStore(settings.corpus).folder,
        settings.parallel_percent,
    )
    engine: Engine = made
    return engine


def target_modules(*names: str) -> list[ModuleType]:
    """Return the modules of targets: those of the packages that their classes come from, zsfuzz' own aside.

    Errors: UsageError for an unknown target.
    """
    classes = [base for name in names for base in resolve(name).__mro__]
    packages = dict.fromkeys(each.__module__.partition(".")[0] for each in classes)
    packages = {name: None for name in packages if name not in ("zsfuzz", "abc", "builtins", "typing")}
    return [module for name, module in sorted(sys.modules.items()) if name.partition(".")[0] in packages]


def _open_extra(package: str, module: str) -> ModuleType:
    """Import a module that needs an extra. Errors: UsageError that says how to get it."""
    try:
        import_module(package)
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        raise UsageError(missing_extra(f"--engine {package}", package)) from error
    return import_module(module)


def missing_extra(what: str, package: str) -> str:
    """Return the line for a user who asks for what an extra brings."""
    return f"{what} needs the package {package}, which is not installed; get it: pip install 'zsfuzz[{package}]'"


def _seeds(store: CorpusStore, note: Callable[[str], None]) -> list[Program]:
    """Return the programs of a folder in the order of their paths; files that hold none are told of."""
    loaded = store.load()
    if loaded.bad:
        note(f"{len(loaded.bad)} files of {store.folder} hold no program; the first: {loaded.bad[0].reason}")
    return [program for _, program in loaded.programs]
