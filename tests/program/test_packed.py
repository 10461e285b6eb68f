"""The packed form: lossless, the same bytes for the same program, and safe to read whatever comes."""

from __future__ import annotations

import zlib

import msgpack  # type: ignore[import-untyped]
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgpack import fallback

from tests.program.refusal import WHERE, read_or_refused, refused, short
from tests.program.strategies import EVERY_WORD, programs
from zsfuzz.errors import HarnessError
from zsfuzz.program import limits, ops, packed
from zsfuzz.program.block import Block, Chance, Switch
from zsfuzz.program.packed import (
    MAGIC,
    MAX_OBJECT_BYTES,
    RawPacked,
    pack_program,
    seal,
    unpack_program,
)
from zsfuzz.program.packedblock import BLOCK_OPCODE
from zsfuzz.program.packedstep import raw_step
from zsfuzz.program.program import FORMAT_VERSION, SWITCHES, Header, Program
from zsfuzz.program.text import format_program, parse_program

SMALL = Program(
    Header(verdict="clean"),
    (
        ops.Malloc(1, 3256),
        ops.Isolate(0, ops.Component(1, 2)),
        ops.Migrate((ops.Pfn(37),), ops.MigrateMode.SYNC),
    ),
)


def sealed(*objects: object) -> bytes:
    """A file of these objects, with a right check sum."""
    return sealed_bytes(b"".join(msgpack.packb(item) for item in objects))


def sealed_bytes(body: bytes) -> bytes:
    return MAGIC + body + seal(MAGIC + body)


@given(programs())
def test_what_is_packed_is_unpacked(program: Program) -> None:
    assert unpack_program(pack_program(program)) == program


@given(programs())
def test_the_two_forms_hold_the_same_program(program: Program) -> None:
    assert parse_program(format_program(unpack_program(pack_program(program)))) == program


@given(programs())
def test_packing_is_canonical(program: Program) -> None:
    data = pack_program(program)
    assert pack_program(unpack_program(data)) == data


def test_every_word_of_every_operation_goes_both_ways() -> None:
    assert unpack_program(pack_program(EVERY_WORD)) == EVERY_WORD


def test_a_program_is_a_few_bytes() -> None:
    """The layout, byte by byte: old files stay readable only while this holds."""
    assert pack_program(SMALL) == b"".join(
        (
            b"\x89zsf\r\n\x1a\n",
            b"\x01",  # version
            b"\x82\xa8geometry\xaalinux-5.10\xa7verdict\xa5clean",
            b"\x95\x00\x01\xcd\x0c\xb8\x00\x00",  # malloc h1 3256, movable, pool 0
            b"\x93\x08\x00\x93\x00\x01\x02",  # isolate p0 [component, h1, 2]
            b"\x93\x09\x91\x92\x02\x25\x02",  # migrate [[pfn, 37]], sync
            b"\xce\x26\x50\xe0\x47",
        )
    )


def test_the_numbers_of_operations_and_words_are_for_ever() -> None:
    """Nobody may put a member in between: append, or write a migration.

    Headers and blocks say their words and numbers as they are; what is numbered by its order stands in steps.
    """
    assert zlib.crc32(b"".join(msgpack.packb(raw_step(step)) for step in EVERY_WORD.steps)) == 0xA0730D6E


def test_every_flipped_bit_is_noticed() -> None:
    data = pack_program(EVERY_WORD)
    for at in range(len(data) * 8):
        assert read_or_refused(unpack_program, flipped(data, at)) is None


def test_every_flipped_bit_under_a_right_check_sum_is_read_or_refused() -> None:
    body = pack_program(EVERY_WORD)[:-5]
    for at in range(len(MAGIC) * 8, len(body) * 8):
        damaged = flipped(body, at)
        program = read_or_refused(unpack_program, damaged + seal(damaged))
        assert program is None or unpack_program(pack_program(program)) == program


