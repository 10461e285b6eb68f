"""Bugs planted in copies of a kernel's source are found, and named with file and line.

In:    sources from the cache; edits made by these tests, in temporary copies.
Out:   -
Never: an edit of the cache.
Next:  tests/kernel/test_kernel_runs.py for kernels as they are.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from tests.kernel.kernels import Kernels, built, program
from zsfuzz.campaign.files import write_program
from zsfuzz.engine.profile import GenerateSettings
from zsfuzz.engine.random_engine import RandomEngine
from zsfuzz.errors import UsageError
from zsfuzz.kernel.build import BuildOptions
from zsfuzz.kernel.library import RANDOM, Request
from zsfuzz.kernel.lower import lower_block, lower_steps
from zsfuzz.kernel.process import open_executor
from zsfuzz.minimize.minimizer import minimize
from zsfuzz.oracle.finding import Finding
from zsfuzz.program.program import Program


@pytest.fixture(scope="module")
def kernels(tmp_path_factory: pytest.TempPathFactory) -> Kernels:
    root = tmp_path_factory.getbasetemp()
    return Kernels((root.parent if root.name.startswith("popen-") else root) / "kernels")


LOST_HANDLE = ("\t\tnewpage->index = oldpage->index;", "\t\t;")
"""A03's neighbour: a huge zspage's page keeps its handle in page->index, and migration forgets to take it along."""

FREED_TOO_EARLY = (
    "\tread_lock(&pool->lock);\n\tobj = handle_to_obj(handle);\n\tobj_to_zpdesc(obj, &f_zpdesc);",
    "\tobj = handle_to_obj(handle);\n\tread_lock(&pool->lock);\n\tobj_to_zpdesc(obj, &f_zpdesc);",
)
"""The handle is read before the lock: a migration in between moves the object away."""

CLASS_WITHOUT_HANDLE = (
    "return pool->size_class[get_size_class_index(size + ZS_HANDLE_SIZE)];",
    "return pool->size_class[get_size_class_index(size)];",
)
"""A26, in the one place where it costs data: the slot has no room for the handle in front of the object."""

KEPT_REFERENCE = ("\treset_page(page);\n\tput_page(page);\n\tpage = newpage;", "\treset_page(page);\n\tpage = newpage;")
"""Migration forgets to drop the owner's reference of the old page."""


def test_a_patched_tree_is_found_out_and_the_finding_is_minimized(kernels: Kernels, tmp_path: Path) -> None:
    """A26 in a copy of 6.12: the fuzzer finds it against 7.2, and two steps show it."""
    made = kernels.patched("6.12", "class-without-handle", CLASS_WITHOUT_HANDLE)
    runner = kernels.runner(made, kernels.build("7.2"))
    engine = RandomEngine(Random(1), GenerateSettings(geometry="linux-5.10"))
    program_found, finding = next(
        (each, findings[0])
        for each in (engine.next_program() for _ in range(400))
        if (findings := runner.run(each).findings)
    )

    (finding,) = runner.run(program_found, cadence=1).findings  # with every check, as a campaign reports it

    def shows_it(each: Program) -> bool:
        return any(found.signature == finding.signature for found in runner.run(each, cadence=1).findings)

    small = minimize(program_found, shows_it)
    assert len(small.program.steps) <= 3
    assert runner.run(small.program, cadence=1).findings[0].signature == finding.signature
    write_program(tmp_path / "found.zst", small.program)


def test_a_handle_that_migration_loses_is_an_invariant(kernels: Kernels) -> None:
    made = kernels.patched("5.10", "lost-handle", LOST_HANDLE)
    result = kernels.run(made, made, "h1 = malloc 4096\nmigrate h1.0 sync\nfree h1")
    (finding,) = result.findings
    assert finding.signature == "invariant/I5 lock held at quiescence/page movement/reference handle pin"
    assert finding.step == 1  # the pin that was taken for the handle is given back to nobody


def test_a_reference_that_is_kept_is_a_leak(kernels: Kernels) -> None:
    made = kernels.patched("5.10", "kept-reference", KEPT_REFERENCE)
    result = kernels.run("reference", made, "h1 = malloc 100\nmigrate h1.0 sync")
    assert result.findings
    result = kernels.run(made, made, "h1 = malloc 100\nmigrate h1.0 sync\nfree h1")
    (finding,) = result.findings
    assert finding.rule == "I12 leak"


def test_a_kernels_own_assertion_is_a_finding_with_file_and_line(kernels: Kernels) -> None:
    made = kernels.patched("6.12", "assertion", ("\tzspage->magic = ZSPAGE_MAGIC;", "\tzspage->magic = 0;"))
    (finding,) = kernels.run(made, made, "h1 = malloc 100").findings
    assert finding.rule == "BUG_ON(zspage->magic != ZSPAGE_MAGIC)"
    assert finding.functions == ("get_zspage",)
    assert dict(finding.details)["file"] == "zsmalloc.c"
    assert int(dict(finding.details)["line"]) > 500


def test_a_double_free_names_where_it_was_freed_first(kernels: Kernels) -> None:
    made = kernels.patched(
        "7.2",
        "double-free",
        ("\tcache_free_handle(handle);\n}", "\tcache_free_handle(handle);\n\tcache_free_handle(handle);\n}"),
    )
    (finding,) = kernels.run(made, made, "h1 = malloc 100\nfree h1").findings
    assert (finding.kind, finding.rule) == ("memory", "double free")
    assert "was freed at" in finding.message
    assert "zsmalloc.c" in finding.message


