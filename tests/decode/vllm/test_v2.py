"""vLLM's V2 runner, the one of GPUs, on a CPU: its kernels through Triton's interpreter. Slow, and right or not."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from thinklogit.models.places import MINI

HERE = Path(__file__).parent
GUIDER = {"method": "draft_model", "model": str(MINI / "guider"), "num_speculative_tokens": 3}


@pytest.mark.parametrize("speculation", [None, GUIDER], ids=["as it is", "the guider drafts"])
def test_greedy_text_is_the_composites(speculation):
    path = os.pathsep.join([str(HERE / "interpreted"), str(HERE), str(HERE.parents[1]), *sys.path])
    interpreted = {"TRITON_INTERPRET": "1", "VLLM_USE_V2_MODEL_RUNNER": "1", "PYTHONPATH": path}
    arguments = [] if speculation is None else [json.dumps(speculation)]
    said = subprocess.run(
        [sys.executable, str(HERE / "on_v2.py"), *arguments],
        env=os.environ | interpreted,
        capture_output=True,
        text=True,
    )
    assert said.returncode == 0, said.stderr[-3000:]
    found = json.loads(said.stdout.splitlines()[-1])
    assert ".cpu." in found["runner"]  # V1's is cpu_model_runner
    assert found["equal"]
    assert speculation is None or found["accepted"] > 0
