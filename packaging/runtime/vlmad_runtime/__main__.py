"""``vlmad-runtime``: the command line of vlmad, of which it brings its own copy.

Where a full vlmad is installed, that is taken: of two copies one would be stale some day.
"""

import sys
from importlib.util import find_spec
from pathlib import Path

TREE = Path(__file__).parent / "tree"


def main() -> None:
    """Run the command line."""
    if find_spec("vlmad") is None:
        sys.path.insert(0, str(TREE))
        _refuse_what_needs_torch(sys.argv[1:])
    from vlmad_cli.__main__ import main as run

    run()


def _refuse_what_needs_torch(words: list[str]) -> None:
    """Say in one line what this machine lacks, instead of failing at an import."""
    graph = any(word.lower().endswith((".onnx", ".xml")) for word in words)
    if (words and words[0] not in ("run", "--help", "--version")) or (
        words[:1] == ["run"] and not graph and "--help" not in words
    ):
        print(
            "vlmad-runtime: alone it runs graphs: vlmad-runtime run PATH… --model "
            "FILE.onnx; pip install vlmad does everything else",
            file=sys.stderr,
        )
        sys.exit(2)


if __name__ == "__main__":
    main()
