"""Every example runs, and is short."""

import subprocess
import sys
from pathlib import Path

import pytest

EXAMPLES = sorted((Path(__file__).resolve().parents[1] / "examples").glob("*.py"))
INSIDE_VLLM = [path for path in EXAMPLES if path.stem == "inside_vllm"]
"""In their own environment, tests/decode/vllm/test_example.py."""


@pytest.mark.slow
@pytest.mark.parametrize("path", [path for path in EXAMPLES if path not in INSIDE_VLLM], ids=lambda path: path.stem)
def test_example_runs(path):
    run(path)


def run(path):
    done = subprocess.run([sys.executable, path], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.strip()
    assert path.read_text().count("\n") <= 40
