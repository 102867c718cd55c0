"""The ways in which a guider may have cut one text into tokens, as a tree, and how much each weighs.

The cut that its tokenizer makes is always there. Others are where they weigh enough: the text's last bytes may be the
beginning of a longer token, or be cut into others than the tokenizer's. And what the target's next token may begin with
is tried ahead of the text. Knows which nodes are wanted, not how a model runs them.
"""

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor

from thinklogit.core.alignment import Alignment

FURTHEST_BACK = 8
"""How many tokens before the end of a text one may begin that goes on beyond it."""
NO_MASS = 1e-300
"""In place of 0, before a logarithm."""


class Reach(NamedTuple):
    """What is looked at.

    Args:
        tolerance: the share of all ways, for guider or base, from which one is followed; and the probability, for the
            target, from which it matters what may come beyond a token that is tried.
        deepest: how many tokens to try ahead of the text, one after the other.
        most: how many other cuts to follow, and how many tokens to try at a time.
    """

    tolerance: float = 1e-2
    deepest: int = 4
    most: int = 16


@dataclass(eq=False)
class Node:
    """The text after one more token.

    Attributes:
        parent: the node before; None for the root, up to which all ways are one.
        token: the guider's id.
        depth: tokens up to here, this one included.
        tail: the bytes from the root to here.
        column: its place in the caches; -1 until run.
        weights: log-probability of the way here from the root, of guider and base.
        logprobs: of the next token in the guider's order, (2, places); None until run.
        ends: log-probability that the text ends here, of guider and base.
        children: nodes after this one, by token.
        mute: of the trunk, where nothing can be cut otherwise any more: what comes after it is not asked.
    """

    parent: "Node | None"
    token: int
    depth: int
    tail: bytes
    column: int = -1
    weights: Float[Tensor, " 2"] | None = None
    logprobs: Float[Tensor, "2 places"] | None = None
    ends: Float[Tensor, " 2"] | None = None
    children: dict[int, "Node"] = field(default_factory=dict)
    mute: bool = False

    def below(self) -> Iterator["Node"]:
        """This node and all that come from it, parents first."""
        yield self
        for child in self.children.values():
            yield from child.below()

    def child(self, token: int, tail: bytes) -> "Node":
        """A new node after this one."""
        self.children[token] = Node(self, token, self.depth + 1, tail)
        return self.children[token]


class Candidate(NamedTuple):
    """A token that might be run after a node: its share of all ways, as a logarithm, and the bytes up to its end."""

    share: float
    node: Node
    token: int
    tail: bytes


class Masses(NamedTuple):
    """What guider and base say about each token of the target, in the order of its bytes, up to one factor each.

    Attributes:
        total: settled and open mass.
        open: the part of it that was not looked into.
        end: of the end of the text.
        dropped: the largest share, of guider or base, of ways of cutting the text that were not followed.
    """

    total: Float[Tensor, "2 places"]
    open: Float[Tensor, "2 places"]
    end: Float[Tensor, " 2"]
    dropped: float


