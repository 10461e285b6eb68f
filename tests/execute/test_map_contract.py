"""The map contract: between map and unmap a lane only reads, writes and unmaps; the rest is a counted no-op."""

from __future__ import annotations

import pytest

from tests.execute.programs import clean

BEFORE = """
h0 = malloc 3256
h1 = malloc 3256
h2 = malloc 3256
free h1
write h0 0+3256 7
"""


@pytest.mark.parametrize("mode", ["ro", "wo", "rw"])
@pytest.mark.parametrize(
    "forbidden",
    [
        "migrate h0.0 sync",
        "compact",
        "free h0",
        "map h0 rw",
        "map h2 rw",
        "unmap h2",
        "free h2",
        "h5 = malloc 10",
        "p0 = isolate h0.1",
        "run_work",
        "compact_zone 0..256 sync",
        "offline 0..32",
        "contig 0..16",
        "poison h0.0 soft",
        "scan kpageflags 0..64",
        "stats",
        "trim",
        "read h2 0+10",
    ],
)
def test_an_operation_under_a_map_is_a_no_op_on_both_sides(mode: str, forbidden: str) -> None:
    result = clean(f"{BEFORE}\nmap h0 {mode}\n{forbidden}\nunmap h0\n")
    assert (result.operations, result.no_ops) == (7, 1)


def test_reading_and_writing_through_the_map_is_what_it_is_for() -> None:
    through = "map h0 rw\nread h0 0+3256\nwrite h0 100+900 9\nread h0 90+20\nunmap h0\nread h0 0+3256\n"
    result = clean(f"{BEFORE}\n{through}")
    assert result.no_ops == 0 and result.operations == 11


def test_a_read_only_map_cannot_be_written_and_a_write_only_map_not_read() -> None:
    assert clean(f"{BEFORE}\nmap h0 ro\nwrite h0 0+10 1\nunmap h0\nread h0 0+3256\n").no_ops == 1
    assert clean(f"{BEFORE}\nmap h0 wo\nread h0 0+10\nunmap h0\n").no_ops == 1


def test_a_straddling_object_written_through_a_write_only_map_holds_what_was_written() -> None:
    """[ page 0 ... h1 |  h1 ... page 1 ]: the copy buffer goes back as a whole."""
    clean("h0 = malloc 3256\nh1 = malloc 3256\nmap h1 wo\nwrite h1 0+3256 5\nunmap h1\nread h1 0+3256\nread h0 0+3256")


def test_a_map_that_is_still_held_at_the_end_is_undone() -> None:
    clean(f"{BEFORE}\nmap h0 rw\n")


def test_an_operation_that_makes_no_sense_is_a_no_op() -> None:
    nonsense = ["free h9", "unmap h0", "read h9 0+10", "putback p0", "speculative_put r0", "drop b0"]
    nonsense += ["destroy_pool z3", "compact z2"]
    nonsense += ["migrate p4 sync", "h0 = malloc 10", "h8 = malloc 10 z3", "create_pool z0", "destroy_pool z0"]
    result = clean("\n".join(["h0 = malloc 3256", *nonsense]))
    assert (result.operations, result.no_ops) == (1, len(nonsense))
