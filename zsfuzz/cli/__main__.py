"""`python -m zsfuzz.cli`: the command line where no script is installed.

In:    the words of the command line.
Out:   the exit status of zsfuzz/cli/main.py.
Never: anything else.
Next:  zsfuzz/cli/main.py.
"""

from __future__ import annotations

import sys

from zsfuzz.cli.main import main

sys.exit(main())
