"""A lattice over tiny random languages, against the sum over every way of cutting the text."""

import math
import random
from functools import cache

import pytest
import torch

from thinklogit.core.alignment import Alignment
from thinklogit.models.cross.lattice import Lattice, Node, Reach

LETTERS = [b"a", b"b", b"c"]
BOS = 0


class World:
    """Random vocabularies over three letters, and a random guider, base and target."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.guider = [None, *LETTERS, *self.words(4)]
        self.target = [*LETTERS, *self.words(4)]
        self.seed = seed
        self.alignment = Alignment(self.target, self.guider)
        self.logits, self.logprobs, self.chance = cache(self.logits), cache(self.logprobs), cache(self.chance)

    def words(self, count: int) -> list[bytes]:
        words: set[bytes] = set()
        while len(words) < count:
            words.add(b"".join(self.random.choices(LETTERS, k=self.random.randint(2, 3))))
        return sorted(words)

    def goes_on(self, start: bytes) -> float:
        """Whether any target token begins so and is longer: all are likely here."""
        first, last = self.alignment.target.beyond(start)
        return float(first < last)

    def logits(self, who: str, context: tuple[int, ...]) -> list[float]:
        """Raw logits, of all tokens; a trained model would put most on the tokenizer's own cut, this one does not."""
        draws = random.Random(f"{self.seed} {who} {context[-2:]}")
        size = len(self.target if who == "target" else self.guider)
        return [draws.gauss(0, 1.5) for _ in range(size)]

    def logprobs(self, who: str, context: tuple[int, ...]) -> torch.Tensor:
        """Over the tokens that stand for bytes, by id less one."""
        return torch.tensor(self.logits(who, context)[1:], dtype=torch.float64).log_softmax(-1)

    def chance(self, who: str, text: bytes, context: tuple[int, ...] = (BOS,)) -> float:
        """The probability that what comes begins with `text`, over all ways of cutting it."""
        if not text:
            return 1.0
        said = self.logprobs(who, context).exp().tolist()
        total = 0.0
        for id, token in enumerate(self.guider):
            if token and token.startswith(text):
                total += said[id - 1]
            elif token and text.startswith(token):
                total += said[id - 1] * self.chance(who, text[len(token) :], (*context, id)[-2:])
        return total

    def cut(self, text: bytes) -> tuple[list[int], list[int]]:
        """How the guider's tokenizer cuts: the longest token first."""
        ids, ends, at = [BOS], [0], 0
        while at < len(text):
            place = self.alignment.guider.longest_start(text[at:])
            ids.append(int(self.alignment.guider.ids[place]))
            at += len(self.alignment.guider.strings[place])
            ends.append(at)
        return ids, ends

    def run(self, lattice: Lattice, nodes: list[Node]) -> None:
        """What the models say after each node."""
        for node in nodes:
            node.column = 0
            if node.mute:
                continue
            path, at = [], node
            while at is not None and at.parent is not None:
                path.append(at.token)
                at = at.parent
            context = (*lattice.trunk, *reversed(path))[-2:]
            said = torch.stack([self.logprobs(who, context) for who in ("guider", "base")])
            node.logprobs = said[:, self.alignment.guider.ids - 1]
            node.ends = torch.full((2,), -math.inf)
        lattice.take(nodes)


def fused(target: torch.Tensor, delta: torch.Tensor) -> torch.Tensor:
    return (target + delta).softmax(-1)


def distances(world: World, reach: Reach, steps: int = 4) -> tuple[list[float], list[float]]:
    """How far ours, and a one-to-one map's, are from the exact fused distribution, in total variation."""
    lattice = Lattice(world.alignment, reach)
    text, ours, mapped = b"", [], []
    before: tuple[int, ...] = ()
    for _ in range(steps):
        target = torch.tensor(world.logits("target", before), dtype=torch.float64)
        exact = torch.tensor(
            [
                math.log(world.chance("guider", text + each)) - math.log(world.chance("base", text + each))
                for each in world.target
            ],
            dtype=torch.float64,
        )
        right = fused(target, exact)
        ids, ends = world.cut(text)
        wanted = lattice.follow(text, ids, ends)
        while wanted:
            world.run(lattice, wanted)
            wanted = lattice.other_cuts()
        for deep in range(reach.deepest):
            world.run(lattice, lattice.tries(world.goes_on, deep))
        found = torch.zeros(2, len(world.target), dtype=torch.float64)
        found[:, world.alignment.target.ids] = lattice.masses().total.clamp(min=1e-12).log()
        ours.append(float((fused(target, found[0] - found[1]) - right).abs().sum() / 2))
        one_to_one = torch.zeros(len(world.target), dtype=torch.float64)
        for id, each in enumerate(world.target):
            if each in world.guider:
                place = world.guider.index(each)
                one_to_one[id] = (
                    world.logits("guider", tuple(ids[-2:]))[place] - world.logits("base", tuple(ids[-2:]))[place]
                )
        mapped.append(float((fused(target, one_to_one) - right).abs().sum() / 2))
        lattice.settle()
        token = world.random.choices(range(len(world.target)), right.tolist())[0]
        text, before = text + world.target[token], (*before, token)
    return ours, mapped


def mean(values: list[float]) -> float:
    return sum(values) / len(values)


def test_fused_is_exact_where_every_way_is_followed():
    for seed in range(4):
        ours, _ = distances(World(seed), Reach(tolerance=1e-300, deepest=4, most=100), steps=2)
        assert max(ours) == pytest.approx(0, abs=1e-6)


def test_fused_is_within_a_quarter_of_what_a_one_to_one_map_errs():
    both = [distances(World(seed), Reach()) for seed in range(8)]
    ours, mapped = (mean([each for pair in both for each in pair[which]]) for which in (0, 1))
    assert ours <= mapped / 4
