import pytest
from hypothesis import given
from hypothesis import strategies as st

from thinklogit.core.errors import OptionError
from thinklogit.core.intervals import wilson


@pytest.mark.parametrize(
    ("correct", "n", "low", "high"),
    [
        (0, 10, 0.0, 0.2775),  # R: prop.test(0, 10, correct = FALSE)
        (5, 10, 0.2366, 0.7634),
        (15, 148, 0.0624, 0.1605),  # Newcombe, Statistics in Medicine 17 (1998), table I: 81/263 and 15/148
        (81, 263, 0.2553, 0.3662),
        (100, 100, 0.9630, 1.0),
    ],
)
def test_published_values(correct, n, low, high):
    assert wilson(correct, n) == pytest.approx((low, high), abs=5e-5)


@given(st.integers(1, 1000).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_the_share_lies_inside_and_right_mirrors_wrong(counts):
    correct, n = counts
    low, high = wilson(correct, n)
    assert 0 <= low <= correct / n <= high <= 1
    assert wilson(n - correct, n) == pytest.approx((1 - high, 1 - low))


@pytest.mark.parametrize(("correct", "n"), [(0, 0), (3, 2), (-1, 2)])
def test_what_is_no_share_is_refused(correct, n):
    with pytest.raises(
        OptionError, match=rf"an interval needs 0 to n correct out of n, n at least 1; got {correct} of {n}"
    ):
        wilson(correct, n)
