"""`thinklogit` with a trio that answers slowly, to be killed in the middle: python slow_mock.py generate ..."""

import time
from types import SimpleNamespace

from transformers import GenerationConfig

from thinklogit.cli.app import main
from thinklogit.cli.options import ReadyTrio, TrioOptions
from thinklogit.decode.mock import MockEngine


def reply(prompt, seed):
    time.sleep(0.05)
    return f"{prompt} answered with {seed}"


def load(options, *_, **how):
    config = SimpleNamespace(
        guider_refs=[SimpleNamespace(alpha=1.0)], warmup_tokens=0, schedule="warmup", max_position_embeddings=512
    )
    return ReadyTrio(MockEngine(reply), options.name, config, GenerationConfig(), False)


if __name__ == "__main__":
    TrioOptions.load = load
    main()
