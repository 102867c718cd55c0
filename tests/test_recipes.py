"""The recipes: every option is one of its verb, and a dry run says what they come to without a weight."""

import json
import re
from contextlib import redirect_stdout, suppress
from io import StringIO
from pathlib import Path

import pytest
import yaml
from conftest import number_tokenizer
from transformers import GenerationConfig, Qwen2Config

RECIPES = Path(__file__).parents[1] / "recipes"
SHAPES = {
    "target": {"hidden_size": 5120, "intermediate_size": 27_648, "num_hidden_layers": 64, "num_attention_heads": 40},
    "guider": {"hidden_size": 1536, "intermediate_size": 8960, "num_hidden_layers": 28, "num_attention_heads": 12},
}
HELD_OUT = [{"id": "h", "problem": "How many primes are there below one hundred?", "answer": "25", "level": 5}]
PROBLEMS = [
    {
        "id": n,
        "problem": f"Find the sum of the first {n} odd squares above ten.",
        "answer": str(n),
        "level": f"Level {n}",
    }
    for n in range(1, 6)
]


def told(*arguments):
    """What a command prints."""
    from thinklogit.cli.app import main

    out = StringIO()
    with redirect_stdout(out), suppress(SystemExit):
        main([str(each) for each in arguments])
    return out.getvalue()


@pytest.fixture(scope="module")
def shapes(tmp_path_factory):
    """A trio of the paper's shapes, without weights."""
    from thinklogit.models.trios import compose

    folder = tmp_path_factory.mktemp("shapes")
    tokenizer = number_tokenizer(61)
    tokenizer.eos_token, tokenizer.pad_token = "60", "0"
    for role, shape in (SHAPES | {"base": SHAPES["guider"]}).items():
        Qwen2Config(vocab_size=151_936, num_key_value_heads=8 if role == "target" else 2, **shape).save_pretrained(
            folder / role
        )
        GenerationConfig(eos_token_id=60, pad_token_id=0).save_pretrained(folder / role)
        tokenizer.save_pretrained(folder / role)
    compose(*(folder / role for role in ("target", "guider", "base")), folder / "trio")
    return folder / "trio"


def files(folder):
    for name, rows in (("problems", PROBLEMS + HELD_OUT), ("held_out", HELD_OUT)):
        (folder / f"{name}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return ["--problems", folder / "problems.jsonl", "--held-out", folder / "held_out.jsonl"]


def test_the_papers_setting(shapes, tmp_path):
    recipe = RECIPES / "qwen2.5-32b.yaml"
    out = told("train", "--config", recipe, "--trio", shapes, "-o", tmp_path / "a", "--dry-run")
    assert out == "LoRA of rank 64 on all linear layers: 73,859,072 parameters\n"
    pairs = ["pairs", "--config", recipe, "--trio", shapes, "-o", tmp_path / "p", "--dry-run", *files(tmp_path)]
    graded, target, guider = told(*pairs).splitlines()
    assert graded.startswith(
        "2 problems, graded by math; at most 10000 pairs of target_over_guider, guider_over_target"
    )
    assert target == "target: 8 answers to ask for, 0 there, at temperature 0.6, at most 8192 tokens each"
    assert guider.startswith("guider: 8 answers")


def test_the_mini_recipe(tmp_path):
    recipe = RECIPES / "mini.yaml"
    assert "parameters" in told("train", "--config", recipe, "-o", tmp_path / "a", "--dry-run")
    assert "2706 problems, graded by mini; at most 600 pairs" in told(
        "pairs", "--config", recipe, "-o", tmp_path / "p", "--dry-run"
    )


@pytest.mark.parametrize("recipe", sorted(RECIPES.glob("*.yaml")), ids=lambda recipe: recipe.stem)
def test_a_recipe_is_numbers_where_options_are(recipe):
    """YAML reads 1e-5 as a text: a learning rate written so would reach nobody as a number."""
    read = yaml.safe_load(recipe.read_text())
    assert set(read) == {"trio", "pairs", "train"}
    assert not [name for name, value in read["train"].items() if isinstance(value, str) and re.match(r"[\d.]", value)]
