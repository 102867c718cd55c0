"""Guider and base beside a batch of target texts that they read in tokens of their own.

Each row has its lattice; what the lattices want run goes through both members at once, all rows together, as a tree:
a node sees its ancestors and nothing else. What a row has read is remembered, so a text that goes on costs its new
tokens, and one that was cut back, or is now another row's, costs what differs.
"""

import sys
import warnings
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from transformers import DynamicCache

from thinklogit.core.errors import TrioError
from thinklogit.models.caches import keep_columns
from thinklogit.models.cross.languages import NOTHING, Languages, Said
from thinklogit.models.cross.lattice import Lattice, Masses, Node, Reach

MOST_SPARE = 0.5
"""Columns of the caches that no row needs, as a share of those that one does, before they are compacted."""


class Followed(NamedTuple):
    """A row: the target's text as the guider reads it, and the lattice of that."""

    said: Said
    lattice: Lattice


class Follower:
    """One pair beside one batch.

    Args:
        guider: the model.
        base: the model.
        languages: of the target and the pair.
        reach: what is looked at.
    """

    def __init__(self, guider: Any, base: Any, languages: Languages, reach: Reach) -> None:
        self.members = (guider, base)
        self.languages = languages
        self.reach = reach
        contexts = (getattr(each.config, "max_position_embeddings", None) for each in self.members)
        self.context_tokens = min((each for each in contexts if each is not None), default=sys.maxsize)
        self.rows: list[Followed] = []
        self.caches = [DynamicCache(config=each.config) for each in self.members]
        self.width = 0
        """Columns of the caches."""

    def masses(
        self, ids: Sequence[list[int]], target: Float[Tensor, "rows vocab"], asked: Sequence[bool]
    ) -> list[Masses | None]:
        """What guider and base say about the token after these ids, for each row asked; None for others.

        None, too, where there is nothing yet that they could read (no text, and nothing that they put before one), and,
        with a warning, where the text in their tokens no longer fits into their context.

        Args:
            ids: the target's, prompt and generated, of each row.
            target: its logits for the token after them.
            asked: rows that are guided at all.
        """
        self._place(ids)
        asked = [each and self._read(place, row) for place, (each, row) in enumerate(zip(asked, ids, strict=True))]
        wanted = [_followed(row) if each else [] for each, row in zip(asked, self.rows, strict=True)]
        while any(wanted):
            self._run(wanted)
            wanted = [row.lattice.other_cuts() if asked[place] else [] for place, row in enumerate(self.rows)]
        likely = [self.languages.likely(logits) if asked[place] else None for place, logits in enumerate(target)]
        for deep in range(self.reach.deepest):
            wanted = [
                [] if how is None else row.lattice.tries(how, deep) for row, how in zip(self.rows, likely, strict=True)
            ]
            if not any(wanted):
                break
            self._run(wanted)
        found = [row.lattice.masses() if asked[place] else None for place, row in enumerate(self.rows)]
        for place, row in enumerate(self.rows):
            if asked[place]:
                row.lattice.settle()
        return found

    def logits(
        self, ids: Sequence[Sequence[list[int]]], target: Float[Tensor, "rows kept vocab"], asked: Tensor
    ) -> Float[Tensor, "2 rows kept vocab"]:
        """The logarithms of `masses`, of guider and base: what a model of the target's tokens would have as logits."""
        found = torch.zeros(2, *target.shape)
        for place in range(target.shape[1]):
            masses = self.masses([row[place] for row in ids], target[:, place], asked[:, place].tolist())
            for row, each in enumerate(masses):
                if each is not None:
                    logs = self.languages.logarithms(each)
                    found[:, row, place, : logs.shape[1]] = logs
        return found.to(target.device)

    # Rows

    def _place(self, ids: Sequence[list[int]]) -> None:
        """Let each row stand where the text is that it goes on from."""
        if len(self.rows) == len(ids) and all(
            new[: len(row.said.target_ids)] == row.said.target_ids for row, new in zip(self.rows, ids, strict=True)
        ):
            return
        found = [(place, *_longest(new, self.rows)) for place, new in enumerate(ids)]
        rows = [Followed(NOTHING, Lattice(self.languages.alignment, self.reach)) for _ in ids]
        chosen = torch.zeros(len(ids), dtype=torch.long)
        taken: set[int] = set()
        for place, source, common in sorted(found, key=lambda each: -each[2]):  # who goes on from a row the furthest
            if common and source not in taken:
                rows[place], chosen[place] = self.rows[source], source
                taken.add(source)
        if self.width:
            for cache in self.caches:
                cache.batch_select_indices(chosen)
        self.rows = rows

    def _read(self, place: int, ids: list[int]) -> bool:
        """Let a row read these ids; whether it can go on from them."""
        before, lattice = self.rows[place]
        said = self.languages.say(ids, before)
        self.rows[place] = Followed(said, lattice)
        if len(said.ids) + self.reach.deepest > self.context_tokens:
            told = f"a text takes more tokens of the guider's than its context of {self.context_tokens:,} holds"
            warnings.warn(f"{told}; it goes on unguided", stacklevel=2)
            return False
        return bool(said.ids)

    # Running

    @torch.no_grad()
    def _run(self, wanted: Sequence[Sequence[Node]]) -> None:
        """Run these nodes of each row, parents before what comes from them."""
        self._compact()
        new = max(map(len, wanted))
        tokens, positions = (np.zeros((len(wanted), new), dtype=np.int64) for _ in range(2))
        seen = np.zeros((len(wanted), new, self.width + new), dtype=bool)
        for place, nodes in enumerate(wanted):
            first = new - len(nodes)  # the last nodes of all rows stand side by side: only theirs are the logits kept
            seen[place, range(first), range(self.width, self.width + first)] = True
            for index, node in enumerate(nodes, first):
                node.column = self.width + index
                tokens[place, index], positions[place, index] = node.token, node.depth - 1
                before = node.parent
                if before is not None and before.column >= self.width:
                    seen[place, index] = seen[place, before.column - self.width]
                else:
                    seen[place, index, self.rows[place].lattice.columns + _path(before)] = True
                seen[place, index, node.column] = True
        kept = max(sum(not node.mute for node in nodes) for nodes in wanted)
        logits = [
            self._logits(member, cache, tokens, positions, seen, kept)
            for member, cache in zip(self.members, self.caches, strict=True)
        ]
        self.width += new
        spoken = self.languages.spoken(torch.stack([each.to(logits[0].device) for each in logits], dim=1))
        for row, nodes, logprobs, ends in zip(self.rows, wanted, spoken.logprobs, spoken.ends, strict=True):
            for node in nodes:
                place = node.column - self.width  # from the right, as logits are kept
                if not node.mute:
                    node.logprobs, node.ends = logprobs[:, place], ends[:, place]
            if nodes:
                row.lattice.take(nodes)

    def _logits(self, member: Any, cache: DynamicCache, tokens: Any, positions: Any, seen: Any, kept: int) -> Tensor:
        device, dtype = member.device, member.dtype
        mask = torch.zeros(seen.shape, dtype=dtype).masked_fill_(torch.from_numpy(~seen), torch.finfo(dtype).min)
        return member(
            input_ids=torch.from_numpy(tokens).to(device),
            attention_mask=mask[:, None].to(device),
            position_ids=torch.from_numpy(positions).to(device),
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=kept,
        ).logits

    def _compact(self) -> None:
        """Leave out of the caches the columns that no row needs any more, where those are many."""
        if not self.width:
            return
        needed = [self._columns(row.lattice) for row in self.rows]
        longest = max(map(len, needed))
        if self.width - longest <= MOST_SPARE * longest + 32:
            return
        kept = torch.tensor([each + [0] * (longest - len(each)) for each in needed], dtype=torch.long)
        for cache in self.caches:
            keep_columns(cache, kept)
        for row, columns in zip(self.rows, needed, strict=True):
            moved = {column: place for place, column in enumerate(columns)}
            row.lattice.columns = [moved[column] for column in row.lattice.columns]
            for node in row.lattice.nodes() if row.lattice.root else ():
                if node.column >= 0:
                    node.column = moved[node.column]
        self.width = longest

    def _columns(self, lattice: Lattice) -> list[int]:
        below = [node.column for node in (lattice.nodes() if lattice.root else ()) if node.column >= 0]
        return list(dict.fromkeys(lattice.columns + below))


