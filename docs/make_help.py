"""Write docs/commands.md from the commands' own --help, or with --check fail when it has gone stale."""

import argparse
import io
import sys
from collections.abc import Sequence
from pathlib import Path

from rich.console import Console

from thinklogit.cli.app import app, command

PAGE = Path(__file__).with_name("commands.md")
VERBS = (
    "",
    "demo",
    "generate",
    "serve",
    "eval",
    "grade",
    "compare",
    "table",
    "compose",
    "merge",
    "doctor",
    "bench",
    "mini",
    "mini train",
)


def help_of(verb: Sequence[str]) -> str:
    out = io.StringIO()
    console = Console(file=out, width=100, color_system=None, force_terminal=False, legacy_windows=False)
    if verb:
        command(verb[0])
    app.help_print(verb, console=console)
    return "\n".join(line.rstrip() for line in out.getvalue().strip("\n").splitlines())


def page() -> str:
    parts = ["# Commands\n\nMade by `make format` from the commands' own help; `make check` fails when it is stale.\n"]
    for verb in [verb.split() for verb in VERBS]:
        name = " ".join(["thinklogit", *verb])
        parts.append(f"## {name}\n\n```\n$ {name} --help\n{help_of(verb)}\n```\n")
    return "\n".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 when the page differs")
    fresh = page()
    if not parser.parse_args().check:
        PAGE.write_text(fresh)
    elif not PAGE.exists() or PAGE.read_text() != fresh:
        sys.exit("docs/commands.md is stale: run `make format`")


if __name__ == "__main__":
    main()
