"""The commands of docs/evaluation.md run, in the order they stand there."""

import json
import re
import subprocess
import sys
from pathlib import Path

PAGE = (Path(__file__).parents[1] / "docs" / "evaluation.md").read_text()


def test_the_commands_of_the_page_on_evaluation_run(tmp_path):
    answers = re.search(r"^```json\n(.*?)```$", PAGE, re.DOTALL | re.MULTILINE)[1]
    json.loads(answers)
    (tmp_path / "answers.jsonl").write_text(answers)
    blocks = re.findall(r"^```bash\n(.*?)^```$", PAGE, re.DOTALL | re.MULTILINE)
    commands = [line for block in blocks for line in block.splitlines()]
    assert len(commands) == 5
    told = {command: run(command, tmp_path) for command in commands}
    assert "Accuracy is better: guided minus target" in told["thinklogit compare runs/mini"]
    assert r"\toprule" in told["thinklogit table runs/mini --format latex"]
    assert "no grade changed" in told["thinklogit grade runs/mini"]
    assert "as expected 1 of 1" in told[commands[-1]]


def run(command, folder):
    code = "from thinklogit.cli.app import main; main()"
    words = [sys.executable, "-c", code, *command.split()[1:]]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, timeout=240)
    assert done.returncode == 0, (command, done.stderr)
    return done.stdout
