"""What a run does to the process it is in; what it measures is tested with the tasks and the commands."""

import gc

from thinklogit.evals.runs import _collecting_rarely


def test_garbage_is_collected_rarely_and_as_before_afterwards():
    before, frozen = gc.get_threshold(), gc.get_freeze_count()
    with _collecting_rarely():
        assert gc.get_threshold()[0] >= 50_000
        assert gc.get_freeze_count() > 10_000
    assert gc.get_threshold() == before
    assert gc.get_freeze_count() <= frozen