def followers_of(
    cache: Any, languages: dict[int, Languages], pairs: Any, crossing: Sequence[int]
) -> dict[int, Follower]:
    """What follows the texts of a cache, kept with it: only a memory, all that counts is in the ids."""
    missing = [index for index in crossing if index not in languages]
    if missing:
        raise TrioError("guider and base have another tokenizer than the target; load the trio with its tokenizers")
    followers = getattr(cache, "followers", None)
    if followers is None:
        followers = {
            index: Follower(pairs[index].guider, pairs[index].base, languages[index], Reach()) for index in crossing
        }
        if cache is not None:
            cache.followers = followers
    return followers


def ids_of_rows(ids: Tensor, mask: Tensor | None, new: int, kept: Any) -> list[list[list[int]]]:
    """The ids up to each position that is kept, of each row, padding left out."""
    total = ids.shape[1]
    places = torch.arange(total - new, total)[kept].tolist()
    seen = torch.ones_like(ids) if mask is None else mask
    rows = []
    for row, keep in zip(ids.cpu(), seen.cpu().bool(), strict=True):
        rows.append([row[: place + 1][keep[: place + 1]].tolist() for place in places])
    return rows


def _followed(row: Followed) -> list[Node]:
    return row.lattice.follow(row.said.reading.text, row.said.ids, row.said.ends)


def _path(node: Node | None) -> list[int]:
    """Columns from below the root to here; the root's own is the trunk's last."""
    path = []
    while node is not None and node.parent is not None:
        path.append(node.column)
        node = node.parent
    return path


def _longest(ids: list[int], rows: Sequence[Followed]) -> tuple[int, int]:
    """The row that these ids go on from the furthest, and how far."""
    common = [_common(ids, row.said.target_ids) for row in rows]
    best = max(range(len(rows)), key=common.__getitem__, default=0)
    return best, common[best] if common else 0


def _common(first: list[int], second: list[int]) -> int:
    shorter = min(len(first), len(second))
    if first[:shorter] == second[:shorter]:
        return shorter
    for place, (one, other) in enumerate(zip(first, second, strict=False)):
        if one != other:
            return place
    return shorter