class Lattice:
    """The ways of cutting one text."""

    def __init__(self, alignment: Alignment, reach: Reach) -> None:
        self.alignment = alignment
        self.reach = reach
        self.text = b""
        self.trunk: list[int] = []
        """Tokens up to the root, which is the last of them."""
        self.columns: list[int] = []
        """Their places in the caches, as far as they have been run."""
        self.start = 0
        """Bytes up to the root."""
        self.root: Node | None = None
        self.own: set[int] = set()
        """Nodes of the tokenizer's own cut, by `id`."""
        self.dropped = 0.0

    @property
    def rest(self) -> bytes:
        """The text beyond the root."""
        return self.text[self.start :]

    def nodes(self) -> list[Node]:
        """All, parents first."""
        assert self.root is not None
        return list(self.root.below())

    def pending(self, node: Node) -> bytes | None:
        """What the next token after a node has to begin with; None of a node ahead of the text."""
        rest = self.rest
        return rest[len(node.tail) :] if len(node.tail) <= len(rest) else None

    def ahead(self, node: Node) -> bytes:
        """What a node says beyond the text."""
        return node.tail[len(self.rest) :]

    # Following the text

    def follow(self, text: bytes, ids: Sequence[int], ends: Sequence[int]) -> list[Node]:
        """The text is now this, and the tokenizer cuts it so: what has to be run, parents first."""
        root, self.text, self.dropped = self.root, text, 0.0
        if root is None or list(ids[: root.depth]) != self.trunk or ends[root.depth - 1] != self.start:
            new = self._begin(ids, ends)
        else:
            new = []
            self._forget_untrue()
        node = self.root
        assert node is not None
        self.own = {id(node)}
        for place in range(node.depth, len(ids)):
            tail = text[self.start : ends[place]]
            found = node.children.get(ids[place])
            if found is None:
                found = node.child(ids[place], tail)
                new.append(found)
            node = found
            self.own.add(id(node))
        return new

    def _begin(self, ids: Sequence[int], ends: Sequence[int]) -> list[Node]:
        """Begin anew: with the first of the last tokens after which one might go on beyond the text."""
        places = range(max(1, len(ids) - FURTHEST_BACK), len(ids))
        depth = next((depth for depth in places if self._goes_on(self.text[ends[depth - 1] :])), len(ids))
        same = (one == other for one, other in zip(self.trunk, ids[: depth - 1], strict=False))
        common = min(next((place for place, each in enumerate(same) if not each), len(self.trunk)), depth - 1)
        common = min(common, len(self.columns))
        self.columns, self.trunk, self.start = self.columns[:common], list(ids[:depth]), ends[depth - 1]
        node, new = None, []
        for place in range(common, depth):
            node = Node(node, ids[place], place + 1, b"", mute=place + 1 < depth)
            new.append(node)
        self.root = node
        assert node is not None
        node.weights = torch.zeros(2, dtype=torch.float64)
        return new

    def _goes_on(self, pending: bytes) -> bool:
        first, last = self.alignment.guider.beyond(pending)
        return first < last

    def _forget_untrue(self) -> None:
        rest = self.rest
        for node in self.nodes():
            for token, child in list(node.children.items()):
                if not (rest.startswith(child.tail) or child.tail.startswith(rest)):
                    del node.children[token]

    # What has been run

    def take(self, run: Sequence[Node]) -> None:
        """These have been run: place the trunk, and work out the weight of every node that has none yet."""
        assert self.root is not None
        if self.root in run:
            self.columns += [node.column for node in run if node.mute] + [self.root.column]
            self.root.parent = None
        for node in self.nodes():
            if node.weights is None:
                before = node.parent
                assert before is not None
                assert before.weights is not None
                node.weights = before.weights + self._said(before, node.token)

    def _said(self, node: Node, token: int) -> Tensor:
        """The log-probability of a token; 0 of one that stands for no bytes, such as a marker: it weighs nothing."""
        place = self.alignment.place_of.get(token)
        assert node.logprobs is not None
        return torch.zeros(2, dtype=torch.float64) if place is None else node.logprobs[:, place].double()

    def shares(self) -> list[tuple[Node, bytes, Float[Tensor, " 2"]]]:
        """The nodes within the text after which it may go on, with what is pending and their log-weight as its end."""
        found = []
        for node in self.nodes():
            pending = self.pending(node)
            if pending is None:
                continue
            assert node.weights is not None
            if not pending:
                found.append((node, pending, node.weights))
            elif self._goes_on(pending):
                first, last = self.alignment.guider.beyond(pending)
                assert node.logprobs is not None
                mass = node.logprobs[:, first:last].double().logsumexp(-1)
                found.append((node, pending, node.weights + mass))
        return found

    def whole(self) -> Float[Tensor, " 2"]:
        """The log-weight of all ways together."""
        return torch.stack([share for _, _, share in self.shares()]).logsumexp(0)

    def other_cuts(self) -> list[Node]:
        """Nodes to run for cuts of the text that are not the tokenizer's own and weigh enough; to be asked again."""
        if self.alignment.same:
            return []
        found = []
        whole, guider = self.whole(), self.alignment.guider
        for node in self.nodes():
            pending = self.pending(node)
            if not pending:
                continue
            assert node.weights is not None
            for length in range(1, min(len(pending), guider.longest) + 1):
                place = guider.places.get(pending[:length])
                token = None if place is None else int(guider.ids[place])
                if token is not None and token not in node.children:
                    share = float((node.weights + self._said(node, token) - whole).max())
                    found.append(Candidate(share, node, token, node.tail + pending[:length]))
        others = sum(id(node) not in self.own and self.pending(node) is not None for node in self.nodes())
        chosen = self._heaviest(found, self.reach.most - others)
        self.dropped = sum(math.exp(each.share) for each in found) - sum(math.exp(each.share) for each in chosen)
        return [each.node.child(each.token, each.tail) for each in chosen]

    def tries(self, likely: Callable[[bytes], float], deep: int) -> list[Node]:
        """Nodes to run ahead of the text: tokens likely enough that a target token, likely enough, goes on from.

        `likely` is the target's probability that its next token begins with some bytes and is longer.
        """
        if deep >= self.reach.deepest or self.alignment.same:
            return []
        found = []
        whole, guider = self.whole(), self.alignment.guider
        for node in self.nodes():
            pending = self.pending(node)
            ahead = self.ahead(node) if pending is None else b""
            first, last = guider.beyond(pending or b"")
            if node.logprobs is None or first == last:
                continue
            assert node.weights is not None
            shift = (node.weights - whole).float()[:, None]
            heavy = (node.logprobs[:, first:last] >= self._least - shift).any(0).nonzero()[:, 0]
            shares = (node.logprobs[:, first + heavy] + shift).amax(0)
            for share, place in zip(shares.tolist(), heavy.tolist(), strict=True):
                token = int(guider.ids[first + place])
                beyond = ahead + guider.strings[first + place][len(pending or b"") :]
                if token not in node.children and likely(beyond) >= self.reach.tolerance:
                    found.append(Candidate(share, node, token, self.rest + beyond))
        return [each.node.child(each.token, each.tail) for each in self._heaviest(found, self.reach.most)]

    @property
    def _least(self) -> float:
        return math.log(self.reach.tolerance)

    def _heaviest(self, found: list[Candidate], most: int) -> list[Candidate]:
        enough = [each for each in found if each.share >= self._least]
        return sorted(enough, key=lambda each: -each.share)[: max(0, most)]

    # What it says

    def masses(self) -> Masses:
        """What guider and base say about each target token, over all ways that weigh enough.

        Where both have the same tokens, it is what they say about that token: identity 6, nothing is left to work out.
        """
        if self.alignment.same:
            return self._token_by_token()
        size, least = len(self.alignment.target.ids), self._least
        total, left, end = (torch.zeros(2, each, dtype=torch.float64) for each in (size, size, 1))
        whole, dropped = self.whole(), torch.full((2,), self.dropped, dtype=torch.float64)
        for node, pending, share in self.shares():
            if float((share - whole).max()) < least:
                dropped += (share - whole).exp()
                continue
            self._add(total, left, node, pending, whole)
            if not pending:
                assert node.ends is not None
                assert node.weights is not None
                end[:, 0] += (node.weights - whole + node.ends.double()).exp()
        for node in self.nodes():
            if self.pending(node) is None and node.logprobs is not None:
                self._add(total, left, node, b"", whole)
        return Masses(total, left, end[:, 0], float(dropped.max()))

    def _token_by_token(self) -> Masses:
        [*_, last] = (node for node in self.nodes() if id(node) in self.own)
        assert last.logprobs is not None
        assert last.ends is not None
        total = last.logprobs.double().exp()
        return Masses(total, torch.zeros_like(total), last.ends.double().exp(), 0.0)

    def _add(self, total: Tensor, left: Tensor, node: Node, pending: bytes, whole: Tensor) -> None:
        alignment = self.alignment
        ahead = b"" if self.pending(node) is not None else self.ahead(node)
        assert node.logprobs is not None
        assert node.weights is not None
        tried = [
            alignment.place_of[token]
            for token, child in node.children.items()
            if self.pending(child) is None and child.logprobs is not None
        ]
        probabilities = (node.logprobs + (node.weights - whole).float()[:, None]).exp()
        table, found = alignment.agreement(probabilities, pending, ahead, tried)
        if len(table.targets) == total.shape[1]:  # of all
            total += found.settled + found.open
            left += found.open
        else:
            total[:, table.targets] += found.settled + found.open
            left[:, table.targets] += found.open

    # Forgetting

    def settle(self) -> None:
        """Drop what weighs too little, and let the root be the last node that all other ways go through."""
        whole, least = self.whole(), self._least
        kept: set[int] = set()
        for node, _, share in self.shares():
            if id(node) in self.own or float((share - whole).max()) >= least:
                kept.add(id(node))
        for node in self.nodes():
            if self.pending(node) is None:
                kept.add(id(node))
        for node in reversed(self.nodes()):
            node.children = {token: child for token, child in node.children.items() if id(child) in kept}
            if node.children:
                kept.add(id(node))
        alive = {id(node) for node, _, _ in self.shares()}
        assert self.root is not None
        while len(self.root.children) == 1 and id(self.root) not in alive:
            self._move_root(next(iter(self.root.children.values())))

    def _move_root(self, node: Node) -> None:
        cut, weights = len(node.tail), node.weights
        assert weights is not None
        for each in node.below():
            each.tail = each.tail[cut:]
            if each.weights is not None:
                each.weights = each.weights - weights
        node.parent = None
        self.root = node
        self.start += cut
        self.trunk.append(node.token)
        self.columns.append(node.column)
