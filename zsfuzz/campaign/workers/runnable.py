"""Runnable: a program as bytes, with all that its run depends on.

In:    a program that is about to run.
Out:   bytes, and the program back; a name by its content.
Never: a file for people: a program file holds the schedule of its block. Before the block has run there may be none,
       only the chance that will make it; and a worker may die before there is one.
Next:  who writes it down: zsfuzz/campaign/workers/worker.py; program files: zsfuzz/program/packed.py.
"""

from __future__ import annotations

import hashlib
from dataclasses import astuple, replace

import msgpack  # type: ignore[import-untyped]

from zsfuzz.program.block import Chance
from zsfuzz.program.packed import pack_program, unpack_program
from zsfuzz.program.program import Program


def seal(program: Program) -> bytes:
    """Return the program as bytes; equal programs give equal bytes."""
    chance = chance_of(program)
    sealed: bytes = msgpack.packb((pack_program(program), None if chance is None else astuple(chance)))
    return sealed


def unseal(sealed: bytes) -> Program:
    """Return the program that seal() took."""
    packed, chance = msgpack.unpackb(sealed, use_list=False)
    program = unpack_program(packed)
    if chance is None or program.block is None:
        return program
    return replace(program, block=replace(program.block, chance=Chance(*chance)))


def chance_of(program: Program) -> Chance | None:
    """Return what makes the schedule of the program's block, None when it has one, or no block."""
    return None if program.block is None else program.block.chance


def name_of(sealed: bytes) -> str:
    """Return 64 hexadecimal digits that tell a program from all others."""
    return hashlib.sha256(sealed).hexdigest()
