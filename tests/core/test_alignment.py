"""What guider tokens say about target tokens, against sums over every token one by one."""

import random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from thinklogit.core.alignment import Alignment, ByteOrder

ALPHABET = b"ab\xff"
TOKENS = st.lists(st.none() | st.binary(min_size=1, max_size=4).map(lambda each: bytes(ALPHABET[b % 3] for b in each)))


def masses(alignment: Alignment, guider: list[bytes | None], pending: bytes = b"", ahead: bytes = b"", left_out=()):
    """Settled and open mass of each target id of a table, of made-up probabilities; and these, by place."""
    generator = random.Random(1)
    probabilities = torch.tensor([generator.random() for _ in alignment.guider.strings], dtype=torch.float64)
    table, found = alignment.agreement(probabilities, pending, ahead, left_out)
    return {
        int(id): (float(settled), float(open_))
        for id, settled, open_ in zip(alignment.target.ids[table.targets], found.settled, found.open, strict=True)
    }, probabilities.tolist()


@given(TOKENS, TOKENS, st.sampled_from([b"", b"a", b"\xff", b"ab"]), st.booleans())
def test_masses_are_those_summed_token_by_token(target, guider, part, is_pending):
    alignment = Alignment(target, guider)
    pending, ahead = (part, b"") if is_pending else (b"", part)
    found, probabilities = masses(alignment, guider, pending, ahead)
    for id, text in enumerate(target):
        if not text or not text.startswith(ahead) or text == ahead:
            assert id not in found
            continue
        said = pending + text[len(ahead) :]
        spoken = list(zip(alignment.guider.strings, probabilities, strict=True))
        settled = sum(mass for each, mass in spoken if each.startswith(said))
        open_ = sum(mass for each, mass in spoken if said.startswith(each) and len(pending) < len(each) < len(said))
        assert found.get(id, (0.0, 0.0)) == pytest.approx((settled, open_), abs=1e-9)


def test_a_token_tried_is_settled_by_what_comes_after_it_and_no_longer_open():
    alignment = Alignment([b"ab"], [b"a", b"b"])
    assert masses(alignment, [])[0][0][1] > 0
    assert masses(alignment, [], left_out=[0])[0][0] == (0.0, 0.0)


def test_a_range_ends_where_no_bytes_are_larger():
    order = ByteOrder([b"\xff", b"\xff\xff", b"\xfe", None])
    assert order.range(b"\xff") == (1, 3)
    assert order.beyond(b"\xff") == (2, 3)
    assert order.beyond(b"\xff\xff") == (3, 3)


def test_ids_of_the_same_bytes_all_count():
    alignment = Alignment([b"a"], [b"a", b"a", b"ab"])
    found, probabilities = masses(alignment, [])
    assert found[0][0] == pytest.approx(sum(probabilities))
