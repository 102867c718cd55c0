"""What guider and base of another tokenizer say along one text: for this, and only this, the members are loaded."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from thinklogit.core.errors import OptionError, TrioError
from thinklogit.models.cross.follower import Follower
from thinklogit.models.cross.lattice import Reach
from thinklogit.models.doctor.crossing_checks import WAYS, how_matched
from thinklogit.models.doctor.findings import Finding
from thinklogit.models.trios import load

MOST_TOKENS = 256
"""So many of a text are looked at."""


@torch.no_grad()
def check_text(trio: str | Path, text: str) -> Iterator[Finding]:
    """Of every guider that has another tokenizer than the target, the share of the target's probability it can match.

    Args:
        trio: as in `load`.
        text: what the target goes on from, place by place; its first 256 tokens.

    Raises:
        OptionError: an empty text.
        TrioError: no trio there, or none of its guiders has another tokenizer.
    """
    model, tokenizer = load(trio)
    if not model.languages:
        raise TrioError(f"{trio}: all members have one tokenizer, so every token of a text is matched exactly")
    ids = tokenizer(text)["input_ids"][:MOST_TOKENS]
    if not ids:
        raise OptionError("expected a text to look at; got an empty one")
    logits = model.target(torch.tensor([ids], device=model.target.device)).logits[0].float().cpu()
    for index, languages in model.languages.items():
        pair = model.guiders[index]
        yield _along(ids, logits, languages, Follower(pair.guider, pair.base, languages, Reach()))


def _along(ids: list[int], logits: torch.Tensor, languages: Any, follower: Follower) -> Finding:
    order, own = languages.alignment.target, languages.alignment.guider
    ways = [how_matched(each, own) for each in order.strings]
    masks = torch.tensor([[way == each for each in ways] for way in WAYS], dtype=torch.float64)
    shares, left, dropped = torch.zeros(len(WAYS), dtype=torch.float64), 0.0, 0.0
    for place, row in enumerate(logits, 1):
        [masses] = follower.masses([ids[:place]], row[None], [True])
        assert masses is not None
        likely = row.double().softmax(-1)[order.ids]
        shares += masks @ likely
        left += float((likely * (masses.open / masses.total.clamp(min=1e-300)).amax(0)).sum())
        dropped += masses.dropped / (1 + masses.dropped)
    left, dropped = left / len(ids), dropped / len(ids)
    found = dict(zip(WAYS, (shares / len(ids)).tolist(), strict=True))
    return Finding(
        "note",
        "text",
        f"along {len(ids)} tokens of the text, of the target's probability {found['exactly']:.1%} is on tokens that "
        f"the guider has too, {found['by extension']:.1%} on ones that begin one of its own, "
        f"{found['by prefix only']:.1%} on ones that take several. Not looked into, so bounded from above only: "
        f"{left:.2%} of what it says about them; ways of cutting not followed: {dropped:.2%} at most",
        {"tokens": len(ids), "target_probability": found, "open": left, "dropped": dropped},
    )
