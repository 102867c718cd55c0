"""What the package promises to export, name by name: a change here is a change for users."""

import pytest

import thinklogit

NAMES = [
    "Completion",
    "ContextError",
    "Engine",
    "EvaluationError",
    "Grade",
    "Guider",
    "HuggingFaceEngine",
    "MockEngine",
    "OptionError",
    "OutputError",
    "Problem",
    "RecordError",
    "RunChangedError",
    "SamplingParams",
    "SandboxError",
    "ServerEngine",
    "ServerError",
    "ThinkLogitConfig",
    "ThinkLogitError",
    "ThinkLogitForCausalLM",
    "TrioError",
    "VllmEngine",
    "__version__",
    "compose",
    "fuse",
    "load",
    "mini",
    "speculate",
]


def test_the_public_names_are_these():
    assert thinklogit.__all__ == NAMES


@pytest.mark.parametrize("name", NAMES)
def test_every_name_loads_and_is_documented(name):
    value = getattr(thinklogit, name)
    assert name == "__version__" or value.__doc__


def test_an_unknown_name_is_an_attribute_error():
    with pytest.raises(AttributeError, match="module 'thinklogit' has no attribute 'Trio'"):
        thinklogit.__getattr__("Trio")


def test_every_error_is_a_thinklogit_error_drawn_in_the_tree():
    from thinklogit.core import errors

    children = {name for name in NAMES if name.endswith("Error")} - {"ThinkLogitError"}
    assert all(issubclass(getattr(thinklogit, name), thinklogit.ThinkLogitError) for name in children)
    assert all(name in errors.__doc__ for name in children)
