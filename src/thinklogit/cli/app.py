"""The command line: `thinklogit VERB`. Knows the verbs; each verb's own module does the work."""

import os
import sys
from collections.abc import Sequence

from cyclopts import App, CycloptsError, Parameter

from thinklogit import __version__
from thinklogit.core.errors import ThinkLogitError

EXIT_ERROR = 1
EXIT_USAGE = 2
EXIT_INTERRUPTED = 130
EXTRAS = {
    "eval": ("inspect_ai", "openai", "math_verify", "scipy", "pyarrow"),
    "train": ("trl", "datasets", "peft", "tensorboard"),
}
"""What only an extra installs."""

app = App(
    name="thinklogit",
    help="Long chain-of-thought from a large model you do not train: a small reasoner steers it while it decodes.",
    version=__version__,
    version_flags=["--version"],
    default_parameter=Parameter(negative_bool=(), negative_iterable=(), show_default=False),
    suppress_keyboard_interrupt=False,
)
# Told here as well as in the verbs, whose modules are not loaded until one is called.
VERBS = {
    "demo": ("demo:demo", "Watch a small reasoner guide a larger model, then count over held-out problems."),
    "generate": ("generate:generate", "Decode completions of prompts or files of prompts; resumable."),
    "serve": ("serve:serve", "Serve a trio inside vLLM, behind an OpenAI-compatible endpoint."),
    "eval": ("eval:evaluate", "Answer benchmarks, grade the answers, and count them with intervals; resumable."),
    "compare": ("compare:compare", "Is one system better, is its reasoning longer, or can so few problems not tell?"),
    "table": ("table:table", "The paper's table over runs: Markdown, LaTeX, CSV or JSON."),
    "grade": ("grade:grade", "Grade completions: of a file, or of a run again."),
    "pairs": ("pairs:pairs", "Preference pairs for ThinkLogit-DPO from graded answers; resumable."),
    "train": ("train:train", "Train the guider on preference pairs, with DPO and LoRA; resumable."),
    "compose": ("compose:compose", "Make a trio folder of a target, a guider and its base."),
    "merge": ("merge:merge", "Make plain checkpoints of a trio's members that wear adapters."),
    "doctor": ("doctor:doctor", "Do these members go together, what will they cost, where will they fit?"),
    "bench": ("bench:bench", "How fast is guided decoding beside its target alone, on this machine?"),
    "mini": ("mini:app", "The small trio that comes with thinklogit: train your own."),
}
for verb, (place, told) in VERBS.items():
    app.command(f"thinklogit.cli.{place}", name=verb, help=told)


def command(verb: str) -> App:
    """A verb's own app, whose help is all that its function says, not just its line in the list."""
    found = app[verb]
    if found.default_command:
        found.help = None
    return found


def main(arguments: Sequence[str] | None = None) -> None:
    """Run a command, by default the one that this process was called with.

    A user's mistake prints one line and exits with a code other than 0; a traceback is ours.
    """
    named = (sys.argv[1:] if arguments is None else arguments)[:1]
    try:
        if named and named[0] in VERBS:
            command(named[0])
        app(arguments, print_error=False, exit_on_error=False, verbose=False)
    except CycloptsError as error:
        verb = " ".join(error.command_chain or ())
        fail(f"{_one_line(error)} See thinklogit {verb + ' ' if verb else ''}--help", EXIT_USAGE)
    except ThinkLogitError as error:
        fail(_one_line(error))
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        extra = next((extra for extra, packages in EXTRAS.items() if package in packages), None)
        if extra is None:
            raise
        fail(f"{package} is not installed; install the extra {extra}: pip install -c constraints.txt '.[{extra}]'")
    except KeyboardInterrupt as interrupt:
        fail(_one_line(interrupt) or "interrupted", EXIT_INTERRUPTED)
    except BrokenPipeError:
        _leave_standard_output()
        sys.exit(EXIT_ERROR)
    except OSError as error:
        _leave_standard_output()
        fail(f"{error.filename}: {error.strerror}" if error.filename else str(error.strerror or error))


def fail(message: str, code: int = EXIT_ERROR) -> None:
    """Print one line where errors go, and leave."""
    print(f"thinklogit: {message}", file=sys.stderr)
    sys.exit(code)


def _one_line(error: BaseException) -> str:
    return " ".join(str(error).split())


def _leave_standard_output() -> None:
    """Whoever read it has gone, or its disk is full: keep Python from trying again, aloud, at exit."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
