"""What `thinklogit pairs` asks before pairs can be made: answers of each source, and grades, in files.

    samples/target.jsonl               its answers; of a shard in samples/target-2-of-8.jsonl
    samples/target.grades.jsonl        their grades

Weights are loaded only where an answer is missing.
"""

from collections.abc import Generator, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, NamedTuple

from thinklogit.cli.options import ServerOptions, TrioOptions, quiet
from thinklogit.cli.progress import completions_bar, grades_bar
from thinklogit.core.errors import OptionError, ServerError
from thinklogit.core.params import SamplingParams
from thinklogit.core.records import Completion, Grade
from thinklogit.decode import runs
from thinklogit.decode.prompts import PromptLine, as_chat
from thinklogit.evals.runs import Shard
from thinklogit.evals.sources import Asked
from thinklogit.train.choice import Choice
from thinklogit.train.pairs import Answer, Built, build

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

    from thinklogit.decode.engine import Engine

SAMPLES = "samples"
GRADES = ".grades.jsonl"
AS_SERVED = {"guider": "guided"}
DEFAULTS: Mapping[str, Any] = {"n": 4, "temperature": 0.6, "top_p": 0.95, "seed": 0, "batch_size": 32, "engine": "hf"}
"""As `eval` decodes, which is as the paper does: arXiv 2507.12759, section 3."""


class TrioRead(NamedTuple):
    """What can be known of a trio without its weights."""

    name: str
    config: Any
    generation_config: Any
    tokenizer: "PreTrainedTokenizerBase"
    guider_tokenizer: Any


