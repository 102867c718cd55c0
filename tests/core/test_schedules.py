import pytest
import torch

from thinklogit.core.errors import OptionError
from thinklogit.core.schedules import SCHEDULES, check_guidance, strengths

ALPHA = torch.tensor([[1.0, 0.5], [2.0, 0.0]])
GENERATED = torch.arange(4)[None]


def test_warmup_is_a_hard_switch_row_by_row():
    got = strengths("warmup", ALPHA, torch.tensor([2, 0]), GENERATED)
    assert got[0].tolist() == [[0, 0], [0, 0], [1, 0.5], [1, 0.5]]
    assert got[1].tolist() == [[2, 0]] * 4


def test_constant_is_alpha_everywhere():
    assert strengths("constant", ALPHA, torch.zeros(2, dtype=torch.long), GENERATED)[0].tolist() == [[1, 0.5]] * 4


def test_every_schedule_says_where_it_was_evaluated():
    assert all("arXiv" in schedule.reference for schedule in SCHEDULES.values())


@pytest.mark.parametrize("alpha", [float("nan"), float("-inf"), True])
def test_alpha_must_be_finite(alpha):
    with pytest.raises(OptionError, match="alpha must be a number from -100 to 100, such as"):
        check_guidance("warmup", alpha, 0)


def test_unknown_schedule_names_the_nearest_or_lists_all():
    with pytest.raises(OptionError, match="unknown schedule 'warm-up'; did you mean 'warmup'"):
        check_guidance("warm-up", 1.0, 0)
    with pytest.raises(OptionError, match="unknown schedule 'zzz'; known: constant, warmup"):
        check_guidance("zzz", 1.0, 0)