def test_a_crash_is_trapped_and_the_next_program_runs_in_a_process_of_its_own(kernels: Kernels) -> None:
    made = kernels.patched(
        "6.12",
        "crash",
        ("\tif (unlikely(!size))\n", "\tif (size == 1234)\n\t\t*(volatile int *)16 = 1;\n\tif (unlikely(!size))\n"),
    )
    (finding,) = kernels.run(made, made, "h1 = malloc 100\nh2 = malloc 1234").findings
    assert (finding.kind, finding.rule, finding.step) == ("memory", "wild access", 1)
    for _ in range(2):
        assert not kernels.run(made, made, "h1 = malloc 100").findings
        assert kernels.run(made, made, "h1 = malloc 1234").findings


def test_a_lock_taken_twice_and_a_loop_without_an_end_are_trapped(kernels: Kernels) -> None:
    size = "\tif (unlikely(!size))\n"
    twice = "\tif (size == 1)\n\t\tspin_lock(&pool->size_class[0]->lock), spin_lock(&pool->size_class[0]->lock);\n"
    endless = "\twhile (size == 2)\n\t\tspin_is_contended(&pool->size_class[0]->lock);\n"
    made = kernels.patched("7.2", "stuck", (size, twice + endless + size))
    for steps, rule in (("h1 = malloc 1", "self-deadlock"), ("h1 = malloc 2", "livelock")):
        (finding,) = kernels.run(made, made, steps).findings
        assert (finding.kind, finding.rule) == ("progress", rule)


def test_a_race_is_found_and_its_record_repeats_it(kernels: Kernels) -> None:
    """zs_free() that reads the handle before it has the lock, against a migration."""
    made = kernels.patched("7.2", "freed-too-early", FREED_TOO_EARLY)
    executor = open_executor(made)
    steps = program("\n".join(f"h{number} = malloc 3256" for number in range(5))).steps
    lanes = [program(f"free h{number}\nh{number} = malloc 3256").steps for number in (0, 1)]
    lanes.append(program("migrate h0.0 h0.1 h1.2 h0.3 sync\nmigrate h0.0 h0.1 h1.2 h0.3 sync").steps)
    words = lower_steps(steps)
    words.extend(lower_block(lanes))
    for seed in range(2000):
        request = Request(64, 64, policy=RANDOM, seed=seed, chance=8192)
        ran = executor.run(words, request)
        if ran.report is not None:
            again = executor.run(words, Request(64, 64, switches=ran.recorded))
            assert again.report == ran.report
            return
    raise AssertionError("no schedule of 2000 showed the race")


def test_6_1_without_compaction_loses_a_write_that_compaction_runs_beside(kernels: Kernels) -> None:
    """A15, in the kernel as it is: there the zspage locks are empty stubs, and a mapped object is moved."""
    lines = [f"h{number} = malloc 2000" for number in range(12)]
    lines += [f"write h{number} 0+4096 {number}" for number in range(12)]
    lines += [f"free h{number}" for number in range(1, 12, 2)]
    found = {}
    for version in ("6.1", "6.12"):
        made = kernels.build(version, BuildOptions(compaction=False), f"{version}-no-compaction")
        findings: list[Finding] = []
        for slot in range(0, 12, 2):
            user = f"lane {{\nmap h{slot} rw\nwrite h{slot} 0+2000 77\nunmap h{slot}\nread h{slot} 0+2000\n}}"
            block = f"parallel {{\n{user}\nlane {{\ncompact\n}}\nschedule 0.1+0>1\n}}"
            findings += kernels.run(made, made, "\n".join([*lines, block])).findings
        found[version] = {(finding.kind, finding.rule) for finding in findings}
    assert found["6.12"] == set()
    assert found["6.1"]


@pytest.mark.slow
def test_a_sanitizer_names_the_place_and_the_step(kernels: Kernels) -> None:
    """A handle is read after it was freed."""
    read_after = (
        "\tcache_free_handle(pool, handle);\n}",
        "\tcache_free_handle(pool, handle);\n\t(void)*(volatile unsigned long *)handle;\n}",
    )
    made = kernels.patched("6.12", "read-after-free", read_after)
    assert not kernels.run(made, made, "h1 = malloc 100\nfree h1").findings
    options = BuildOptions(sanitize=("address", "undefined"))
    checked = built(kernels.root, made.source.parent.parent, "read-after-free-asan", options)
    (finding,) = kernels.run(checked, checked, "h1 = malloc 100\nfree h1").findings
    assert finding.rule == "AddressSanitizer use-after-poison"
    assert finding.step == 1
    assert dict(finding.details)["file"] == "zsmalloc.c"
    assert finding.functions == ("zs_free",)


def test_an_unknown_construct_is_named_with_file_line_and_what_to_add(kernels: Kernels) -> None:
    with pytest.raises(UsageError) as caught:
        kernels.patched(
            "6.12",
            "unknown",
            ("\tif (unlikely(!size))\n", "\tif (quantum_state(pool))\n\t\treturn 0;\n\tif (unlikely(!size))\n"),
        )
    message = str(caught.value)
    assert "quantum_state" in message
    assert "zsmalloc.c:" in message
    assert "zsfuzz/kernel/shim/zk/" in message
    assert "\n" not in message


def test_a_finding_of_a_patched_tree_replaces_nothing_in_the_cache(kernels: Kernels) -> None:
    made = kernels.patched("5.10", "lost-handle", LOST_HANDLE)
    assert kernels.root in made.source.parents
    assert replace(made.options) == BuildOptions()
