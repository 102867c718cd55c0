"""`thinklogit serve` where vLLM is not as it must be; the server itself is tested inside vLLM's own environment."""

import pytest

from thinklogit.decode import vllm as plugin

pytest_plugins = ["commands"]

NOT_INSTALLED = "thinklogit: vLLM is not installed; install the extra vllm: pip install 'thinklogit[vllm]'"


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ([], NOT_INSTALLED),
        (["--port", "8000", "--tensor-parallel-size", "2"], NOT_INSTALLED),
        (["--speculate", "0"], "--speculate must be off or a number of tokens to draft, 1 or more; got 0"),
        (["--alpha", "1e9"], "alpha must be a number from -100 to 100, such as 1.0; got 1000000000.0"),
        (["--warmup-tokens", "-2"], "warmup_tokens must be a whole number of tokens, 0 or more; got -2"),
        (["--schedule", "cosine"], "unknown schedule 'cosine'; known: constant, warmup"),
    ],
)
def test_a_mistake_prints_one_line(arguments, line, thinklogit):
    said = thinklogit("serve", *arguments)
    assert said.code == 1
    assert said.err.count("\n") == 1
    assert line in said.err


@pytest.mark.parametrize("found", ["0.31.0", "0.33.1", "1.0.0", "0.320.0"])
def test_another_release_of_vllm_is_told(found, monkeypatch):
    monkeypatch.setattr(plugin, "installed", lambda: found)
    tested = "trios are tested inside vLLM 0.32.x only; pip install 'vllm==0.32.*'"
    assert plugin.untested() == f"vLLM {found} is installed, but {tested}"


@pytest.mark.parametrize("found", ["0.32.0", "0.32.1", "0.32.0+cpu"])
def test_the_tested_release_is_taken(found, monkeypatch):
    monkeypatch.setattr(plugin, "installed", lambda: found)
    assert plugin.untested() is None


def test_inside_another_release_the_plugin_says_so_and_registers_nothing(monkeypatch, caplog):
    """vLLM calls it in every process, for every model: an exception would end them all."""
    monkeypatch.setattr(plugin, "installed", lambda: "0.33.0")
    plugin.register()
    assert "thinklogit: vLLM 0.33.0 is installed, but trios are tested inside vLLM 0.32.x only" in caplog.text
