"""The program `unlearning`, or `python -m unlearning`: Ctrl-C ends it in one line before it is loaded, too."""

import sys


def main() -> None:
    """Load the command, which takes half a second, and run it."""
    try:
        from unlearning import cli
    except KeyboardInterrupt:
        sys.stderr.write("interrupted\n")
        sys.exit(130)
    cli.main()


if __name__ == "__main__":
    main()
