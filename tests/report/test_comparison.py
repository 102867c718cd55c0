import math
from dataclasses import replace

import numpy as np
import pytest
from measurements import measurement, numbered

from thinklogit.core.errors import OptionError, RecordError
from thinklogit.report.comparison import compare, compare_tasks
from thinklogit.report.effects import Pairs, paired_effect
from thinklogit.report.sentences import verdicts

BETTER = [8, 7, 6, 8, 5, 7, 8, 6, 7, 8, 4, 6]
WORSE = [4, 3, 1, 5, 2, 3, 6, 1, 2, 4, 1, 3]


def lengths(*each):
    return {f"p{place}": length for place, length in enumerate(each)}


def test_the_difference_is_a_minus_b():
    found = compare(numbered(BETTER), numbered(WORSE, system="target"))
    assert found.accuracy.difference == pytest.approx((sum(BETTER) - sum(WORSE)) / 8 / 12)
    assert 0 < found.accuracy.interval.low < found.accuracy.difference < found.accuracy.interval.high
    assert found.accuracy.p == pytest.approx(2 / 2**12)  # exact: no other signs are as far out
    assert verdicts(found)[0].startswith("Accuracy is better: guided minus target is +46.9 points [")
    mirrored = compare(numbered(WORSE, system="target"), numbered(BETTER))
    assert mirrored.accuracy.difference == -found.accuracy.difference
    assert verdicts(mirrored)[0].startswith("Accuracy is worse: target minus guided is -46.9 points [")


def test_problems_gained_and_lost_largest_first():
    found = compare(numbered([3, 7, 8, 0, 5]), numbered([2, 2, 8, 4, 5]))
    assert [(c.problem_id, c.b_correct, c.b_n, c.a_correct, c.a_n) for c in found.gained] == [
        ("p1", 2, 8, 7, 8),
        ("p0", 2, 8, 3, 8),
    ]
    assert [change.problem_id for change in found.lost] == ["p3"]


def test_only_problems_that_both_answered_are_compared_and_the_others_named():
    a = measurement({"x": "11", "y": "10", "z": "11", "only": "00"})
    b = measurement({"other": "11", "z": "00", "y": "10", "x": "00"}, system="target")
    found = compare(a, b)
    assert (found.only_a, found.only_b, found.accuracy.problems) == (("only",), ("other",), 3)
    assert found.accuracy.a == pytest.approx(2.5 / 3)


def test_the_order_of_a_log_changes_nothing():
    a, b = numbered(BETTER), numbered(WORSE, system="target")
    turned = replace(a, outcomes=a.outcomes[::-1])
    assert compare(turned, b) == compare(a, b)


def test_the_same_completions_differ_by_nothing():
    same = numbered(BETTER, lengths=lengths(*range(12)))
    found = compare(same, same)
    for effect in (found.accuracy, found.pass_at, found.length):
        assert (effect.difference, effect.interval, effect.p, effect.detectable) == (0, (0, 0), 1, None)
    assert found.gained == found.lost == ()
    assert verdicts(found) == [
        "Accuracy: no difference; guided and guided solve each of 12 problems equally often.",
        "Length: no difference; guided and guided write as many tokens on each of 12 problems.",
    ]


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize(("a", "b"), [([0] * 9, [0] * 9), ([8] * 9, [0] * 9), ([8] * 2, [0] * 2), ([1, 0], [0, 0])])
def test_nothing_varies_and_nothing_is_nan(a, b):
    found = compare(numbered(a, lengths=lengths(*[5] * 9)), numbered(b, lengths=lengths(*[0] * 9)))
    for effect in (found.accuracy, found.pass_at, found.length):
        assert not any(math.isnan(number) for number in (effect.difference, *effect.interval, effect.p))
    assert found.length.ratio is found.length.ratio_interval is None
    assert all(sentence.endswith((".", "%.")) and "nan" not in sentence for sentence in verdicts(found))


def test_longer_reasoning_with_what_was_cut():
    a = measurement({f"p{i}": "1x" for i in range(9)}, lengths=lengths(*range(300, 390, 10)))
    b = measurement({f"p{i}": "10" for i in range(9)}, lengths=lengths(*range(100, 190, 10)), system="target")
    found = compare(a, b)
    assert found.length.ratio == pytest.approx(340 / 140)
    assert found.length.ratio_interval.low < 340 / 140 < found.length.ratio_interval.high
    assert verdicts(found)[1] == (
        "Reasoning is longer: guided writes 340 tokens a completion, target 140: 2.43 times as many "
        f"[{found.length.ratio_interval.low:.2f}, {found.length.ratio_interval.high:.2f}], p 0.004. "
        "Cut at the token limit, so longer in truth: 50.0% of guided, 0.0% of target."
    )


def test_too_few_problems_say_what_they_could_have_shown():
    found = compare(numbered([4, 5, 1, 8, 0, 3]), numbered([3, 5, 3, 6, 0, 2], system="target"))
    accuracy, length = verdicts(found)
    assert accuracy.startswith("Accuracy: no difference is shown. guided minus target is +4.2 points [")
    assert "6 such problems show a true difference of 24.3 points four times in five" in accuracy
    assert accuracy.endswith("one as small as this takes about 140.")
    assert length == "Length: not compared; the engine of one side counted no tokens."
    fewer = verdicts(compare(numbered([8] * 5), numbered([0] * 5)))[0]
    assert fewer.endswith("p 0.062, over 5 problems. Fewer than 6 problems cannot show any.")


