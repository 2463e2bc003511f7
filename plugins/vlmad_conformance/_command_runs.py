"""Several commands in one process of its own: ``python -m vlmad_conformance._command_runs``.

Standard input is a JSON list of lists of words, standard output one of exit statuses and what the
commands said.
"""

from __future__ import annotations

import io
import json
import sys
from contextlib import redirect_stderr, redirect_stdout

from vlmad.cli import main


def run(words: list[str]) -> tuple[int, str]:
    """Run one command; return its exit status and what it said on standard error."""
    out, error = (io.TextIOWrapper(io.BytesIO(), "utf-8", "backslashreplace") for _ in range(2))
    sys.argv = ["vlmad", *words]
    status = 0
    with redirect_stdout(out), redirect_stderr(error):
        try:
            main()
        except SystemExit as ended:
            status = ended.code if isinstance(ended.code, int) else 1
    error.flush()
    return status, error.buffer.getvalue().decode()


if __name__ == "__main__":
    print(json.dumps([run(words) for words in json.load(sys.stdin)]))
