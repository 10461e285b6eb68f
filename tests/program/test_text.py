"""The text form: what is written is read back, what is no program is refused in one line."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.program.refusal import WHERE, read_or_refused, refused, short
from tests.program.strategies import EVERY_WORD, operations, programs, words_of
from zsfuzz.errors import HarnessError
from zsfuzz.program import limits, ops, text
from zsfuzz.program.block import Block
from zsfuzz.program.limits import Malformed
from zsfuzz.program.program import FORMAT_VERSION, SWITCHES, Header, Program
from zsfuzz.program.steps import SYNTAX, format_step, parse_step
from zsfuzz.program.text import RawText, format_program, parse_program

SAMPLE = """\
zsfuzz 1
geometry linux-5.10
memory normal=128 movable=128
switch batched_migration
reference reference
candidate candidate-literal:H05
fault H05
verdict invariant/I5/unlock_page>putback_movable_page/flags
---
h1 = malloc 3256
h2 = malloc 100 kernel z1
write h1 8+16 0x5a
p0 = isolate h1.2
migrate p0 h2.0 @37 sync
scan kpageflags 0..64
r0 = speculative_get h1.0
b0 = bystander compound 3
fail migrate page 0
compact
"""


def body(*lines: str) -> str:
    return "\n".join(("zsfuzz 2", "---", *lines))


@given(programs())
def test_what_is_formatted_is_parsed_back(program: Program) -> None:
    assert parse_program(format_program(program)) == program


@given(programs())
def test_formatting_is_canonical(program: Program) -> None:
    written = format_program(program)
    assert format_program(parse_program(written)) == written


@given(operations())
def test_one_step_is_one_line(step: ops.Operation) -> None:
    line = format_step(step)
    assert line.isprintable()
    assert line.isascii()
    assert parse_step(line) == step


def test_every_word_of_every_operation_goes_both_ways() -> None:
    assert {type(step) for step in EVERY_WORD.steps} == set(ops.OPERATIONS)
    assert parse_program(format_program(EVERY_WORD)) == EVERY_WORD


def test_every_operation_has_a_word_and_every_word_an_operation() -> None:
    words = [format_step(step).partition(" = ") for step in EVERY_WORD.steps]
    assert {(tail or head).split()[0] for head, _, tail in words} == set(SYNTAX)


def test_the_words_are_those_of_the_enumerations() -> None:
    written = format_program(EVERY_WORD).split()
    enums = (ops.MigrateMode, ops.Scanner, ops.FailOperation, ops.FailWhat, ops.BystanderKind, ops.MapMode)
    for enum in enums:
        assert words_of(enum) <= set(written)


def test_a_canonical_sample_stays_as_it_is() -> None:
    assert format_program(parse_program(SAMPLE)) == SAMPLE


def test_the_sample_means_what_it_says() -> None:
    program = parse_program(SAMPLE)
    assert program.header == Header(
        normal_pages=128,
        movable_pages=128,
        switches=("batched_migration",),
        reference="reference",
        candidate="candidate-literal:H05",
        faults=("H05",),
        verdict="invariant/I5/unlock_page>putback_movable_page/flags",
    )
    assert program.steps[:5] == (
        ops.Malloc(1, 3256),
        ops.Malloc(2, 100, ops.Gfp.KERNEL, 1),
        ops.Write(1, 8, 16, 0x5A),
        ops.Isolate(0, ops.Component(1, 2)),
        ops.Migrate((ops.IsolatedPage(0), ops.Component(2, 0), ops.Pfn(37)), ops.MigrateMode.SYNC),
    )


def test_comments_blank_lines_and_spacing_are_read_over() -> None:
    edited = SAMPLE.replace("compact\n", "\t compact   # the pool\n\n   # an end\n").replace(" = ", "\t=  ")
    assert parse_program("# why this is kept\n\n" + edited) == parse_program(SAMPLE)


def test_a_number_sign_is_part_of_a_header_value() -> None:
    program = parse_program("zsfuzz 1\nverdict bug/issue #7/f/x\n---\n")
    assert program.header.verdict == "bug/issue #7/f/x"


def test_what_editors_of_other_systems_leave_is_read() -> None:
    assert parse_program("\ufeff" + SAMPLE.replace("\n", "\r\n")) == parse_program(SAMPLE)


def test_defaults_need_not_be_written() -> None:
    assert parse_program("zsfuzz 1\n---\n") == Program(Header(), ())
    assert parse_program(body("h0 = malloc 9 movable z0", "compact z0")).steps == (
        ops.Malloc(0, 9),
        ops.Compact(),
    )
    assert parse_program(body("h0 = malloc 9 z2")).steps == (ops.Malloc(0, 9, pool=2),)


def test_numbers_may_be_hexadecimal() -> None:
    assert parse_program(body("h0x1f = malloc 0x1000", "offline 0x0..0x20")).steps == (
        ops.Malloc(31, 4096),
        ops.Offline(0, 32),
    )


def test_a_list_of_pages_may_be_empty() -> None:
    assert parse_program(body("migrate sync")).steps == (ops.Migrate((), ops.MigrateMode.SYNC),)


@pytest.mark.parametrize(
    ("written", "line", "reason"),
    [
        ("", 1, "there is nothing in it"),
        ("\n# only words\n", 1, "there is nothing in it"),
        ("syzkaller 1\n---\n", 1, "a program begins with 'zsfuzz 2'"),
        ("zsfuzz\n---\n", 1, "a program begins with 'zsfuzz 2'"),
        ("zsfuzz one\n---\n", 1, "a version must be a whole number"),
        ("zsfuzz 0\n---\n", 1, "there is no version 0"),
        ("zsfuzz 3\n---\n", 1, "version 3 is newer than version 2, which this zsfuzz reads; update zsfuzz"),
        ("zsfuzz 99999999999999999999\n---\n", 1, "update zsfuzz"),
        ("zsfuzz " + "9" * 5000, 1, "a version must be a whole number"),
        ("zsfuzz 1\ngeometry small\n", 2, "the header has no end"),
        ("zsfuzz 1\nh1 = malloc 8\n---\n", 2, "'h1' is no header key"),
        ("zsfuzz 1\ngeometry a\ngeometry b\n---\n", 3, "geometry twice"),
        ("zsfuzz 1\ngeometry\n---\n", 2, "the geometry must have 1 to 200 characters"),
        ("zsfuzz 1\ngeometry a b\n---\n", 2, "free of spaces"),
        ("zsfuzz 1\nmemory 128\n---\n", 2, "write 'memory normal=PAGES movable=PAGES'"),
        ("zsfuzz 1\nmemory\n---\n", 2, "write 'memory normal=PAGES movable=PAGES'"),
        ("zsfuzz 1\nmemory normal=1 normal=2\n---\n", 2, "write 'memory"),
        ("zsfuzz 1\nmemory normal=65537\n---\n", 2, "from 0 to 65536, not 65537"),
        ("zsfuzz 1\nswitch warp\n---\n", 2, "'warp' is no switch; the switches are batched_migration"),
        ("zsfuzz 1\nswitch no_compaction\nswitch no_compaction\n---\n", 3, "twice"),
        ("zsfuzz 1\nfault H01\nfault H01\n---\n", 3, "twice"),
        ("zsfuzz 1\nverdict\n---\n", 2, "the verdict must have 1 to 1000 characters"),
        ("zsfuzz 1\nverdict " + "v" * 1001 + "\n---\n", 2, "the verdict must have 1 to 1000 characters"),
        ("zsfuzz 1\nverdict a\u00a0b\n---\n", 2, "the verdict must be printable"),
        (
            "zsfuzz 1\n" + "".join(f"fault H{n}\n" for n in range(100)) + "---\n",
            66,
            "names 65 times a fault; at most 64",
        ),
        (
            "zsfuzz 1\n" + "".join(f"fault H{n}\n" for n in range(200)) + "---\n",
            130,
            "the header has no end here",
        ),
    ],
    ids=short,
)
def test_a_bad_head_is_refused_with_its_line(written: str, line: int, reason: str) -> None:
    message = refused(parse_program, written, WHERE)
    assert message.startswith(f"{WHERE}:{line}: ")
    assert reason in message


@pytest.mark.parametrize(
    ("step", "reason"),
    [
        ("allocate 8", "'allocate' is no operation; the operations are malloc, free"),
        ("h1=malloc 8", "'h1=malloc' is no operation"),
        ("h1 =", "'h1' is no operation"),
        ("malloc 8", "the result is missing: a handle before '='; write: h1 = malloc SIZE"),
        ("p1 = malloc 8", "a handle is a number after 'h', not 'p1'"),
        ("h1 = malloc", "a size is missing; write: h1 = malloc SIZE"),
        ("h1 = malloc kernel", "a size must be a whole number, not 'kernel'"),
        ("h1 = malloc -8", "a size must be a whole number, not '-8'"),
        ("h1 = malloc 8.0", "a size must be a whole number"),
        ("h1 = malloc 1e3", "a size must be a whole number"),
        ("h1 = malloc 1_000", "a size must be a whole number"),
        ("h1 = malloc \u0661", "a size must be a whole number, not '\\u0661'"),
        ("h1 = malloc 18446744073709551616", "a size must be a whole number from 0 to 18446744073709551615"),
        ("h1 = malloc " + "9" * 5000, "a size must be a whole number"),
        ("h1 = malloc 0x10000000000000000", "a size must be a whole number"),
        ("h1 = malloc 8 gfp_atomic", "gfp must be one of movable, kernel, not 'gfp_atomic'"),
        ("h1 = malloc 8 z4", "a pool must be a whole number from 0 to 3, not 4"),
        ("h1 = malloc 8 kernel z1 z1", "'z1' is too much"),
        ("h1048576 = malloc 8", "a handle slot must be a whole number from 0 to 1048575"),
        ("h = malloc 8", "a handle must be a whole number, not ''"),
        ("h0 = free h1", "'h0' before '=' has no place here; write: free h1"),
        ("free", "a handle is missing; write: free h1"),
        ("free 1", "a handle is a number after 'h'"),
        ("free h1 h2", "'h2' is too much"),
        ("map h1 rx", "a map mode must be one of ro, wo, rw, not 'rx'"),
        ("write h1 8 16 0", "an OFFSET+LENGTH is missing"),
        ("write h1 8+4294967296 0", "a length must be a whole number from 0 to 4294967295"),
        ("write h1 8+16 0x100", "a pattern must be a whole number from 0 to 255, not 256"),
        ("p0 = isolate h1", "a component index must be a whole number, not ''"),
        ("p0 = isolate h1.", "a component index must be a whole number, not ''"),
        ("p0 = isolate h1.1.1", "a component index must be a whole number, not '1.1'"),
        ("p0 = isolate z1", "a page is h3.1, p2 or @37, not 'z1'"),
        ("p0 = isolate @1048577", "a pfn must be a whole number from 0 to 1048576"),
        ("migrate h1.0", "a migrate mode must be one of async, sync_light"),
        ("migrate", "a migrate mode is missing"),
        ("migrate " + "p0 " * 513 + "sync", "has 513 entries; at most 512 are allowed"),
        ("scan kpageflags 9..8", "the range 9..8 ends before it starts; swap the two"),
        ("scan kpageflags 8", "a START..END is missing"),
        ("scan kpageflags ..8", "a START..END must be a whole number, not ''"),
        ("scan everything 0..8", "a scanner must be one of isolate_migratepages_block"),
        ("b0 = bystander lru 11", "an order must be a whole number from 0 to 10, not 11"),
        ("fail free page 0", "the operation that fails must be one of malloc"),
        ("create_pool", "a pool is missing"),
        ("run_work now", "'now' is too much"),
        ("lane {", "'lane' stands in a parallel block only, which begins with a line 'parallel {'"),
        ("{" * 9000, "is no operation"),
        ("}", "'}' stands in a parallel block only"),
        ("schedule 0.end>1", "'schedule' stands in a parallel block only"),
        ("parallel", "a block begins with a line 'parallel {', not 'parallel'"),
        ("parallel { }", "a block begins with a line 'parallel {', not 'parallel { }'"),
        ("parallelize", "a block begins with a line 'parallel {', not 'parallelize'"),
        ("compact " + "x" * 20_000, "the line has 20008 characters; at most 16384 are allowed"),
        ("# " + "x" * 20_000, "the line has 20002 characters"),
        ("free h1\0", "the control character '\\x00' has no place"),
        ("# bell \a", "the control character '\\x07'"),
        ("free h1\rfree h2", "the control character '\\r'"),
        ("free h1\x0cfree h2", "the control character '\\x0c'"),
        ("free h1\x85free h2", "the control character '\\x85'"),
        ("\ufefffree h1", "is no operation"),
    ],
    ids=short,
)
def test_a_bad_step_is_refused_with_its_line(step: str, reason: str) -> None:
    message = refused(parse_program, body("# the step follows", "h7 = malloc 8", step, "free h7"), WHERE)
    assert message.startswith(f"{WHERE}:5: ")
    assert reason in message


def test_a_bystander_order_or_a_slot_is_refused_in_the_words_of_its_line() -> None:
    assert refused(parse_program, body("free hh")) == (
        "<text>:3: a handle must be a whole number, not 'h'; write: free h1"
    )


def test_a_step_by_itself_may_not_be_empty() -> None:
    with pytest.raises(Malformed, match="empty"):
        parse_step("  ")


@given(st.text())
def test_any_text_is_read_or_refused(written: str) -> None:
    read_or_refused(parse_program, written)


@given(st.lists(st.sampled_from(SAMPLE.split() + list("{}#=.@+\n-")), max_size=30))
def test_any_words_of_the_grammar_are_read_or_refused(words: list[str]) -> None:
    program = read_or_refused(parse_program, "zsfuzz 1\n---\n" + " ".join(words))
    if program is not None:
        assert parse_program(format_program(program)) == program


def test_every_flipped_bit_of_a_sample_is_read_or_refused() -> None:
    sample = SAMPLE.encode()
    for at in range(len(sample) * 8):
        damaged = bytearray(sample)
        damaged[at // 8] ^= 1 << at % 8
        program = read_or_refused(parse_program, damaged.decode("latin-1"))
        assert program is None or parse_program(format_program(program)) == program


def test_every_beginning_of_a_sample_is_read_or_refused() -> None:
    for length in range(len(SAMPLE)):
        read_or_refused(parse_program, SAMPLE[:length])


def test_more_steps_than_allowed_are_refused_at_the_first_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_STEPS", 10)
    assert len(parse_program(body(*["trim"] * 10)).steps) == 10
    message = refused(parse_program, body(*["trim"] * 1000))
    assert message == "<text>:13: the program has more than 10 steps; split it"


def test_more_page_names_than_allowed_are_refused_at_the_first_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_PAGE_NAMES", 10)
    message = refused(parse_program, body(*["migrate p0 p1 p2 sync"] * 1000))
    assert message == "<text>:6: the program migrates more than 10 pages by name; split it"


def test_more_lines_than_allowed_are_refused_before_they_are_split(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "MAX_LINES", 10)
    assert "more than 10 lines" in refused(parse_program, "\n" * 10)


def test_a_text_longer_than_a_file_is_refused_before_it_is_split(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text, "MAX_FILE_BYTES", 10)
    assert "at most 10 are allowed" in refused(parse_program, SAMPLE)


def test_a_program_is_written_under_the_first_version_that_has_all_it_needs() -> None:
    """So what has no block is written as it was before there were blocks."""
    for version in (1, 2):
        assert format_program(parse_program(f"zsfuzz {version}\n---\ntrim\n")).startswith("zsfuzz 1\n")
    assert format_program(Program(Header(), (), Block(((), ())))).startswith("zsfuzz 2\n")
    assert format_program(Program(Header(switches=("store_buffers",)), ())).startswith("zsfuzz 2\n")
    assert format_program(Program(Header(switches=SWITCHES[:-1]), ())).startswith("zsfuzz 1\n")


@pytest.mark.parametrize("line", ["parallel {", "lane {", "}", "schedule 0 1 1 0", "chance pos 1 candidate", "{"])
def test_the_words_of_blocks_are_refused_in_a_file_that_names_version_1(line: str) -> None:
    message = refused(parse_program, f"zsfuzz 1\n---\ntrim\n\n{line}\ntrim\n", WHERE)
    assert message == f"{WHERE}:5: parallel blocks came with version 2; write 'zsfuzz 2' in the first line"


def test_an_older_version_is_migrated(monkeypatch: pytest.MonkeyPatch) -> None:
    """A version 0 that there never was: `layout` for geometry, `alloc` for malloc."""

    def from_0(raw: RawText) -> RawText:
        header = [(number, line.replace("layout", "geometry")) for number, line in raw.header]
        return RawText(header, ((number, line.replace("alloc", "malloc")) for number, line in raw.steps))

    monkeypatch.setitem(text.TEXT_MIGRATIONS, 0, from_0)
    program = parse_program("zsfuzz 0\nlayout small\n---\nh1 = alloc 8\n")
    assert program == Program(Header(geometry="small"), (ops.Malloc(1, 8),))
    assert format_program(program).startswith("zsfuzz 1\n")
    message = refused(parse_program, "zsfuzz 0\n---\n\nh1 = alloc 8\nfrob\n")
    assert message.startswith("<text>:5: 'frob' is no operation")


def test_migrations_follow_one_another(monkeypatch: pytest.MonkeyPatch) -> None:
    """Version 0 -> 1 -> 2: each function knows its own version and the next."""

    def replaced(version: int, old: str, new: str) -> None:
        def migrate(raw: RawText) -> RawText:
            return RawText(raw.header, ((number, line.replace(old, new)) for number, line in raw.steps))

        monkeypatch.setitem(text.TEXT_MIGRATIONS, version, migrate)

    replaced(0, "one", "two")
    replaced(1, "two", "trim")
    monkeypatch.setattr(text, "FORMAT_VERSION", 2)
    assert parse_program("zsfuzz 0\n---\none\n").steps == (ops.Trim(),)
    assert parse_program("zsfuzz 1\n---\ntwo\n").steps == (ops.Trim(),)
    assert "'one' is no operation" in refused(parse_program, "zsfuzz 1\n---\none\n")
    assert "version 3 is newer than version 2" in refused(parse_program, "zsfuzz 3\n---\n")


def test_the_migrations_reach_from_the_first_version_to_this_one() -> None:
    assert sorted(text.TEXT_MIGRATIONS) == list(range(1, FORMAT_VERSION))


def test_a_malformed_program_is_not_written() -> None:
    broken = replace(parse_program(SAMPLE), steps=(ops.Free(-1),))
    with pytest.raises(HarnessError, match="step 0: a handle slot must be a whole number"):
        format_program(broken)
