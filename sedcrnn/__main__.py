"""`sedcrnn` lists the commands; `sedcrnn <command> ...` runs one, exactly as `python -m sedcrnn.<command> ...` does."""

import ast
import runpy
import sys
from pathlib import Path

import sedcrnn
from sedcrnn.signals import end_without_reader, ended_by_signals

_NO_COMMANDS = ("__init__", "__main__", "cli", "errors", "failures", "progress", "signals")


def commands() -> dict[str, str]:
    """Command -> the first sentence of its page, read without importing it."""
    pages = sorted(Path(__file__).parent.glob("*.py"))
    return {
        page.stem: (ast.get_docstring(ast.parse(page.read_text(encoding="utf-8"))) or "").splitlines()[0]
        for page in pages
        if page.stem not in _NO_COMMANDS
    }


@ended_by_signals()
def main() -> None:
    """Run the command that the first word names; without one, list them."""
    name = sys.argv[1] if len(sys.argv) > 1 else "--help"
    if name == "--version":
        print(f"sedcrnn {sedcrnn.__version__}")
    elif name in ("-h", "--help"):
        listed = "\n".join(f"  {command:12}{line}" for command, line in commands().items())
        ending = "sedcrnn <command> --help says more. A first result in minutes: sedcrnn pipeline stages=demo"
        try:
            print(f"Audio-visual scene classification: sedcrnn <command> ...\n\n{listed}\n\n{ending}", flush=True)
        except BrokenPipeError:
            end_without_reader()
    elif name in commands():
        # The module becomes __main__ with the name that it has after `python -m`, which Lightning and the sweep
        # launcher repeat to start other processes.
        del sys.argv[1]
        runpy.run_module(f"sedcrnn.{name}", run_name="__main__", alter_sys=True)
    else:
        from sedcrnn.errors import ConfigError, nearest

        found = f"There is no command '{name}'"
        print(
            f"\nError: {ConfigError(found, f'The nearest is {nearest(name, commands())}', 'sedcrnn lists them all')}",
            file=sys.stderr,
        )
        sys.exit(1)


if __name__ == "__main__":
    main()
