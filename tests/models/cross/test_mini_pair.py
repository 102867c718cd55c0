"""What guider and base of the mini world say about the other target's tokens, against a sum over every cut."""

import math
import random
from functools import cache

import pytest
import torch

import thinklogit
from thinklogit.mini.world import problems
from thinklogit.models.cross.follower import Follower
from thinklogit.models.cross.lattice import Reach

ALPHA = 1.0
LEFT_OPEN_BYTES = 6
"""At least so many at the end of the text may be cut in any way."""
SMALLEST = 1e-12
"""Ways less likely than this are not gone on with."""


class EveryCut:
    """Sums over all ways in which a member may say some bytes."""

    def __init__(self, member, tokens):
        self.member, self.tokens = member, tokens
        self.beginning_with = cache(self.beginning_with)

    def beginning_with(self, text):
        return [id for id, each in enumerate(self.tokens) if each and each.startswith(text)]

    @torch.no_grad()
    def chances(self, context, texts):
        """The probability of going on with each text after these ids."""
        found = dict.fromkeys(texts, 0.0)
        ways = [((), b"", 1.0)]
        while ways:
            following = []
            for start in range(0, len(ways), 256):
                some = ways[start : start + 256]
                longest = max(len(path) for path, _, _ in some)
                rows = [[*context, *path] + [0] * (longest - len(path)) for path, _, _ in some]
                logits = self.member(torch.tensor(rows)).logits
                for row, (path, said, weight) in enumerate(some):
                    chance = logits[row, len(context) + len(path) - 1].double().softmax(-1)
                    following += self.go_on(found, path, said, weight, chance.tolist())
            ways = following
        return found

    def go_on(self, found, path, said, weight, chance):
        children = {}
        for text in found:
            if len(text) > len(said) and text.startswith(said):
                rest = text[len(said) :]
                found[text] += weight * sum(chance[id] for id in self.beginning_with(rest))
                for length in range(1, len(rest)):
                    for id in self.of(rest[:length]):
                        children[id] = rest[:length]
        return [
            ((*path, id), said + each, weight * chance[id])
            for id, each in children.items()
            if weight * chance[id] >= SMALLEST
        ]

    def of(self, text):
        return [id for id in self.beginning_with(text) if self.tokens[id] == text]


def places(count):
    """Texts of the mini world that end anywhere the other target's tokens end, as its ids."""
    model, tokenizer = thinklogit.load("mini-cross")
    draws = random.Random(0)
    asked = problems("dev", count, kind="search")
    chats = [[{"role": "user", "content": each.question}] for each in asked]
    prompt = tokenizer.apply_chat_template(
        chats, add_generation_prompt=True, return_tensors="pt", return_dict=True, padding=True
    )
    out = model.generate(**prompt, do_sample=False, max_new_tokens=50)
    for row, mask in zip(out.tolist(), prompt["attention_mask"].tolist(), strict=True):
        ids = row[len(mask) - sum(mask) :]
        yield ids[: len(ids) - draws.randrange(1, 48)]


def distances(count):
    """How far ours, and a one-to-one map's, is from the exact fused distribution, in total variation."""
    model, _ = thinklogit.load("mini-cross")
    languages, pair = model.languages[0], model.guiders[0]
    tokens, own = languages.target.tokens, languages.guider.tokens
    known = [id for id, each in enumerate(tokens) if each and id < model.config.vocab_size]
    every = [EveryCut(member, own) for member in (pair.guider, pair.base)]
    for ids in places(count):
        with torch.no_grad():
            target = model.target(torch.tensor([ids])).logits[0, -1]
        ours = Follower(pair.guider, pair.base, languages, Reach()).logits(
            [[ids]], target[None, None], torch.ones(1, 1, dtype=torch.bool)
        )[:, 0, 0]
        said = languages.say(ids)
        at = max(place for place, end in enumerate(said.ends) if end <= len(said.reading.text) - LEFT_OPEN_BYTES)
        rest = said.reading.text[said.ends[at] :]
        texts = {id: rest + tokens[id] for id in known}
        chances = [each.chances(said.ids[: at + 1], set(texts.values())) for each in every]
        exact, mapped = torch.zeros(2, len(known), dtype=torch.float64)
        for place, id in enumerate(known):
            high, low = (max(each[texts[id]], 1e-12) for each in chances)
            exact[place] = math.log(high) - math.log(low)
        with torch.no_grad():
            last = [each(torch.tensor([said.ids])).logits[0, -1] for each in (pair.guider, pair.base)]
        for place, id in enumerate(known):
            if tokens[id] in own:
                mapped[place] = float(last[0][own.index(tokens[id])] - last[1][own.index(tokens[id])])
        fused = [
            (target[known].double() + ALPHA * delta).softmax(-1)
            for delta in (exact, (ours[0] - ours[1])[known], mapped)
        ]
        yield tuple(float((each - fused[0]).abs().sum() / 2) for each in fused[1:])


@pytest.mark.slow
def test_fused_is_within_a_quarter_of_what_a_one_to_one_map_errs():
    ours, mapped = zip(*distances(24), strict=True)
    assert sum(ours) <= sum(mapped) / 4
    assert sum(ours) / len(ours) == pytest.approx(0, abs=0.05)
