import os
import subprocess
import sys

import pytest

pytest_plugins = ["commands"]

VERBS = ("demo", "generate", "eval", "grade", "compare", "table", "pairs", "train", "compose", "merge")
VERBS += ("doctor", "mini", "mini train")


def loaded_after(*arguments):
    """What a command printed, and which of the large libraries it loaded for that."""
    code = f"""
import sys
from thinklogit.cli.app import main
try:
    main({list(arguments)!r})
finally:
    print([name for name in ("torch", "transformers") if name in sys.modules], file=sys.stderr)
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    return found.stdout, found.stderr.splitlines()[-1]


@pytest.mark.parametrize("verb", ["", *VERBS])
def test_help_loads_no_model_library(verb):
    out, loaded = loaded_after(*verb.split(), "--help")
    assert loaded == "[]"
    assert f"Usage: thinklogit {verb}".strip() in out


def test_help_takes_less_than_half_a_second():
    """In time of the processor, which does not depend on what else runs here; on an idle machine it is the same."""

    def seconds():
        begun = os.times()
        code = "from thinklogit.cli.app import main; main(['--help'])"
        found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
        ended = os.times()
        assert "Usage: thinklogit" in found.stdout
        return ended.children_user + ended.children_system - begun.children_user - begun.children_system

    assert min(seconds() for _ in range(3)) < 0.5


def test_help_names_every_verb(thinklogit):
    out = thinklogit("--help").out
    assert all(verb.split()[0] in out for verb in VERBS)
    assert thinklogit().out == out


def test_an_unknown_verb_names_the_nearest(thinklogit):
    code, out, err = thinklogit("genrate")
    assert (code, out) == (2, "")
    assert err.startswith('thinklogit: Unknown command "genrate". Did you mean "generate"?')
    assert err.endswith("See thinklogit --help\n")
    assert err.count("\n") == 1


def test_version(thinklogit):
    from thinklogit import __version__

    assert thinklogit("--version").out.strip() == __version__


@pytest.mark.parametrize("command", [["eval", "mini"], ["compare", "a", "b"], ["table", "a"], ["grade", "."]])
def test_a_missing_extra_is_named_in_one_line(command):
    code = f"import sys; sys.modules['inspect_ai'] = None; from thinklogit.cli.app import main; main({command!r})"
    left = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert left.returncode == 1
    assert left.stderr == (
        "thinklogit: inspect_ai is not installed; install the extra eval: pip install -c constraints.txt '.[eval]'\n"
    )


def test_a_missing_extra_of_train_is_named(thinklogit, monkeypatch, tmp_path):
    def missing(*_):
        raise ModuleNotFoundError("No module named 'trl'", name="trl")

    monkeypatch.setattr("thinklogit.cli.train._guider", missing)
    outcome = thinklogit("train", "-o", tmp_path / "a", "--dry-run")
    assert (
        outcome.err
        == "thinklogit: trl is not installed; install the extra train: pip install -c constraints.txt '.[train]'\n"
    )
