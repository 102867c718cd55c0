"""Whether reading a growing text step by step gives, with real vocabularies, what each family makes of all of it.

    python bench/real_vocabularies.py FOLDER                    a table, in a few minutes
    python bench/real_vocabularies.py FOLDER --json FILE        its figures, too

FOLDER holds the vocabularies as their makers publish them; families whose files are not there are left out:

    qwen/qwen.tiktoken  openai/cl100k_base.tiktoken  openai/o200k_base.tiktoken  gpt2/encoder.json, vocab.bpe
    gpt-neox/tokenizer.json  mistral/tokenizer.model.v1, mistral_instruct_tokenizer_240323.model.v3
    goldens/ggml-vocab-FAMILY.gguf.inp, .out    hard texts with their ids, as in llama.cpp

Texts are random joins of the samples below; each is read in steps of a few bytes, characters cut anywhere, now and then
after another ending was tried. "golden": hard texts whose ids are right; for Mistral, those of a slow merge by score.
"""

import argparse
import json
import random
import time
import unicodedata
from collections.abc import Iterator
from datetime import date
from itertools import pairwise
from pathlib import Path
from statistics import median
from typing import NamedTuple

import tokenizers
import transformers
from real_families import FAMILIES, golden_texts, merged_by_score
from rich.console import Console
from rich.progress import track
from rich.table import Table
from transformers import PreTrainedTokenizerFast

from thinklogit.models.cross.reading import Reader, Reading
from thinklogit.models.cross.token_bytes import token_bytes

SAMPLES = {
    "latin": "The tram was late, so we'd walked. Über den Fluss führt keine Brücke; naïve plans don't survive Łódź. ",
    "cyrillic": "Поезд опоздал на сорок минут, и мы пошли пешком. Её вопрос был прост: сколько будет семью восемь? ",
    "arabic": "تأخر القطار أربعين دقيقة فمشينا إلى البيت. كم يساوي سبعة في ثمانية؟ الجواب ٥٦، كما قالت. ",
    "devanagari": "रेलगाड़ी चालीस मिनट देर से आई, इसलिए हम पैदल चले। सात गुणा आठ कितना होता है? उत्तर ५६ है। ",
    "han, hangul": "火车晚点了四十分钟、所以我们走路回家。七乘八等于几。기차가 사십 분 늦어서 우리는 걸었다. 答えは",
    "digits": "1234567 + 89 = 1,234,656; 3.14159265358979 on 2031-07-04, 00000000, 1e-12, 7x8=56, ½ of 10⁶ ",
    "code": "def area(w, h):\n\tif w  >  0:\n\n        return w * h  # half\r\n    }\n\n\n    raise Error(f'{w!r}')\n",
    "emoji": "👩\u200d👩\u200d👧 🙂🙂 🇩🇪🇫🇷 ✈\ufe0f ok 👍🏽! ",
    "marks": "cafe\u0301 e\u0302\u0323 A\u030a \u1112\u1161\u11ab =\u0338 x\u0304\u0304 क\u093c ",
    "signs": "   \n \n\n\t\t  ... ---- ======== !!!??? \u00a0\u3000 \\frac{a}{b} <|endoftext|> <|im_end|>\n<s> [INST] ",
}
STEPS_BYTES = (1, 1, 2, 3, 5, 8, 13, 60)
LONGEST_TEXT_BYTES = 3000
TIMED_TOKENS = 8192


class Figures(NamedTuple):
    """Of one family."""

    family: str
    ids: int
    golden: str
    prefixes: dict[str, int]
    differing: int
    spelled_otherwise: int
    step_us: float
    whole_us: float


def main() -> None:
    arguments = _arguments()
    rng = random.Random(arguments.seed)
    measured = []
    for family, build in FAMILIES.items():
        tokenizer = build(arguments.folder)
        if tokenizer is None:
            Console(stderr=True).print(f"{family}: no vocabulary there, left out")
        else:
            measured.append(measure(family, tokenizer, arguments.folder, arguments.prefixes, rng))
    Console().print(_table(measured))
    if arguments.json:
        arguments.json.write_text(json.dumps(_record(measured, arguments), indent=1, ensure_ascii=False) + "\n")


