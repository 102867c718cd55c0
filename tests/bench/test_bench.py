"""What is measured, on members small enough to be quick, and how it is counted."""

import pytest

from thinklogit.bench import trios
from thinklogit.bench.contenders import Contender, contenders
from thinklogit.bench.measure import measure, median_interval
from thinklogit.core.acceptance import AcceptanceCounts
from thinklogit.mini.inflation import Size

LARGE, SMALL = Size(hidden=256, layers=4, feed_forward=512), Size(hidden=128, layers=3, feed_forward=256)
TINY = {"hidden_size": 64, "num_hidden_layers": 2, "intermediate_size": 128, "num_attention_heads": 2}


@pytest.fixture(scope="module")
def inflated():
    return trios.inflated_mini(LARGE, SMALL)


def test_every_contender_decodes_and_its_weights_are_counted(inflated):
    measured = {each.name: each for each in contenders(inflated, 1, 40, static=True)}
    assert list(measured) == [
        "target alone, static cache",
        "target alone",
        "plain guided",
        "speculative guided, warm-up 0",
        "speculative guided, warm-up 12",
        "target alone, transformers' generate",
        "guided, transformers' assisted",
        "plain guided, static cache",
        "speculative guided, static cache",
    ]
    assert all(each.round(0) > 0 for each in measured.values())
    sizes = inflated.bytes_by_member
    assert sizes["guiders.0.guider"] == sizes["guiders.0.base"] < sizes["target"]
    assert measured["target alone"].streamed == sizes["target"]
    assert measured["plain guided"].streamed == sum(sizes.values())
    assert measured["speculative guided, warm-up 0"].streamed < sum(sizes.values())
    assert measured["guided, transformers' assisted"].streamed is None


def test_what_a_round_streams(inflated):
    """Two rounds of 4 drafts, of which 3 and 1 stand: 6 tokens, 10 guider steps, two of target and base."""
    (drafted,) = [each for each in contenders(inflated, 1, 40) if each.name == "speculative guided, warm-up 0"]
    drafted.counts.add(4, [3])
    drafted.counts.add(4, [1])
    sizes = inflated.bytes_by_member
    others = sizes["target"] + sizes["guiders.0.base"]
    assert drafted.streamed == (10 * sizes["guiders.0.guider"] + 2 * others) / 6


def test_cells_tell_medians_ratios_and_what_stood(inflated):
    speeds = {"slow": [9.0, 10.0, 30.0, 10.0], "fast": [1.0, 40.0, 20.0, 30.0]}
    counts = AcceptanceCounts()
    counts.add(4, [4, 2])
    ways = [
        Contender(
            "slow", 2, lambda number: speeds["slow"][number], streaming=lambda: inflated.bytes_by_member["target"]
        ),
        Contender("fast", 2, lambda number: speeds["fast"][number], counts),
    ]
    turns = []
    slow, fast = measure(inflated, ways, 3, lambda: turns.append(1))
    assert len(turns) == 8
    assert (slow.tokens_per_s, slow.ratio_to_target, slow.bound) == (10.0, 1.0, 1.0)
    assert slow.bandwidth == pytest.approx(10.0 / 2 * inflated.bytes_by_member["target"] / 1e9)
    assert (fast.tokens_per_s, fast.ratio_to_target) == (30.0, 3.0)  # of 4.0, 20 / 30 and 3.0
    assert fast.interval[0] <= 3.0 <= fast.interval[1]
    assert (fast.mean_accepted_length, fast.histogram, fast.draft_lengths) == (4.0, {2: 1, 4: 1}, {4: 2})
    assert median_interval([2.0] * 5) == (2.0, 2.0)
    low, high = median_interval([1.0, 2.0, 3.0, 4.0, 50.0])
    assert 1.0 <= low < 3.0 < high <= 50.0


def test_no_other_round_begins_when_the_time_is_up(inflated):
    ways = [Contender("a", 1, lambda number: 1.0), Contender("b", 1, lambda number: 2.0)]
    turns = []
    cells = list(measure(inflated, ways, 5, lambda: turns.append(1), until=0.0))
    assert [cell.rounds for cell in cells] == [1, 1]
    assert len(turns) == 4  # one uncounted, one that counts


def test_random_members_of_published_shapes(monkeypatch):
    monkeypatch.setattr(trios, "QWEN_VOCABULARY", 500)
    prepared = trios.random_trio("tiny", TINY, {**TINY, "hidden_size": 32})
    assert prepared.model.config.vocab_size == 500
    assert all(each.round(0) > 0 for each in contenders(prepared, 2, 6))
