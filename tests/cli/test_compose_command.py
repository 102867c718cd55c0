"""`thinklogit compose` as typed: what is written, what is printed, what is refused."""

import json

import pytest
from pico_members import END, PAD, USER, pico_tokenizer, save_adapter, save_members

from thinklogit.models.trios import load

pytest_plugins = ["commands"]


@pytest.fixture(scope="module")
def members(tmp_path_factory):
    return save_members(tmp_path_factory.mktemp("members"))


def the_three(members):
    return "--target", members / "target", "--guider", members / "guider", "--base", members / "base"


def test_a_trio_is_written_and_the_next_commands_are_named(thinklogit, members, tmp_path):
    out = tmp_path / "trio"
    code, printed, errors = thinklogit(
        "compose", *the_three(members), "-o", out, "--alpha", "1.5", "--warmup-tokens", "7"
    )
    assert (code, errors) == (0, "")
    assert f"wrote the trio {out}; see `thinklogit doctor --trio {out}`" in printed
    config = load(out).model.config
    assert (config.guider_refs[0].alpha, config.warmup_tokens, config.schedule) == (1.5, 7, "warmup")


def test_several_guiders_each_with_its_own(thinklogit, members, tmp_path):
    out, again = tmp_path / "trio", ("--guider", members / "base", "--base", members / "guider")
    alphas = ("--alpha", "1", "--alpha", "0.5", "--guider-dtype", "bfloat16", "--guider-dtype", "float32")
    assert thinklogit("compose", *the_three(members), *again, "-o", out, *alphas)[0] == 0
    written = json.loads((out / "config.json").read_text())["guiders"]
    assert [pair["alpha"] for pair in written] == [1.0, 0.5]
    assert [pair["guider"]["dtype"] for pair in written] == ["bfloat16", "float32"]
    assert [pair["base"]["model"] for pair in written] == [str(members / "base"), str(members / "guider")]


def test_what_is_said_of_members_is_written(thinklogit, members, tmp_path):
    adapter = save_adapter(tmp_path / "adapter", members / "base")
    four_bits = tmp_path / "four_bits.json"
    four_bits.write_text('{"quant_method": "bitsandbytes", "load_in_4bit": true}')
    said = (
        "--target-quantization", four_bits,
        "--base-quantization", four_bits.read_text(),
        "--base-adapter", adapter,
        "--target-dtype", "bfloat16",
    )  # fmt: skip
    assert thinklogit("compose", *the_three(members), "-o", tmp_path / "trio", *said)[0] == 0
    written = json.loads((tmp_path / "trio" / "config.json").read_text())
    base = written["guiders"][0]["base"]
    assert written["target"]["quantization_config"] == base["quantization_config"] == json.loads(four_bits.read_text())
    assert (base["adapter"], written["target"]["dtype"]) == (str(adapter), "bfloat16")


def test_warnings_are_printed_and_the_trio_is_written(thinklogit, tmp_path):
    save_members(tmp_path, guider={"tokenizer": pico_tokenizer((END, PAD, USER))})
    code, _, errors = thinklogit("compose", *the_three(tmp_path), "-o", tmp_path)
    assert code == 0
    assert "\nwarning: tokenizers: guider: 260 of the target's 261 ids (99.62%) mean the same; " in f"\n{errors}"
    assert (tmp_path / "config.json").is_file()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--alpha", "nan"), "alpha must be a number from -100 to 100, such as 1.0; got nan"),
        (("--schedule", "constnt"), "unknown schedule 'constnt'; did you mean 'constant'?"),
        (("--warmup-tokens", "-1"), "warmup_tokens must be a whole number of tokens, 0 or more; got -1"),
        (("--alpha", "1", "--alpha", "2"), "alpha must be one number or one for each of 1 guiders; got 2"),
        (
            ("--base-dtype", "bfloat16", "--base-dtype", "float32"),
            "--base-dtype goes once for all, or once for each of 1; got 2",
        ),
        (
            ("--base-quantization", "{}"),
            '--base-quantization: expected an object with "quant_method", such as {"quant_method": "bitsandbytes", '
            "\"load_in_4bit\": true}; got '{}'",
        ),
        (("--target-quantization", "4bit"), '--target-quantization: expected JSON, such as {"quant_method": '),
        (("--target-quantization", "{4bit"), "--target-quantization: expected JSON, or a file of it; got '{4bit'"),
        (("--target-adapter", "./no/such"), "the adapter of the target should be a model folder at ./no/such, where"),
    ],
)
def test_one_line_for_what_cannot_be(thinklogit, members, tmp_path, words, message):
    code, printed, errors = thinklogit("compose", *the_three(members), "-o", tmp_path / "trio", *words)
    assert (code, printed) == (1, "")
    assert errors.startswith("thinklogit: ")
    assert message in errors
    assert errors.count("\n") == 1
    assert not (tmp_path / "trio").exists()


def test_each_option_has_one_clear_line(thinklogit):
    code, printed, _ = thinklogit("compose", "--help")
    assert code == 0
    text = " ".join(printed.replace("│", " ").split())
    assert "--output -o PATH The folder to write. [required]" in text
    assert "--guider STR... The small reasoner; repeat --guider and --base for several. [required]" in text
    assert "--empty" not in text