def measure(family: str, tokenizer: PreTrainedTokenizerFast, folder: Path, count: int, rng: random.Random) -> Figures:
    reader, spoken = Reader(tokenizer), token_bytes(tokenizer)
    normalised = tokenizer.backend_tokenizer.normalizer is not None
    prefixes, differing, spelled_otherwise = dict.fromkeys(SAMPLES, 0), 0, 0
    for name in track(sorted(SAMPLES) * 3, description=family):
        wanted = prefixes[name] + -(-count // len(SAMPLES) // 3)
        while prefixes[name] < wanted:
            for reading in steps(reader, random_text(name, rng), rng):
                prefixes[name] += 1
                differing += reading.ids != whole(tokenizer, reading.text)
                spelled_otherwise += not spelled(reading, spoken, normalised)
    step_us, whole_us = timed(reader, tokenizer, rng)
    return Figures(
        family=family,
        ids=sum(each is not None for each in spoken),
        golden=golden(family, tokenizer, folder),
        prefixes=prefixes,
        differing=differing,
        spelled_otherwise=spelled_otherwise,
        step_us=step_us,
        whole_us=whole_us,
    )


def random_text(name: str, rng: random.Random) -> bytes:
    """Pieces of one sample, joined at random with some of the others."""
    text = ""
    while len(text.encode()) < LONGEST_TEXT_BYTES:
        sample = SAMPLES[name] if rng.random() < 0.8 else rng.choice(list(SAMPLES.values()))
        start = rng.randrange(len(sample))
        text += sample[start : rng.randint(start + 1, len(sample))]
    return text.encode()[: rng.randrange(1, LONGEST_TEXT_BYTES)]


def steps(reader: Reader, text: bytes, rng: random.Random) -> Iterator[Reading]:
    """Every reading on the way to a text, each from the last one; now and then a wrong ending is tried before."""
    at, reading = 0, None
    while at < len(text):
        at += rng.choice(STEPS_BYTES)
        if rng.random() < 0.1:
            tried = text[:at] + rng.choice(list(SAMPLES.values()))[: rng.randrange(40)].encode()
            reading = reader.read(tried, reading)
        reading = reader.read(text[:at], reading)
        yield reading


def whole(tokenizer: PreTrainedTokenizerFast, text: bytes) -> list[int]:
    """What the family makes of the complete characters of a text. Samples are valid UTF-8: only the end is not."""
    return tokenizer(text.decode(errors="ignore"), add_special_tokens=False)["input_ids"]


def spelled(reading: Reading, spoken: list[bytes | None], normalised: bool) -> bool:
    """Whether each token's bytes are those of the text that it is said to cover.

    Special tokens have none; a space may be put before a text; where text is normalised, only normal text is compared.
    """
    if normalised and not unicodedata.is_normalized("NFC", reading.text.decode(errors="ignore")):
        return True
    covered = [reading.text[start:end] for start, end in pairwise([0, *reading.ends])]
    return all(spoken[id] in (None, text, b" " + text) for id, text in zip(reading.ids, covered, strict=True))


def timed(reader: Reader, tokenizer: PreTrainedTokenizerFast, rng: random.Random) -> tuple[float, float]:
    """Microseconds a step and for all of a text of some thousand tokens."""
    text = b""
    while len(reader.read(text).ids) < TIMED_TOKENS:
        text += b" ".join(random_text(name, rng) for name in SAMPLES)
    taken_us: dict[str, list[float]] = {"step": [], "whole": []}
    reading = reader.read(text)
    for more in range(1, 200):
        longer = text + SAMPLES["latin"].encode()[: more % 100 + 1]
        start_s = time.perf_counter()
        reading = reader.read(longer, reading)
        taken_us["step"].append((time.perf_counter() - start_s) * 1e6)
    for _ in range(10):
        start_s = time.perf_counter()
        whole(tokenizer, text)
        taken_us["whole"].append((time.perf_counter() - start_s) * 1e6)
    return median(taken_us["step"]), median(taken_us["whole"])


def golden(family: str, tokenizer: PreTrainedTokenizerFast, folder: Path) -> str:
    texts = golden_texts(family, folder)
    right = [tokenizer(text, add_special_tokens=False)["input_ids"] == ids for text, ids in texts if ids is not None]
    if not right:
        slow = [(text, merged_by_score(family, folder, text)) for text, _ in texts]
        right = [tokenizer(text, add_special_tokens=False)["input_ids"] == ids for text, ids in slow if ids is not None]
    return f"{sum(right)}/{len(right)}" if right else "none there"


def _table(measured: list[Figures]) -> Table:
    table = Table(box=None)
    for column in ("family", "ids", "golden", "prefixes", "differing", "spelled otherwise", "step us", "whole us"):
        table.add_column(column, justify="left" if column == "family" else "right")
    for each in measured:
        table.add_row(
            each.family,
            f"{each.ids:,}",
            each.golden,
            f"{sum(each.prefixes.values()):,}",
            str(each.differing),
            str(each.spelled_otherwise),
            f"{each.step_us:.0f}",
            f"{each.whole_us:.0f}",
        )
    return table


def _record(measured: list[Figures], arguments: argparse.Namespace) -> dict:
    return {
        "date": date.today().isoformat(),
        "seed": arguments.seed,
        "tokenizers": tokenizers.__version__,
        "transformers": transformers.__version__,
        "timed": f"one CPU thread, batch 1, a text of at least {TIMED_TOKENS} tokens",
        "families": [each._asdict() for each in measured],
    }


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="the vocabularies")
    parser.add_argument("--prefixes", type=int, default=12_000, help="prefixes of texts a family (default: 12000)")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="a file to write the figures to")
    return parser.parse_args()


if __name__ == "__main__":
    main()