def test_settings_that_differ_are_told():
    a, b = numbered([1, 2], alpha=0.5, temperature=0.6), numbered([1, 2], temperature=0.6, warmup_tokens=0)
    assert compare(a, b).settings == {"alpha": (0.5, None), "warmup_tokens": (None, 0)}


def test_pass_at_k_is_over_problems_with_enough_completions():
    a = measurement({"x": "1100", "y": "0001", "z": "0"})
    b = measurement({"x": "0000", "y": "0001", "z": "00000000"})
    found = compare(a, b)
    assert (found.k, found.pass_at.problems, found.accuracy.problems) == (4, 2, 3)
    assert found.pass_at.difference == 0.5


def test_what_is_not_the_same_task_is_refused():
    with pytest.raises(OptionError, match="compared on the same task; A answered aime24, B amc23"):
        compare(numbered([1, 2]), numbered([1, 2], task="amc23"))
    with pytest.raises(OptionError, match=r"aime24: A answered version 1, B version 2.*run one of them again"):
        compare(numbered([1, 2]), numbered([1, 2], version="2"))
    with pytest.raises(OptionError, match=r"needs 2 problems or more that both answered; got 1 \(A has 1, B 2\)"):
        compare(numbered([1]), numbered([1, 2]))
    with pytest.raises(OptionError, match=r"A answered AIME 2024, B AMC 2023; name other runs"):
        compare_tasks([numbered([1, 2])], [numbered([1, 2], task="amc23")])
    with pytest.raises(OptionError, match="guided answered AIME 2024 twice"):
        compare_tasks([numbered([1, 2]), numbered([1, 2])], [numbered([1, 2])])
    with pytest.raises(RecordError, match="found none"):
        compare(measurement({}), numbered([1, 2]))


def test_several_tasks_one_by_one_and_weighed_equally():
    a = [numbered([8] * 4, task="amc23"), numbered([4] * 40), numbered([1, 2], task="mini")]
    b = [numbered([4] * 40), numbered([0] * 4, task="amc23"), numbered([1, 2], task="gpqa_diamond")]
    found = compare_tasks(a, b)
    assert [each.task for each in found.tasks] == ["aime24", "amc23"]
    assert (found.only_a, found.only_b) == (("mini",), ("gpqa_diamond",))
    assert found.average.task == "average of 2 tasks"
    assert (found.average.accuracy.difference, found.average.accuracy.problems) == (0.5, 44)
    assert compare_tasks(a[:1], b[1:2]).average is None


def test_tasks_are_weighed_equally_in_the_permutation_too():
    """Of 64 signs of (1/4, 1/4, -1/16 four times) 36 lead as far from 0; were problems weighed equally, all would."""
    a = [numbered([8, 8]), numbered([4] * 4, task="amc23")]
    b = [numbered([0, 0]), numbered([8] * 4, task="amc23")]
    effect = compare_tasks(a, b).average.accuracy
    assert (effect.difference, effect.p) == (0.25, 36 / 64)


def test_the_average_of_unlike_numbers_of_completions_has_no_pass_at_k():
    a = [numbered([8, 1]), numbered([1, 0], n=1, task="amc23")]
    assert compare_tasks(a, a).average.pass_at is None


def test_a_seed_draws_the_same_again():
    a, b = numbered(BETTER * 3), numbered(WORSE[::-1] * 3)
    assert compare(a, b, seed=1, resamples=500) == compare(a, b, seed=1, resamples=500)
    assert compare(a, b, seed=1, resamples=500).accuracy != compare(a, b, seed=2, resamples=500).accuracy


def draw(generator, problems, n=8, effect=0.0, spread=1.0):
    """Two systems on the same problems, whose hardness spreads from never to always."""
    ease = generator.beta(0.5 * spread, spread, problems)
    better = np.clip(ease + effect, 0, 1)
    return Pairs(generator.binomial(n, better) / n, generator.binomial(n, ease) / n), float((better - ease).mean())


def test_equal_systems_are_told_apart_one_time_in_twenty():
    """400 draws of 30 problems: a p-value is as uniform as so few marks allow, and 95% intervals hold 0."""
    generator = np.random.default_rng(0)
    found = [paired_effect([draw(generator, 30)[0]], seed, 400) for seed in range(400)]
    covered = np.mean([effect.interval.low <= 0 <= effect.interval.high for effect in found])
    p = np.array([effect.p for effect in found])
    assert 0.92 <= covered <= 0.98
    assert 0.02 <= (p < 0.05).mean() <= 0.08
    assert abs((p < 0.5).mean() - 0.5) < 0.08


def test_intervals_cover_a_true_difference():
    generator = np.random.default_rng(1)
    held, runs = 0, 300
    for seed in range(runs):
        first, _ = draw(generator, 30, effect=0.15)
        second, _ = draw(generator, 40, effect=0.15)
        # what clipping at 1 leaves of 0.15, on average over problems
        low, high = paired_effect([first, second], seed, 400).interval
        held += low <= TRUE_EFFECT <= high
    assert 0.92 <= held / runs <= 0.98


TRUE_EFFECT = draw(np.random.default_rng(2), 400_000, effect=0.15)[1]


def test_the_detectable_difference_is_shown_four_times_in_five():
    generator = np.random.default_rng(3)
    noise = [draw(generator, 60, spread=20)[0] for _ in range(150)]  # no ceiling near
    effect = float(np.mean([paired_effect([pairs], 0, 400).detectable for pairs in noise]))
    found = [paired_effect([draw(generator, 60, effect=effect, spread=20)[0]], 0, 400).shown for _ in range(150)]
    assert 0.70 <= np.mean(found) <= 0.90
