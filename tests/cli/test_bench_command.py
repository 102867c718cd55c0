"""`thinklogit bench`: one run, one table."""

import json

import pytest

from thinklogit.bench import trios
from thinklogit.mini.inflation import Size

pytest_plugins = ["commands"]


@pytest.fixture
def small(monkeypatch):
    """Members small enough to be quick."""
    prepared = trios.inflated_mini(Size(256, 4, 512), Size(128, 3, 256))
    monkeypatch.setattr(trios, "trios", lambda quick: [lambda: prepared])


@pytest.mark.slow
def test_cells_as_json_or_a_table(small, thinklogit, tmp_path):
    ran = thinklogit("bench", "--quick", "--rounds", 1, "--new-tokens", 16, "--batch", 1, "--batch", 4, "--json", "-")
    told = json.loads(ran.out)
    assert (ran.code, told["rounds"], told["new_tokens"]) == (0, 1, 16)
    assert {"device", "cores", "torch", "load_before"} <= told["hardware"].keys()
    assert [cell["batch"] for cell in told["cells"]] == [1] * 6 + [4] * 4
    wanted = {"name", "batch", "tokens_per_s", "ratio_to_target", "interval", "bound", "mean_accepted_length"}
    assert all(wanted <= cell.keys() for cell in told["cells"])
    file = tmp_path / "bench.json"
    ran = thinklogit("bench", "--rounds", 1, "--new-tokens", 4, "--batch", 4, "--json", file)
    assert "mini, inflated to 2M, " in ran.out
    assert "plain guided" in ran.out
    assert "Of fewer than 3 rounds an interval says nothing." in ran.out
    assert len(json.loads(file.read_text())["cells"]) == 4


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["--rounds", "0"], "--rounds must be a whole number, 1 or more; got 0"),
        (["--batch", "-1"], "--batch must be a whole number, 1 or more; got -1"),
        (["--json", "nowhere/b.json"], "there is no folder nowhere"),
    ],
)
def test_bad_input_is_one_line(arguments, named, thinklogit):
    ran = thinklogit("bench", *arguments)
    assert ran.code != 0
    assert named in ran.err
    assert ran.err.count("\n") == 1
