"""The method written out by hand: three models, no cache, one row at a time, float32. Slow and obvious on purpose."""

import torch


def fused_logits(target, pairs, ids):
    """Next-token logits after `ids` (1, length): target + sum of alpha * (guider - base)."""
    logits = target(ids).logits[0, -1].float()
    for guider, base, alpha in pairs:
        logits = logits + alpha * (guider(ids).logits[0, -1].float() - base(ids).logits[0, -1].float())
    return logits


@torch.no_grad()
def greedy(target, pairs, prompt, new_tokens, warmup_tokens=0):
    """Greedy continuation of one prompt, a list of ids; the new ids alone."""
    ids = list(prompt)
    for generated in range(new_tokens):
        active = pairs if generated >= warmup_tokens else []
        ids.append(int(fused_logits(target, active, torch.tensor([ids])).argmax()))
    return ids[len(prompt) :]