def flipped(data: bytes, bit: int) -> bytes:
    damaged = bytearray(data)
    damaged[bit // 8] ^= 1 << bit % 8
    return bytes(damaged)


def test_every_truncation_is_noticed() -> None:
    data = pack_program(EVERY_WORD)
    for length in range(len(data)):
        assert read_or_refused(unpack_program, data[:length]) is None


def test_every_truncation_under_a_right_check_sum_is_read_or_refused() -> None:
    body = pack_program(EVERY_WORD)[:-5]
    whole = [length for length in range(len(MAGIC), len(body)) if whole_steps(body[:length])]
    assert len(whole) == len(EVERY_WORD.steps) + 1, "before each step, and before the block"


def whole_steps(body: bytes) -> bool:
    return read_or_refused(unpack_program, body + seal(body)) is not None


@pytest.mark.parametrize("more", [b"\0", b"\xc0", b"\x91\x1b", MAGIC], ids=short)
def test_trailing_bytes_are_refused(more: bytes) -> None:
    assert "check sum" in refused(unpack_program, pack_program(SMALL) + more)


DEEP = 100_000
HEAD = b"\x02\x80"


BLOCK = HEAD + b"\x93\x7f\x92\x91\x91\x1b\x90"  # lanes [trim] and []; the schedule is missing

OPEN = BLOCK.replace(b"\x93\x7f", b"\x94\x7f")  # the same with a chance, which is missing too

HOSTILE: list[tuple[bytes, str]] = [
    (b"", "no version"),
    (b"\xc0", "no version"),
    (b"\xc3", "no version"),
    (b"\xcb\x3f\xf0" + b"\0" * 6, "no version"),
    (b"\x03\x80", "version 3 is newer than version 2, which this zsfuzz reads; update zsfuzz"),
    (b"\xcf" + b"\xff" * 8, "version 18446744073709551615 is newer"),
    (b"\x00\x80", "there is no version 0"),
    (b"\xff\x80", "there is no version -1"),
    (b"\x01", "header: the map of the header is missing"),
    (b"\x01\x90", "header: the map of the header is missing"),
    (b"\x01\xa2no", "header: the map of the header is missing"),
    (b"\x01\x81\xa4geom\x01", "header: 'geom' is no header key (geometry, normal_pages"),
    (b"\x01\x81\xa8geometry\x01", "header: the geometry must be text, not 1"),
    (b"\x01\x81\xa8geometry\xc0", "header: the geometry must be text, not none"),
    (b"\x01\x82\xa7verdict\xa1a\xa7verdict\xa1b", "key 'verdict' is there twice"),
    (b"\x01\x81\xa7verdict\xa2\xff\xff", "utf-8"),
    (b"\x01\x81\xa7verdict\xa3\xed\xa0\x80", "utf-8"),
    (b"\x01\x81\xa7verdict\xa3a\nb", "the verdict must be printable"),
    (b"\x01\x81\xa7verdict\xa3a\0b", "the verdict must be printable"),
    (b"\x01\x81\xa7verdict\x90", "the verdict must be text"),
    (b"\x01\x81\xacnormal_pages\xc3", "must be a whole number from 0 to 65536, not true"),
    (b"\x01\x81\xacnormal_pages\xff", "not -1"),
    (b"\x01\x81\xa8switches\xa4warp", "every switch must be an entry of one list, not 'warp'"),
    (b"\x01\x81\xa8switches\x91\x05", "a switch must be text, not 5"),
    (b"\x01\x81\xa8switches\x91\x90", "a switch must be text"),
    (b"\x01\x81\xa6faults\xdc\x00\x41" + b"\xa1a" * 65, "names 65 times a fault; at most 64"),
    (b"\x01\x81\x01\x02", "int is not allowed for map key"),
    (b"\x01\x81\x90\x02", "list is not allowed for map key"),
    (b"\x01\x81\xc4\x00\x02", "header: the map of the header is missing"),
    (b"\x01\xdf\xff\xff\xff\xff", "exceeds max_map_len"),
    (HEAD + b"\xc0", "step 0: a step is a list that begins with an operation's number, not none"),
    (HEAD + b"\x1b", "step 0: a step is a list"),
    (HEAD + b"\x80", "step 0: a step is a list"),
    (HEAD + b"\xa1a", "step 0: a step is a list"),
    (HEAD + b"\x90", "step 0: a step is a list"),
    (HEAD + b"\x91\xc2", "step 0: a step is a list"),
    (HEAD + b"\x91\x1b\x91\x1c", "step 1: there is no operation 28; the last one is 27"),
    (HEAD + b"\x91\xff", "step 0: there is no operation -1"),
    (b"\x01\x80\x91\x1b\x91\x7f", "step 1: operation 127, a parallel block, came with version 2"),
    (b"\x01\x80\x93\x7f\x92\x91\x91\x1b\x91\x91\x1b\x90", "the file says version 1"),
    (HEAD + b"\x91\x7f", "step 0: a block takes 2 or 3 arguments, lanes, schedule, perhaps a chance, not 0"),
    (HEAD + b"\x91\xcb\x40\x5f\xc0" + b"\0" * 5, "step 0: a step is a list"),
    (HEAD + b"\x91\x1b\x93\x7f\x05\x90", "step 1: the lanes of a block must be a list, not 5"),
    (HEAD + b"\x93\x7f\x92\x90\x90\xc0", "step 0: the schedule of a block must be a list, not none"),
    (HEAD + b"\x93\x7f\x92\x90\xc0\x90", "step 0: a lane must be a list, not none"),
    (HEAD + b"\x93\x7f\x92\x90\x91\x05\x90", "a step is a list that begins with an operation's number, not 5"),
    (HEAD + b"\x93\x7f\x92\x90\x91\x93\x7f\x90\x90\x90", "there is no operation 127"),
    (HEAD + b"\x93\x7f\x92\x90\x91\x91\x1c\x90", "there is no operation 28"),
    (HEAD + b"\x93\x7f\x90\x90", "a block has 2 to 4 lanes, not 0"),
    (HEAD + b"\x93\x7f\x91\x90\x90", "a block has 2 to 4 lanes, not 1"),
    (HEAD + b"\x93\x7f\x95" + b"\x90" * 5 + b"\x90", "the block has more than 4 lanes"),
    (HEAD + b"\x93\x7f\x92\x90\xdc\x00\x41" + b"\x91\x1b" * 65 + b"\x90", "more than 64 operations"),
    (BLOCK + b"\x91\x90", "a run of switches is a list"),
    (BLOCK + b"\x91\x05", "a run of switches must be a list, not 5"),
    (BLOCK + b"\x91\x92\x00\x00", "a run of switches is a list"),
    (BLOCK + b"\x91\x95\x00\x00\x05\x01\x06", "a run of switches is a list"),
    (BLOCK + b"\x91\x94\xc0\x00\x05\x01", "a lane must be a whole number from 0 to 3, not none"),
    (BLOCK + b"\x91\x94\xff\x00\x05\x01", "a lane must be a whole number from 0 to 3, not -1"),
    (BLOCK + b"\x91\x94\x00\xc3\x05\x01", "the operation of a switch must be a whole number from 0 to 64, not true"),
    (BLOCK + b"\x91\x94\x00\x00\xff\x01", "a point must be a whole number from 0 to 1048575, not -1"),
    (BLOCK + b"\x91\x94\x00\x00\x05\xc3", "where a switch goes must be a whole number, 8 * held + lane, not true"),
    (BLOCK + b"\x91\x94\x00\x00\x05\xcf\x7f" + b"\0" * 6 + b"\1", "holds back must be a whole number from 0 to 2"),
    (BLOCK + b"\x91\x94\x00\x00\x05\x02", "a switch names lane 2, but the block has 2, counted from 0"),
    (BLOCK + b"\x91\x94\x02\x00\x05\x00", "a switch names lane 2, but the block has 2, counted from 0"),
    (BLOCK + b"\x91\x94\x00\x00\x05\x00", "lane 0 cannot switch to itself"),
    (BLOCK + b"\x91\x94\x00\x00\x05\x08", "lane 0 cannot switch to itself"),
    (BLOCK + b"\x91\x94\x00\x00\x05\x19", "what a switch holds back must be a whole number from 0 to 2, not 3"),
    (BLOCK + b"\x91\x94\x00\x00\x05\xff", "where a switch goes must be a whole number, 8 * held + lane, not -1"),
    (BLOCK + b"\x91\x94\x00\x02\x00\x01", "behind the end of lane 0, which has 1 operations"),
    (BLOCK + b"\x91\x94\x00\x01\x01\x01", "behind the end of lane 0, which has 1 operations"),
    (BLOCK + b"\x91\x96\x00\x00\x05\x01\x05\x09", "two switches are at point 5 of operation 0"),
    (BLOCK + b"\x91\x96\x00\x00\x05\x01\x04\x01", "not in the order of lane, operation and point"),
    (BLOCK + b"\x92\x94\x01\x00\x00\x00\x94\x00\x00\x05\x01", "not in the order of lane, operation and point"),
    (OPEN + b"\x90\x05", "the chance of a block must be a list, not 5"),
    (OPEN + b"\x90\x92\xa1p\x07", "the chance of a block is a list [policy, seed, leader, length, ...]"),
    (OPEN + b"\x90\x93\x05\x07\x01", "a policy is a word of small letters, digits and dashes, not 5"),
    (OPEN + b"\x90\x93\xa3a b\x07\x01", "a policy is a word of small letters, digits and dashes, not 'a b'"),
    (OPEN + b"\x90\x93\xa1p\xff\x01", "the seed of a policy must be a whole number from 0 to 18446744073709551615"),
    (OPEN + b"\x90\x93\xa1p\x07\x02", "the side that a policy drives must be a whole number from 0 to 1, not 2"),
    (OPEN + b"\x90\x94\xa1p\x07\x01\x05", "a chance has the length of each of the 2 lanes, or of none"),
    (OPEN + b"\x90\x95\xa1p\x07\x01\x05\xc3", "the length of a lane must be a whole number"),
    (BLOCK + b"\x90\x91\x1b", "the end: something comes behind the block, which is the last thing"),
    (BLOCK + b"\x90" + BLOCK[2:] + b"\x90", "the end: something comes behind the block"),
    (BLOCK + b"\x90\xc0", "the end: something comes behind the block"),
    (BLOCK + b"\x90\x91", "the end: the file is cut off"),
    (BLOCK, "cut off"),
    (HEAD + b"\x91\x01", "step 0: Free takes 1 arguments, not 0"),
    (HEAD + b"\x93\x01\x00\x00", "step 0: Free takes 1 arguments, not 2"),
    (HEAD + b"\x92\x01\xc3", "a handle slot must be a whole number from 0 to 1048575, not true"),
    (HEAD + b"\x92\x01\xc0", "a handle slot must be a whole number from 0 to 1048575, not none"),
    (HEAD + b"\x92\x01\xff", "not -1"),
    (HEAD + b"\x92\x01\xa2h1", "not 'h1'"),
    (HEAD + b"\x92\x01\x90", "not a value of type list"),
    (HEAD + b"\x92\x01\xcb\x7f\xf8" + b"\0" * 6, "not nan"),
    (HEAD + b"\x92\x01\xcb\x7f\xf0" + b"\0" * 6, "not inf"),
    (HEAD + b"\x92\x01\xcb\x3f\xf0" + b"\0" * 6, "not 1.0"),
    (HEAD + b"\x92\x01\xce\x00\x10\x00\x00", "not 1048576"),
    (HEAD + b"\x92\x01\xc7\x00\x05", "not a value of type ExtType"),
    (HEAD + b"\x92\x01\xd4\x05\x00", "exceeds max_ext_len"),
    (HEAD + b"\x92\x01\xd6\xff\x00\x00\x00\x00", "exceeds max_ext_len"),
    (HEAD + b"\x92\x01\xc4\x01a", "exceeds max_bin_len"),
    (HEAD + b"\x92\x01\xc1", "damaged msgpack"),
    (HEAD + b"\x93\x02\x00\x03", "a map mode must be a number from 0 to 2, not 3"),
    (HEAD + b"\x93\x02\x00\xc2", "a map mode must be a number from 0 to 2, not false"),
    (HEAD + b"\x93\x08\x00\x00", "a page is a list of a tag 0..2 and its numbers, not 0"),
    (HEAD + b"\x93\x08\x00\x90", "a page is a list"),
    (HEAD + b"\x93\x08\x00\x92\x03\x00", "a page is a list"),
    (HEAD + b"\x93\x08\x00\x92\xc3\x00", "a page is a list"),
    (HEAD + b"\x93\x08\x00\x92\x00\x00", "a page is a list"),
    (HEAD + b"\x93\x08\x00\x92\x02\xc3", "a pfn must be a whole number from 0 to 1048576, not true"),
    (HEAD + b"\x93\x09\x05\x00", "the pages of a migrate are a list, not 5"),
    (HEAD + b"\x93\x09\xdc\x02\x01" + b"\x92\x01\x00" * 513 + b"\x00", "exceeds max_array_len"),
    (HEAD + b"\x93\x0d\x09\x08", "the range 9..8 ends before it starts"),
    (HEAD + b"\xdd\xff\xff\xff\xff", "exceeds max_array_len"),
    (HEAD + b"\xdb\xff\xff\xff\xff", "cut off"),
    (HEAD + b"\xc6\xff\xff\xff\xff", "cut off"),
    (HEAD + b"\xc9\xff\xff\xff\xff\x05", "exceeds max_ext_len"),
    (HEAD + b"\x92\x01", "cut off"),
    (HEAD + b"\x91" * DEEP, "StackError"),
    (HEAD + b"\xdc\x02\x00" * DEEP, "StackError"),
    (HEAD + b"\x81\xa1a" * DEEP, "StackError"),
    (
        HEAD + b"\xdc\x02\x00" + (b"\xdc\x02\x00" + b"\x90" * 512) * 512,
        "a part is longer than 65536 bytes",
    ),
    (
        HEAD + b"\xdc\x02\x00" + (b"\xdc\x02\x00" + b"\x90" * 512) * 140,
        "a part is longer than 65536 bytes",
    ),
]


@pytest.mark.parametrize(("body", "reason"), HOSTILE, ids=short)
def test_hostile_bytes_under_a_right_check_sum_are_refused(body: bytes, reason: str) -> None:
    message = refused(unpack_program, sealed_bytes(body), WHERE)
    assert message.startswith(f"{WHERE}: ")
    assert reason in message


@pytest.mark.parametrize("body", [body for body, _ in HOSTILE], ids=short)
def test_the_pure_python_msgpack_refuses_the_same(body: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(msgpack, "Unpacker", fallback.Unpacker)
    assert refused(unpack_program, sealed_bytes(body), WHERE).startswith(f"{WHERE}: ")


def test_the_pure_python_msgpack_reads_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    program = Program(EVERY_WORD.header, EVERY_WORD.steps * 60)
    assert len(pack_program(program)) > 3 * (MAX_OBJECT_BYTES >> 3)
    monkeypatch.setattr(msgpack, "Unpacker", fallback.Unpacker)
    assert unpack_program(pack_program(program)) == program


_PLAIN = (
    st.none() | st.booleans() | st.integers(-1, 1 << 40) | st.floats() | st.text(max_size=5) | st.binary(max_size=3)
)
_ANYTHING = st.recursive(
    _PLAIN, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(), inner, max_size=3)
)
_NAMES = st.sampled_from(("geometry", "switches", "faults", "normal_pages", "verdict"))


@given(st.dictionaries(_NAMES, _ANYTHING, max_size=3), st.lists(_ANYTHING, max_size=5))
def test_any_msgpack_is_read_or_refused(header: dict[str, object], steps: list[object]) -> None:
    read_or_refused(unpack_program, sealed(FORMAT_VERSION, header, *steps))


@given(st.lists(st.tuples(st.integers(0, 28) | st.just(BLOCK_OPCODE), st.lists(_ANYTHING, max_size=4)), max_size=5))
def test_any_arguments_are_read_or_refused(steps: list[tuple[int, list[object]]]) -> None:
    raw = [[opcode, *arguments] for opcode, arguments in steps]
    program = read_or_refused(unpack_program, sealed(FORMAT_VERSION, {}, *raw))
    assert program is None or unpack_program(pack_program(program)) == program


@given(st.binary())
def test_any_bytes_under_a_right_check_sum_are_read_or_refused(body: bytes) -> None:
    read_or_refused(unpack_program, sealed_bytes(HEAD + body))


@given(st.binary())
def test_any_bytes_are_refused(data: bytes) -> None:
    assert read_or_refused(unpack_program, data) is None
    assert read_or_refused(unpack_program, MAGIC + data) is None


def test_a_program_of_many_pieces_is_read() -> None:
    """Steps that lie across the borders of the pieces in which a file is decoded."""
    wide = tuple(ops.Component(1 << 19, index) for index in range(300))
    program = Program(Header(), (ops.Migrate(wide, ops.MigrateMode.ASYNC), ops.Trim()) * 100)
    data = pack_program(program)
    assert len(data) > 3 * MAX_OBJECT_BYTES
    assert unpack_program(data) == program


def test_the_longest_header_and_the_longest_step_are_no_longer_than_a_part_may_be() -> None:
    wide = "\U0001f41b"
    names = tuple(wide * 199 + chr(0x4E00 + number) for number in range(64))
    header = Header(wide * 200, 1 << 16, 1 << 16, SWITCHES, wide * 200, wide * 200, names, wide * 1000)
    pages = (ops.Component(limits.MAX_SLOT, limits.MAX_COMPONENT),) * limits.MAX_MIGRATE_PAGES
    program = Program(header, (ops.Migrate(pages, ops.MigrateMode.SYNC),))
    assert unpack_program(pack_program(program)) == program
    assert parse_program(format_program(program)) == program


def test_more_steps_than_allowed_are_refused_at_the_first_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_STEPS", 10)
    trim = [len(ops.OPERATIONS) - 1]
    assert len(unpack_program(sealed(1, {}, *[trim] * 10)).steps) == 10
    message = refused(unpack_program, sealed(1, {}, *[trim] * 1000))
    assert message == "<packed>: step 10: the program has more than 10 steps; split it"


def test_more_page_names_than_allowed_are_refused_at_the_first_list(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "MAX_PAGE_NAMES", 10)
    message = refused(unpack_program, sealed(1, {}, *[[9, [[2, 0]] * 4, 0]] * 1000))
    assert message == "<packed>: step 2: the program migrates more than 10 pages by name; split it"


def test_more_bytes_than_a_file_has_are_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(packed, "MAX_FILE_BYTES", 10)
    assert "at most 10 are allowed" in refused(unpack_program, pack_program(SMALL))


def test_an_older_version_is_migrated(monkeypatch: pytest.MonkeyPatch) -> None:
    """A version 0 that there never was: `layout` for geometry, and a malloc without pool."""

    def from_0(raw: RawPacked) -> RawPacked:
        header = {"geometry" if key == "layout" else key: value for key, value in raw.header.items()}
        return RawPacked(header, (with_pool(step) for step in raw.steps))

    def with_pool(step: object) -> object:
        return [*step, 0] if isinstance(step, list) and step[0] == 0 else step

    monkeypatch.setitem(packed.PACKED_MIGRATIONS, 0, from_0)  # then that from 1 to 2
    program = unpack_program(sealed(0, {"layout": "small"}, [0, 1, 8, 0], [27]))
    assert program == Program(Header(geometry="small"), (ops.Malloc(1, 8), ops.Trim()))
    assert unpack_program(pack_program(program)) == program
    assert "step 1: there is no operation 99" in refused(unpack_program, sealed(0, {}, [27], [99]))


def test_what_has_no_block_is_written_as_version_1_and_read_under_either() -> None:
    program = Program(Header(verdict="clean"), (ops.Trim(),))
    raw = {"geometry": "linux-5.10", "verdict": "clean"}, [27]
    assert pack_program(program) == sealed(1, *raw)
    assert unpack_program(sealed(1, *raw)) == unpack_program(sealed(2, *raw)) == program


def test_the_layout_of_a_block_is_for_ever() -> None:
    lanes = ((ops.Trim(),), ())
    schedule = (Switch(0, 0, 5, 1), Switch(0, 0, 300, 1, held=1), Switch(0, 1, 0, 1, held=2), Switch(1, 0, 0, 0))
    chance = Chance("pct2", 300, (5, 6), leader=0)
    raw = [127, [[[27]], []], [[0, 0, 5, 1, 300, 9], [0, 1, 0, 17], [1, 0, 0, 0]]]
    header = {"geometry": "linux-5.10"}
    assert pack_program(Program(Header(), (), Block(lanes, schedule))) == sealed(2, header, raw)
    raw.append(["pct2", 300, 0, 5, 6])
    assert pack_program(Program(Header(), (), Block(lanes, schedule, chance))) == sealed(2, header, raw)


def test_a_schedule_of_many_switches_at_one_operation_takes_several_runs() -> None:
    """No list of a file has more entries than the pages of a migrate may have."""
    schedule = tuple(Switch(0, 0, point, 1, point % 3) for point in range(limits.MAX_SWITCHES))
    program = Program(Header(), (), Block(((ops.Trim(),), ()), schedule))
    assert unpack_program(pack_program(program)) == program
    assert parse_program(format_program(program)) == program


def test_the_widest_block_is_no_longer_than_a_part_may_be() -> None:
    page = ops.Component(limits.MAX_SLOT, limits.MAX_COMPONENT)
    migrate = ops.Migrate((page,) * limits.MAX_BLOCK_PAGE_NAMES, ops.MigrateMode.SYNC_NO_COPY)
    wide = ops.Malloc(limits.MAX_SLOT, limits.MAX_SIZE, ops.Gfp.KERNEL, limits.MAX_POOL)
    each = limits.MAX_BLOCK_OPERATIONS // 4
    lanes: tuple[tuple[ops.Operation, ...], ...] = ((migrate, *(wide,) * (each - 1)), *((wide,) * each,) * 3)
    few = limits.MAX_SWITCHES // limits.MAX_BLOCK_OPERATIONS
    schedule = tuple(
        Switch(lane, operation, limits.MAX_POINT - few + number, (lane + 1) % 4, held=1)
        for lane in range(4)
        for operation in range(each)
        for number in range(few)
    )
    program = Program(Header(), (), Block(lanes, schedule))
    assert len(schedule) == limits.MAX_SWITCHES
    assert unpack_program(pack_program(program)) == program
    assert parse_program(format_program(program)) == program
    assert MAX_OBJECT_BYTES - 8000 < len(pack_program(program)) < MAX_OBJECT_BYTES


def test_the_migrations_reach_from_the_first_version_to_this_one() -> None:
    assert sorted(packed.PACKED_MIGRATIONS) == list(range(1, FORMAT_VERSION))


def test_no_operation_has_the_number_that_is_kept_for_blocks() -> None:
    assert len(ops.OPERATIONS) <= BLOCK_OPCODE


def test_a_malformed_program_is_not_packed() -> None:
    with pytest.raises(HarnessError, match="step 0: a handle slot must be a whole number"):
        pack_program(Program(Header(), (ops.Free(-1),)))
