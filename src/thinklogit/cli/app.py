"""The command line: `thinklogit VERB`. Knows the verbs; each verb's own module does the work."""

import sys

from cyclopts import App

from thinklogit import __version__
from thinklogit.core.errors import ThinkLogitError

EXIT_ERROR = 1
EXIT_INTERRUPTED = 130

app = App(
    name="thinklogit",
    help="Long chain-of-thought from a large model you do not train: a small reasoner steers it while it decodes.",
    version=__version__,
    version_flags=["--version"],
)
app.command("thinklogit.cli.demo:demo")
app.command("thinklogit.cli.generate:generate")
app.command("thinklogit.cli.compose:compose")
app.command("thinklogit.cli.doctor:doctor")
app.command("thinklogit.cli.mini:app", name="mini")


def main() -> None:
    """Run a command. A user's mistake prints one line and exits with a code other than 0; a traceback is ours."""
    try:
        app()
    except ThinkLogitError as error:
        fail(str(error))
    except KeyboardInterrupt:
        fail("interrupted", EXIT_INTERRUPTED)
    except BrokenPipeError:
        sys.exit(EXIT_ERROR)
    except OSError as error:
        fail(f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror or error))


def fail(message: str, code: int = EXIT_ERROR) -> None:
    """Print one line where errors go, and leave."""
    print(f"thinklogit: {message}", file=sys.stderr)
    sys.exit(code)