@dataclass(frozen=True)
class Sampling:
    """The answers that pairs are made of: who is asked what, how, and where it is kept."""

    given: Mapping[str, Any]
    folder: Path
    choice: Choice
    asked: Sequence[Asked]
    grader: str
    shard: Shard

    @classmethod
    def of(
        cls, given: Mapping[str, Any], folder: Path, choice: Choice, asked: Sequence[Asked], grader: str
    ) -> "Sampling":
        """From a verb's options, with defaults for those not given. Raises OptionError."""
        given = {**given, **{name: value for name, value in DEFAULTS.items() if given.get(name) is None}}
        if given["batch_size"] < 1:
            raise OptionError(f"batch_size must be a whole number, 1 or more; got {given['batch_size']}")
        shard = Shard.parse(str(given["shard"] or "1/1"))
        part = list(asked)[shard.number - 1 :: shard.of]
        if not part:
            raise OptionError(
                f"no problem is left for shard {shard.number}/{shard.of} of {len(asked)}; use fewer shards"
            )
        return cls(given, folder, choice, part, grader, shard)

    @cached_property
    def trio(self) -> TrioRead:
        """The trio's own files. Raises TrioError."""
        from transformers import GenerationConfig

        from thinklogit.models.loading import read_config
        from thinklogit.models.members import read_members
        from thinklogit.models.places import find_trio
        from thinklogit.models.trios import load_tokenizer

        name = self.given["trio"] or "mini"
        with quiet(f"reading {name}"):
            root = find_trio(name)
            try:
                own = GenerationConfig.from_pretrained(root)
            except OSError:
                own = GenerationConfig()
            config, tokenizer = read_config(root), load_tokenizer(root)
            of_guider: Any = tokenizer
            if 0 in config.crossing:
                name_of_guider = "guiders.0.guider"
                guider = read_members({name_of_guider: config.member_refs[name_of_guider]}, root)[name_of_guider]
                of_guider = guider.tokenizer
            return TrioRead(TrioOptions(trio=name).name, config, own, tokenizer, of_guider)

    @cached_property
    def lines(self) -> list[PromptLine]:
        """The prompts. Raises OptionError where a chat template is asked for and there is none."""
        templated, chat = bool(self.trio.tokenizer.chat_template), self.given["chat"]
        if chat and not templated:
            raise OptionError("--chat given, but the target's tokenizer has no chat template; use --raw")
        plain = (PromptLine(each.id, each.prompt, f"problem {each.id}") for each in self.asked)
        return [as_chat(line) if templated and chat is not False else line for line in plain]

    def params(self, source: str) -> SamplingParams:
        """How one source answers. Raises OptionError."""
        from thinklogit.decode.defaults import filled_in

        if source == "guider" and len(self.trio.config.guiders) > 1:
            raise OptionError(f"{self.trio.name} has several guiders; compose a trio of the one that is to answer")
        names = ("n", "top_p", "max_new_tokens", "seed") + (("alpha", "warmup_tokens") if source == "guided" else ())
        heat = self.given.get(f"{source}_temperature")
        asked = {name: self.given[name] for name in names}
        asked |= {"mode": source, "temperature": self.given["temperature"] if heat is None else heat}
        if asked["temperature"] == 0 and asked["n"] > 1:
            raise OptionError(f"--n {asked['n']} greedy answers are all the same; use a temperature above 0, or --n 1")
        return filled_in(self.trio.config, self.trio.generation_config, asked)

    def settings(self, source: str) -> dict[str, Any]:
        """What an answer is labelled with: all that it depends on besides its prompt."""
        settings = {"trio": self.trio.name, "dtype": self.given["dtype"], **self.params(source).settings()}
        where = {"engine": self.given["engine"], "server": self._server(source)}
        return settings | {name: value for name, value in where.items() if value not in (None, "hf")}

    def about(self) -> dict[str, Any]:
        """How each source answered."""
        return {source: {"n": self.given["n"], **self.settings(source)} for source in self.choice.sources}

    def _server(self, source: str) -> str | None:
        return self.given["guider_url" if source == "guider" else "base_url"]

    def file(self, source: str) -> Path:
        """Where this shard's answers of a source go."""
        part = "" if self.shard.of == 1 else f"-{self.shard.number}-of-{self.shard.of}"
        return self.folder / SAMPLES / f"{source}{part}.jsonl"

    def files(self, source: str) -> list[Path]:
        """Every file with answers of a source that this run reads: its own, and without --shard those of all shards."""
        others = sorted((self.folder / SAMPLES).glob(f"{source}-*-of-*.jsonl")) if self.shard.of == 1 else []
        return [self.file(source), *(file for file in others if not file.name.endswith(GRADES))]

    def kept(self, source: str) -> list[Completion]:
        """The answers that are there to problems that are asked, each once. Raises RunChangedError, RecordError."""
        ids, found = {each.id for each in self.asked}, {}
        for file in self.files(source):
            kept = [one for one in runs.kept_completions(file) if one.problem_id in ids]
            runs.check_unchanged(file, kept, self.lines, self.settings(source))
            found |= {(one.problem_id, one.index): one for one in kept if one.index < self.given["n"]}
        return list(found.values())

    def plan(self) -> str:
        """What would be asked, in lines."""
        cut = f", cut {self.choice.cut_tokens} tokens beyond where they part" if any(self.choice.cut_tokens) else ""
        most = f"at most {self.choice.pairs} pairs" if self.choice.pairs else "pairs"
        graded = f"{len(self.asked)} problems, graded by {self.grader}; {most} of {', '.join(self.choice.kinds)}{cut}"
        return "\n".join([graded, *map(self._plan_of, self.choice.sources)])

    def _plan_of(self, source: str) -> str:
        params, missing = self.params(source), len(self._missing(source))
        how = f"at temperature {params.temperature:g}, at most {params.max_new_tokens} tokens each"
        return f"{source}: {missing} answers to ask for, {len(self.asked) * params.n - missing} there, {how}"

    def _missing(self, source: str) -> list[runs.Request]:
        params = self.params(source)
        return runs.requests_for(self.lines, params.n, params.seed, self.kept(source))

    def answer(self) -> None:
        """Ask for every answer that is missing. What ends is kept, whatever comes."""
        missing = {source: self._missing(source) for source in self.choice.sources}
        (self.folder / SAMPLES).mkdir(parents=True, exist_ok=True)
        for source, requests in missing.items():
            if requests:
                self._answer(source, requests)

    def _answer(self, source: str, requests: Sequence[runs.Request]) -> None:
        file, params = self.file(source), self.params(source)
        before = len(self.asked) * params.n - len(requests)
        with self._asking(source) as (engine, mode):
            try:
                with completions_bar(before, before + len(requests)) as advance:

                    def keep(completion: Completion) -> None:
                        runs.append_to(file, completion)
                        advance(completion.new_tokens)

                    runs.decode(engine, requests, replace(params, mode=mode), self.settings(source), keep)
            except (KeyboardInterrupt, ServerError) as stopped:
                told = f"{len(runs.kept_completions(file))} answers of the {source} are kept in {file}"
                why = f"{stopped};" if isinstance(stopped, ServerError) else "interrupted:"
                raise type(stopped)(f"{why} {told}; repeat the command to continue") from None

    @contextmanager
    def _asking(self, source: str) -> Generator[tuple["Engine", str]]:
        """Whom to ask for the answers of a source, and in which mode. A server of the guider has nothing but it."""
        if server := self._server(source):
            yield ServerOptions(server).connect(self.given["batch_size"]).engine, AS_SERVED.get(source, source)
        elif self.given["engine"] == "hf":
            yield self._loaded, source
        else:
            with TemporaryDirectory() as folder:
                alone = source == "guider"
                engine: Any = self._load(self._guider_alone(folder) if alone else self.given["trio"])
                try:
                    yield engine, "target" if alone else source
                finally:
                    engine.close()  # the next one needs its memory

    @cached_property
    def _loaded(self) -> "Engine":
        return self._load(self.given["trio"], own_process=True)

    def _load(self, trio: str | None, **how: Any) -> "Engine":
        options = TrioOptions(trio=trio, dtype=self.given["dtype"], device_map=self.given["device_map"])
        of_engine = {name: self.given[name] for name in ("engine", "engine_args")}
        return options.load(self.given["batch_size"], **of_engine, **how).engine

    def _guider_alone(self, folder: str) -> str:
        """A trio whose target is the guider: inside vLLM a trio answers as guided or target, and no member else."""
        from thinklogit.models.members import read_members
        from thinklogit.models.places import find_trio
        from thinklogit.models.trios import compose

        members = read_members(self.trio.config.member_refs, find_trio(self.given["trio"] or "mini"))
        guider, base = (
            replace(members[f"guiders.0.{role}"].ref, model=members[f"guiders.0.{role}"].place, config=None)
            for role in ("guider", "base")
        )
        return str(compose(guider, guider, base, Path(folder) / "guider").folder)

    def grade(self, workers: int) -> dict[tuple[str, str, int], Grade]:
        """The grades of all answers, by source, problem and index; those that are missing are made."""
        from thinklogit.evals.grading.completions import grade_completions, kept_grades
        from thinklogit.evals.grading.pool import GraderPool

        references = {each.id: each.reference for each in self.asked}
        grades = {}
        with GraderPool(workers) as pool:
            for source, file in self._answered():
                answers = [one for one in runs.kept_completions(file) if one.problem_id in references]
                out = file.with_name(file.name.removesuffix(".jsonl") + GRADES)
                there = len(kept_grades(out, answers))
                try:
                    with grades_bar(there, len(answers)) as advance:
                        made = grade_completions(pool, self.grader, answers, references, out, advance)
                except KeyboardInterrupt:
                    told = f"{len(kept_grades(out, answers))} of {len(answers)} grades are kept in {out}"
                    raise KeyboardInterrupt(f"interrupted: {told}; repeat the command to continue") from None
                grades |= {(source, grade.problem_id, grade.index): grade for grade in made}
        return grades

    def _answered(self) -> Iterator[tuple[str, Path]]:
        return ((source, file) for source in self.choice.sources for file in self.files(source) if file.is_file())

    def build(self, grades: Mapping[tuple[str, str, int], Grade]) -> Built:
        """The pairs. Raises RecordError where none can be made."""
        place = {each.id: number for number, each in enumerate(self.asked)}
        prompts = {line.id: self._read(line) for line in self.lines}
        answers = [
            Answer(
                problem_id=one.problem_id,
                prompt=prompts[one.problem_id],
                source=source,
                index=one.index,
                text=one.text,
                tokens=one.new_tokens,
                finished=one.finish_reason == "stop",
                correct=grades[source, one.problem_id, one.index].correct,
            )
            for source in self.choice.sources
            for one in sorted(self.kept(source), key=lambda one: (place[one.problem_id], one.index))
        ]
        return build(answers, self.choice, self._ends)

    def _read(self, line: PromptLine) -> str:
        """A prompt as the guider reads it, special tokens included."""
        tokenizer = self.trio.guider_tokenizer
        if not isinstance(line.prompt, str):
            return tokenizer.apply_chat_template(line.prompt, add_generation_prompt=True, tokenize=False)
        plain = tokenizer(line.prompt, add_special_tokens=False)["input_ids"]
        opened = tokenizer(line.prompt)["input_ids"]
        return tokenizer.decode(opened[: len(opened) - len(plain)]) + line.prompt

    def _ends(self, text: str) -> list[int]:
        """Where each of the guider's tokens of a text ends, in characters."""
        offsets = self.trio.guider_tokenizer(text, add_special_tokens=False, return_offsets_mapping=True)[
            "offset_mapping"
        ]
        return [end for _, end in offsets]
