"""Tests of a program as benchmarks write them: LiveCodeBench's cases, the parallel lists of APPS, and plain pairs."""

import base64
import binascii
import io
import json
import pickle
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from thinklogit.core.errors import RecordError

KNOWN = (
    '[[stdin, stdout], ...], [{"input", "output", "testtype"}, ...] as LiveCodeBench has them, '
    'or {"inputs": [...], "outputs": [...], "fn_name"}'
)
MAX_PRIVATE_BYTES = 1 << 30


@dataclass(frozen=True)
class CodeTests:
    """Inputs and what is expected for each.

    Without `function`, texts on standard input and output. With it, its arguments as one JSON value a line, and what
    it returns as JSON.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    function: str | None = None

    def __post_init__(self) -> None:
        if not self.inputs or len(self.inputs) != len(self.outputs):
            raise RecordError(
                f"tests: expected as many outputs as inputs, at least one; "
                f"got {len(self.inputs)} inputs and {len(self.outputs)} outputs"
            )
        if self.function is not None:
            for value in (*(line for text in self.inputs for line in text.split("\n")), *self.outputs):
                _check_json(value)

    def as_record(self) -> dict[str, Any]:
        """A form for record files that `parse_tests` reads back."""
        return {"inputs": list(self.inputs), "outputs": list(self.outputs), "fn_name": self.function}


def parse_tests(tests: object) -> CodeTests:
    """Tests in any of the known forms. Raises RecordError, which tells them."""
    if isinstance(tests, CodeTests):
        return tests
    if isinstance(tests, Mapping) and {"inputs", "outputs"} <= tests.keys():
        return _from_lists(tests["inputs"], tests["outputs"], tests.get("fn_name"))
    if isinstance(tests, list) and tests and all(map(_is_pair, tests)):
        return _from_lists(*map(list, zip(*tests, strict=True)), None)
    if isinstance(tests, list) and tests and all(isinstance(case, Mapping) for case in tests):
        return _from_cases(tests)
    raise RecordError(f"tests: expected {KNOWN}; got {_shortened(tests)}")


def livecodebench_tests(row: Mapping[str, str]) -> CodeTests:
    """All tests of one row of livecodebench/code_generation_lite: the public ones, then the private ones.

    https://github.com/LiveCodeBench/LiveCodeBench/blob/28fef95ea8c9f7a547c8329f2cd3d32b92c1fa24/lcb_runner/benchmarks/code_generation.py#L56
    """
    metadata = json.loads(row.get("metadata") or "{}")
    cases = json.loads(row["public_test_cases"]) + decode_private_tests(row["private_test_cases"])
    return _from_cases(cases, metadata.get("func_name"))


def decode_private_tests(text: str) -> list[dict[str, str]]:
    """LiveCodeBench's private cases: JSON, or JSON as a pickled string, deflated, in base64.

    Only a string is taken out of the pickle: one that names any class or function is refused.
    """
    try:
        return json.loads(text)
    except ValueError:
        pass
    try:
        inflate = zlib.decompressobj()
        pickled = inflate.decompress(base64.b64decode(text, validate=True), MAX_PRIVATE_BYTES)
        if not inflate.eof:
            raise RecordError(
                f"private tests: expected at most {MAX_PRIVATE_BYTES} bytes whole; these are cut or larger"
            )
        return json.loads(_StringUnpickler(io.BytesIO(pickled)).load())
    except (binascii.Error, zlib.error, pickle.UnpicklingError, EOFError, TypeError, ValueError) as error:
        raise RecordError(
            f"private tests: expected JSON, or its pickled string deflated in base64; {error}; download them again"
        ) from None


class _StringUnpickler(pickle.Unpickler):
    """Makes nothing but the built-in values that a pickle can spell out."""

    def find_class(self, module: str, name: str) -> Any:
        raise pickle.UnpicklingError(f"found {module}.{name} in it")


def _from_cases(cases: Sequence[Mapping[str, Any]], function: str | None = None) -> CodeTests:
    kinds = {case.get("testtype", "stdin") for case in cases}
    named = {function, *(_function_of(case) for case in cases)} - {None}
    if not all({"input", "output"} <= case.keys() for case in cases) or len(kinds) != 1 or len(named) > 1:
        raise RecordError(f"tests: expected {KNOWN}, of one testtype and function; got {_shortened(list(cases))}")
    kind = kinds.pop()
    if kind not in ("stdin", "functional") or (kind == "functional" and not named):
        raise RecordError(
            f'tests: expected testtype "stdin", or "functional" and a func_name in their metadata; got {kind!r}'
        )
    name = named.pop() if kind == "functional" else None
    return _from_lists([case["input"] for case in cases], [case["output"] for case in cases], name)


def _function_of(case: Mapping[str, Any]) -> str | None:
    metadata = case.get("metadata") or {}
    return case.get("func_name") or case.get("fn_name") or metadata.get("func_name")


def _from_lists(inputs: object, outputs: object, function: str | None) -> CodeTests:
    if not isinstance(inputs, list) or not isinstance(outputs, list):
        raise RecordError(f"tests: expected {KNOWN}; got inputs {_shortened(inputs)}, outputs {_shortened(outputs)}")
    if function is None:
        return CodeTests(tuple(map(_text, inputs)), tuple(map(_text, outputs)))
    return CodeTests(tuple(map(_arguments, inputs)), tuple(map(_value, outputs)), function)


def _is_pair(case: object) -> bool:
    return isinstance(case, list | tuple) and len(case) == 2


def _text(lines: object) -> str:
    """APPS has some texts as lists of lines; some that were read off web pages end their lines as DOS does."""
    if isinstance(lines, list) and all(isinstance(line, str) for line in lines):
        return "\n".join(lines)
    if not isinstance(lines, str):
        raise RecordError(f"tests: expected text for standard input and output; got {_shortened(lines)}")
    return lines.replace("\r\n", "\n")


def _arguments(given: object) -> str:
    """APPS has arguments as a list of values, LiveCodeBench as text."""
    return "\n".join(map(json.dumps, given)) if isinstance(given, list) else _text(given)


def _value(given: object) -> str:
    return given if isinstance(given, str) else json.dumps(given)


def _check_json(text: str) -> None:
    try:
        json.loads(text)
    except ValueError:
        raise RecordError(f"tests: expected JSON for a function, one value a line; got {_shortened(text)}") from None


def _shortened(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else text[:57] + "..."
