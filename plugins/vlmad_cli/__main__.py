"""``vlmad``: Ctrl-C ends it in one line from the first import on."""

import sys


def main() -> None:
    """Run the command line; what it needs is imported where an interruption is caught."""
    try:
        from vlmad_cli.frame import main as run

        run()
    except KeyboardInterrupt:
        print("vlmad: interrupted", file=sys.stderr)
        sys.exit(130)


if __name__ == "__main__":
    main()
