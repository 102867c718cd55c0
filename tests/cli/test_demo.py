import json

import pytest

from thinklogit.decode.mock import MockEngine
from thinklogit.mini import world

pytest_plugins = ["commands"]


class ByMode(MockEngine):
    """The guided target solves every problem, the guider never finishes, the target errs. Notes who was asked what."""

    def __init__(self):
        super().__init__()
        self.asked = []

    def _complete(self, prompt, params, number):
        question = prompt[-1]["content"]
        self.asked.append((params.mode, question, params.seed))
        answer = world.parse(question).answer
        self.reply = {
            "target": lambda *_: "No idea at all.",
            "guider": lambda *_: "Wait, hmm. Go back. Check: no.",
            "guided": lambda *_: f"Let me see. Wait, check: Answer: {answer}.",
        }[params.mode]
        return super()._complete(prompt, params, number)


@pytest.fixture
def engine(mock_trio):
    mock_trio.engine = ByMode()
    return mock_trio.engine


def test_the_show(thinklogit, engine):
    code, out, err = thinklogit("demo", "--n", 20, "--alpha", 0.5)
    shown = world.problems("dev", 20, 0, "search")[0]
    assert (code, err) == (0, "")
    assert out.startswith(f"{shown.question}  (held out: no member was trained on it)\n")
    unanswered = 'wrong: no "Answer: ..." with two counts in the completion\n'
    parts = [f"Target alone\nNo idea at all.\n{unanswered}"]
    parts += [f"Guider alone, the small reasoner\nWait, hmm. Go back. Check: no.\n{unanswered}"]
    parts += [f"Guided: target + 0.5 * (guider - base)\nLet me see. Wait, check: Answer: {shown.answer}.\nright: "]
    assert all(part in out for part in parts)
    rows = [line.split("│")[1:-1] for line in out.splitlines() if line.startswith("│")]
    assert [[cell.strip() for cell in row] for row in rows] == [
        ["target", "0/20", "0% [0%, 16%]", "4.0", "0.0", "0.0"],
        ["guider", "0/20", "0% [0%, 16%]", "6.0", "1.0", "3.0"],
        ["guided", "20/20", "100% [84%, 100%]", "10.0", "1.0", "1.0"],
    ]
    assert "Out of 20, the target alone solves 0, the guider 0, the guided target 20.\n" in out
    assert out.endswith("Other problems: --seed 1, or your own: --problem 'a pen costs 8, a cup 13, Ann paid 55'\n")


def test_the_problem_is_shown_as_it_is_counted(thinklogit, engine):
    thinklogit("demo", "--n", 3, "--seed", 4)
    questions = [problem.question for problem in world.problems("dev", 3, 4, "search")]
    first = {asked for asked in engine.asked if asked[1] == questions[0]}
    assert len(first) == 3  # one for each mode, the same seed both times
    assert [question for _, question, _ in engine.asked] == questions[:1] * 3 + questions * 3


def test_the_report_split_is_not_touched(thinklogit, engine):
    thinklogit("demo", "--n", 50)
    assert {world.parse(question).split for _, question, _ in engine.asked} == {"dev"}


def test_json_is_one_object_and_no_show(thinklogit, engine):
    code, out, err = thinklogit("demo", "--n", 2, "--json", "--problem", "a pen costs 8, a cup 13, Ann paid 55")
    found = json.loads(out)
    assert (code, err, out.count("\n")) == (0, "", 1)
    assert found["problem"]["id"] == "pen 8, cup 13, paid 55"
    assert [(each["mode"], each["correct"]) for each in found["attempts"]] == [
        ("target", False),
        ("guider", False),
        ("guided", True),
    ]
    assert found["table"][2]["correct"] == 2
    assert found["table"][2]["interval"] == {"low": pytest.approx(0.342, abs=1e-3), "high": 1.0}
    assert found["settings"]["alpha"] == 1.0


def test_a_problem_from_training_is_said_to_be(thinklogit, engine):
    trained = world.problems("train", 1, kind="search")[0]
    out = thinklogit("demo", "--n", 1, "--problem", trained.question).out
    assert out.startswith(f"{trained.question}  (the members were trained on it)\n")
    assert "1 held-out problem, temperature 0.6" in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--problem", "what is love"], "expected 'What does item 57 cost?' or"),
        (["--n", "0"], "n must be a whole number of problems, 1 or more; got 0\n"),
        (["--n", "100000"], "expected at most "),
        (["--alpha", "inf"], "alpha must be a number from -100 to 100, such as 1.0; got inf\n"),
        (["--temperature", "-1"], "temperature must be a finite number, 0 (greedy) or more; got -1.0\n"),
    ],
)
def test_a_mistake_is_one_line(thinklogit, engine, arguments, message):
    code, out, err = thinklogit("demo", *arguments)
    assert (code, out) == (1, "")
    assert err.startswith(f"thinklogit: {message}")
    assert err.count("\n") == 1
    assert not engine.asked
