"""The floors of the house, and what importing the package may not cost."""

import subprocess
import sys
import time

import pytest


def run(code):
    return subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout


@pytest.mark.parametrize(
    ("statement", "absent"),
    [
        ("import thinklogit", ["torch", "transformers", "peft", "accelerate", "rich", "cyclopts"]),
        ("import thinklogit.core.errors, thinklogit.core.records", ["torch", "transformers"]),
        ("import thinklogit.core.fusion, thinklogit.core.sampling", ["transformers", "accelerate"]),
        ("import thinklogit.models.composite", ["peft", "rich", "cyclopts"]),
        ("import thinklogit.cli.app", ["torch", "transformers"]),
        ("import thinklogit.cli.generate, thinklogit.decode.server", ["torch", "transformers", "openai"]),
        ("import thinklogit.mini", ["transformers"]),
    ],
)
def test_what_is_not_imported(statement, absent):
    out = run(f"{statement}\nimport sys; print([name for name in {absent!r} if name in sys.modules])")
    assert out.strip() == "[]"


def test_importing_the_package_takes_less_than_a_third_of_a_second():
    def seconds():
        begun = time.perf_counter()
        run("import thinklogit")
        return time.perf_counter() - begun

    nothing = min(_timed_nothing() for _ in range(3))
    assert min(seconds() for _ in range(3)) - nothing < 0.3


def _timed_nothing():
    begun = time.perf_counter()
    run("pass")
    return time.perf_counter() - begun


def test_transformers_knows_the_model_type_if_it_was_imported_before():
    out = run(
        "import transformers, thinklogit\n"
        "from transformers import AutoConfig\n"
        "print(type(AutoConfig.for_model('thinklogit')).__module__)"
    )
    assert out.strip() == "thinklogit.models.config"


@pytest.mark.parametrize(
    "statement",
    [
        "from transformers import AutoModelForCausalLM",
        pytest.param("from transformers import DynamicCache, PreTrainedModel", marks=pytest.mark.slow),
        pytest.param("import transformers.modeling_utils", marks=pytest.mark.slow),
    ],
)
def test_whatever_of_transformers_is_imported_first(statement):
    """The hook once ran while transformers' own modules were half loaded, and broke their import.

    `import thinklogit; from transformers import AutoModelForCausalLM` then failed with a ModuleNotFoundError.
    """
    out = run(
        f"import thinklogit\n{statement}\n"
        "from transformers import AutoModelForCausalLM, AutoConfig\n"
        "print(type(AutoConfig.for_model('thinklogit')) in AutoModelForCausalLM._model_mapping.keys())"
    )
    assert out.strip() == "True"
