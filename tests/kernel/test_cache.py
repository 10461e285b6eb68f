"""Where the cache is, whatever the environment says.

In:    environment variables.
Out:   paths.
Never: a folder made.
Next:  zsfuzz/kernel/cache.py.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from zsfuzz.errors import UsageError
from zsfuzz.kernel.cache import builds_folder, cache_root, source_folder


@pytest.mark.parametrize(
    ("ours", "xdg", "root"),
    [
        ("/ours", "/xdg", "/ours"),
        ("", "/xdg", "/xdg/zsfuzz"),
        ("", "relative", "/me/.cache/zsfuzz"),
        ("", "", "/me/.cache/zsfuzz"),
    ],
)
def test_the_first_that_is_set_decides(monkeypatch: pytest.MonkeyPatch, ours: str, xdg: str, root: str) -> None:
    monkeypatch.setenv("HOME", "/me")
    monkeypatch.setenv("XDG_CACHE_HOME", xdg)
    monkeypatch.setenv("ZSFUZZ_CACHE", ours)
    assert cache_root() == Path(root)
    assert source_folder("6.1") == Path(root) / "kernel/src/6.1"
    assert builds_folder() == Path(root) / "kernel/builds"


def test_a_relative_folder_is_the_one_here(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("ZSFUZZ_CACHE", "cache")
    assert cache_root() == tmp_path / "cache"


def test_a_folder_that_was_named_goes_before_all_others(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZSFUZZ_CACHE", "/ours")
    assert source_folder("6.1", Path("/named")) == Path("/named/kernel/src/6.1")


def test_without_a_home_the_user_is_told_what_to_set(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.delenv("ZSFUZZ_CACHE", raising=False)
    monkeypatch.delenv("XDG_CACHE_HOME", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    with pytest.raises(UsageError, match="ZSFUZZ_CACHE"):
        cache_root()
