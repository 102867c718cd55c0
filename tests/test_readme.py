"""The README's code runs and prints what the README says; its tree is the tree."""

import contextlib
import io
import re
from pathlib import Path

README = (Path(__file__).parents[1] / "README.md").read_text()
SOURCE = Path(__file__).parents[1] / "src" / "thinklogit"


def blocks(language):
    fenced = re.findall(r"^```(\w*)\n(.*?)^```$", README, re.DOTALL | re.MULTILINE)
    return [text for kind, text in fenced if kind == language]


def test_the_python_code_prints_what_the_readme_shows():
    first, *others = blocks("python")
    namespace, out = {}, io.StringIO()
    with contextlib.redirect_stdout(out):
        exec(first, namespace)
    shown = blocks("")[0]
    assert out.getvalue().split() == shown.split()  # the README breaks lines where it must
    for code in others:
        exec(code, namespace)


def test_code_comes_by_line_20():
    assert README[: README.index("```python")].count("\n") < 20


def test_the_tree_names_every_module():
    tree = next(block for block in blocks("") if block.startswith("src/thinklogit/"))
    named = set(re.findall(r"(\w+\.py)\b", tree))
    there = {path.name for path in SOURCE.rglob("*.py") if path.name != "__init__.py"}
    assert named == there


def test_the_commands_shown_exist():
    verbs = set(re.findall(r"^thinklogit (\w+)", README, re.MULTILINE))
    assert verbs <= {path.stem for path in (SOURCE / "cli").glob("*.py")}
    targets = set(re.findall(r"\bmake ([a-z-]+)", README))
    makefile = (SOURCE.parents[1] / "Makefile").read_text()
    assert all(re.search(rf"^{target}:", makefile, re.MULTILINE) for target in targets)
