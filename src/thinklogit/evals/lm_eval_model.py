"""The trio as a model of lm-eval, for its log-likelihood tasks as well as for those that generate.

    lm_eval --model thinklogit --model_args trio=DIR,alpha=1,warmup_tokens=100 --tasks gsm8k

lm-eval has no entry point for models. In Python `import thinklogit` makes this one known to it, in either order; in the
processes of its command a line in thinklogit_lm_eval.pth does, which is installed beside the package. lm-eval keeps the
first of several repeats only, and sends all of them one seed: for avg@n and pass@k use `thinklogit eval`.
"""

from typing import Any

import torch
from lm_eval.models.huggingface import HFLM

from thinklogit.core.errors import unknown_name
from thinklogit.core.params import MODES
from thinklogit.core.schedules import check_guidance
from thinklogit.models.cross.languages import tokenizer_for
from thinklogit.models.places import find_trio
from thinklogit.models.trios import load, read_config


class ThinkLogitLM(HFLM):
    """lm-eval's Hugging Face model around a trio.

    Args:
        trio: a trio folder, a hub id, or "mini".
        mode: guided, or target, guider or base alone.
        alpha: guidance strength [default: the trio's].
        warmup_tokens: new tokens that the target decodes alone [default: the trio's]; counts where lm-eval generates.
        dtype: as in `thinklogit.load`.
        device: where all members go, such as cuda.
        **kwargs: batch_size and the other arguments of lm-eval's `hf`.
    """

    def __init__(
        self,
        trio: str = "mini",
        mode: str = "guided",
        alpha: float | None = None,
        warmup_tokens: int | None = None,
        dtype: str | None = None,
        device: str | None = None,
        **kwargs: Any,
    ) -> None:
        if mode not in MODES:
            raise unknown_name("mode", mode, MODES)
        config = read_config(find_trio(trio))
        for pair in config.guiders or []:
            pair["alpha"] = pair["alpha"] if alpha is None else float(alpha)
        if warmup_tokens is not None:
            config.warmup_tokens = int(warmup_tokens)
        for pair in config.guider_refs:
            check_guidance(config.schedule, pair.alpha, config.warmup_tokens)
        if device and device.startswith("cuda") and not torch.cuda.is_available():
            device = "cpu"  # lm-eval asks for cuda where nothing was asked for, and its own models give way too
        how = {name: value for name, value in (("dtype", dtype), ("device_map", device)) if value}
        model, tokenizer = load(trio, config=config, **how)
        answering = {"guided": model, "target": model.target}.get(mode) or getattr(model.guiders[0], mode)
        tokenizer = tokenizer_for(mode, tokenizer, model.languages)
        super().__init__(pretrained=answering, tokenizer=tokenizer, backend="causal", **kwargs)
