"""The example that runs inside vLLM."""

import pytest
from test_examples import INSIDE_VLLM, run


@pytest.mark.parametrize("path", INSIDE_VLLM, ids=lambda path: path.stem)
def test_example_runs(path):
    run(path)
