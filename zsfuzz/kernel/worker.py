"""Worker: the process in which a build runs that may end it.

In:    on standard input, a Build, then requests; each with its length in front.
Out:   on standard output, a Ran for each request.
Never: anything else on standard output: what the kernel's side prints goes to standard error.
Next:  who starts it: zsfuzz/kernel/process.py.
"""

from __future__ import annotations

import os
import pickle
from array import array
from typing import IO, Any

from zsfuzz.kernel.library import Library


def main() -> None:
    """Serve requests until the input ends."""
    incoming = os.fdopen(os.dup(0), "rb")
    outgoing = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    library = Library(_receive(incoming))
    while (request := _receive(incoming)) is not None:
        words = array("Q")
        words.frombytes(request[0])
        data = pickle.dumps(library.run(words, request[1]))
        outgoing.write(len(data).to_bytes(8, "little") + data)
        outgoing.flush()


def _receive(pipe: IO[bytes]) -> Any:
    head = pipe.read(8)
    if len(head) < 8:
        return None
    return pickle.loads(pipe.read(int.from_bytes(head, "little")))


if __name__ == "__main__":
    main()
