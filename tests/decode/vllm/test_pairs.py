"""`thinklogit pairs --engine vllm`: target and guider answer as they do with transformers."""

import json

import pytest

from thinklogit.cli.app import main

ASKED = ["pairs", "--problems", "mini", "--limit", "6", "--n", "1", "--temperature", "0", "--max-new-tokens", "60"]

SMALL = {"max_model_len": 256, "enforce_eager": True, "kv_cache_memory_bytes": 1 << 27}


def answers(folder, *engine):
    with pytest.raises(SystemExit):  # of so few greedy answers not every kind of pair comes
        main([*ASKED, "--dtype", "float32", "-o", str(folder), *engine])
    files = (folder / "samples" / f"{source}.jsonl" for source in ("target", "guider"))
    rows = [json.loads(line) for file in files for line in file.read_text().splitlines()]
    return {(row["settings"]["mode"], row["problem_id"]): row["text"] for row in rows}


def test_the_answers_are_those_of_transformers(tmp_path):
    ours = answers(tmp_path / "vllm", "--engine", "vllm", "--engine-args", json.dumps(SMALL))
    assert len(ours) == 12
    assert ours == answers(tmp_path / "hf")
