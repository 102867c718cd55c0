"""lm-eval's own command with our model: a task that generates, and one of log-likelihoods."""

import json
import subprocess
import sys

import pytest

GENERATING = """
task: mini_world
dataset_path: json
dataset_kwargs: {{data_files: {{test: {problems}}}}}
test_split: test
output_type: generate_until
doc_to_text: "{{{{question}}}}"
doc_to_target: "{{{{answer}}}}"
generation_kwargs: {{until: ["\\n\\n"], max_gen_toks: 240, do_sample: false}}
filter_list:
  - name: last
    filter:
      - {{function: regex, regex_pattern: "Answer: (\\\\d+ \\\\w+, \\\\d+ \\\\w+)", group_select: -1}}
      - {{function: take_first}}
metric_list: [{{metric: exact_match}}]
"""
CHOOSING = """
task: mini_choice
dataset_path: json
dataset_kwargs: {{data_files: {{test: {problems}}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{question}}}}"
doc_to_choice: ["So pens", "17 17 17"]
doc_to_target: 0
metric_list: [{{metric: acc}}]
"""


@pytest.mark.slow
def test_lm_eval_runs_a_trio_by_name(tmp_path):
    problems = tmp_path / "problems.jsonl"
    asked = {"question": "A pen costs 8, a cup 13. Ann paid 55. How many of each?", "answer": "2 pens, 3 cups"}
    problems.write_text(json.dumps(asked) + "\n")
    (tmp_path / "generating.yaml").write_text(GENERATING.format(problems=problems))
    (tmp_path / "choosing.yaml").write_text(CHOOSING.format(problems=problems))
    command = [sys.executable, "-m", "lm_eval", "--model", "thinklogit", "--model_args", "trio=mini,alpha=1.0"]
    command += ["--tasks", "mini_world,mini_choice", "--include_path", str(tmp_path), "--apply_chat_template"]
    done = subprocess.run(
        [*command, "--output_path", str(tmp_path / "out")], capture_output=True, text=True, timeout=240
    )
    assert done.returncode == 0, done.stderr
    (results,) = (tmp_path / "out").rglob("results*.json")
    found = json.loads(results.read_text())["results"]
    assert found["mini_world"]["exact_match,last"] == 1.0
    assert found["mini_choice"]["acc,none"] == 1.0
