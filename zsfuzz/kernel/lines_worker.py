"""The process in which a build for coverage of lines runs.

In:    on standard input, a pickled Build, then batches of zsfuzz/kernel/lines.py.
Out:   on standard output, for each a Report or None; gcov's counters on the disk, now and then and at the end.
Never: a batch after a crash: memory cannot be trusted then.
Next:  zsfuzz/kernel/library.py.
"""

from __future__ import annotations

import os
import pickle
from itertools import count

from zsfuzz.kernel.library import Library

_BETWEEN_DUMPS = 200


def main() -> None:
    """Serve batches until the input ends or one crashes."""
    incoming = os.fdopen(os.dup(0), "rb")
    outgoing = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what the kernel's side prints must not get between the answers
    library = Library(pickle.load(incoming))
    for done in count(1):
        try:
            words, request = pickle.load(incoming)
        except EOFError:
            break
        report = library.run(words, request).report
        if done % _BETWEEN_DUMPS == 0:
            library.dump_lines()
        pickle.dump(report, outgoing)
        outgoing.flush()
        if library.crashed:
            break
    library.dump_lines()


if __name__ == "__main__":
    main()
