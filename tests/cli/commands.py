"""A trio without a model for the commands, and the commands as a person calls them."""

from types import SimpleNamespace
from typing import NamedTuple

import pytest
from transformers import GenerationConfig

from thinklogit.cli.app import main
from thinklogit.cli.options import ReadyTrio, TrioOptions
from thinklogit.decode.mock import MockEngine


class Outcome(NamedTuple):
    """What a command printed, and how it ended."""

    code: int
    out: str
    err: str


@pytest.fixture
def thinklogit(capsys):
    """Run a command in this process: thinklogit("generate", "a prompt") -> Outcome."""

    def call(*arguments) -> Outcome:
        try:
            main([str(each) for each in arguments])
            code = 0
        except SystemExit as left:
            code = left.code or 0
        return Outcome(code, *capsys.readouterr())

    return call


@pytest.fixture
def mock_trio(monkeypatch):
    """A trio that answers "prompt + seed" word by word; change its fields to change what is loaded."""
    config = SimpleNamespace(
        guider_refs=[SimpleNamespace(alpha=1.0)], warmup_tokens=4, schedule="warmup", max_position_embeddings=512
    )
    trio = SimpleNamespace(
        engine=MockEngine(
            lambda prompt, seed: f"answer to {prompt if isinstance(prompt, str) else prompt[-1]['content']} {seed}"
        ),
        config=config,
        generation_config=GenerationConfig(),
        has_chat_template=True,
    )

    def load(options, *_, **how):
        return ReadyTrio(
            trio.engine, options.name, trio.config, trio.generation_config, trio.has_chat_template, options.dtype
        )

    monkeypatch.setattr(TrioOptions, "load", load)
    return trio
