"""Engines by the names that --engine takes.

In:    the settings of a campaign.
Out:   open_engine(): an Engine, seeded; its corpus folder is read here and written through it.
Never: an engine's choices.
Next:  zsfuzz/engine/random_engine.py, zsfuzz/engine/coverage_engine.py, zsfuzz/corpus/store.py.
"""

from __future__ import annotations

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


def _open_extra(package: str, module: str) -> ModuleType:
    """Import a module that needs an extra. Errors: UsageError that says how to get it."""
    try:
        import_module(package)
    except ModuleNotFoundError as error:
        if error.name != package:
            raise
        wanted = f"--engine {package} needs the package {package}, which is not installed"
        raise UsageError(f"{wanted}; get it with the extra: pip install 'zsfuzz[{package}]'") from error
    return import_module(module)


def _seeds(store: CorpusStore, note: Callable[[str], None]) -> list[Program]:
    """Return the programs of a folder in the order of their paths; files that hold none are told of."""
    loaded = store.load()
    if loaded.bad:
        note(f"{len(loaded.bad)} files of {store.folder} hold no program; the first: {loaded.bad[0].reason}")
    return [program for _, program in loaded.programs]
