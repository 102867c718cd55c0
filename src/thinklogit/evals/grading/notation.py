r"""How answers are written: integers, words, bases and units read from LaTeX, and what math-verify would misread."""

import re

SYMBOLS = str.maketrans(
    {
        "\u2212": "-", "\u2013": "-", "\u00d7": r"\times ", "·": r"\cdot ", "÷": "/", "π": r"\pi ", "√": r"\sqrt ",
        "°": r"^\circ ", "≤": r"\le ", "≥": r"\ge ", "≠": r"\ne ", "∞": r"\infty ", "\u222a": r"\cup ", "∩": r"\cap ",
        "∅": r"\emptyset ", "²": "^2", "³": "^3", "½": r"\frac12 ", "\u00a0": " ", "\u202f": " ", "\u2009": " ",
    }
)  # fmt: skip

TEXT = re.compile(r"\\(?:text|textbf|textit|textrm|textnormal|mathrm|mathbf|mbox)\s*\{([^{}]*)\}")
GROUPED = re.compile(r"(?<=\d)(?:\\[,;:! ]|\{,\}|\{ \}|~)+\s*(?=\d{3}(?!\d))")
SPACED = re.compile(r"[-+]?\d{1,3}(?: \d{3})+(?:\.\d+)?")
SIDE_BY_SIDE = re.compile(r"-?\d+(?: +-?\d+)+")
MARGIN = re.compile(r"^(?:\s|~|\\[,;:! ])+|(?:\s|~|\\[,;:! ]|[.,;])+$")
COLOR = re.compile(r"\\(?:text)?color\s*\{\w+\}")
MIXED_PERCENT = re.compile(r"(-?\d+\s*\\[dt]?frac.*\S)\s*\\%", re.DOTALL)
REPEATING = re.compile(r"(?<![\d.])(\d*)\.(\d*)\\overline\s*\{(\d+)\}")
SCIENTIFIC = re.compile(r"(?<![\w\\.])(1|\d+\.\d+|\d+(?=[eE]\+?\d|[eE]-\d\d))[eE]\+?(-?\d+)(?![\w.])")
UNIT_WORDS = re.compile(r"(\\?\$?\s*-?[\d.,]*\d)\s+((?!and\b|or\b|to\b|times\b)[A-Za-z]{3,}[A-Za-z .]*)")
LAST_LETTERS = re.compile(r"(.*[\d})\s])([a-z]{1,3})", re.DOTALL)
NUMBER = re.compile(r"-?[\d.,]*\d")
SOLUTIONS = re.compile(
    r"\s*(?:,|\\quad|\\q?quad)?\s*(?:\\text\s*\{\s*(?:and|or)\s*\}|\b(?:and|or)\b)\s*(?:\\q?quad)?\s*"
)

SCALE = re.compile(r"(?<=\d)[\s~]*(?:\\[,;: ])?\s*(?:\\text\s*\{\s*)?(hundred|thousand|million|billion|trillion)\b\s*")
ZEROS = {"hundred": 2, "thousand": 3, "million": 6, "billion": 9, "trillion": 12}

SEVERAL = re.compile(r"[,;]|\b(?:and|or)\b|[<>!:]\s*$")
UNIT_AFTER = re.compile(
    r"(?<=[\d.])(?:\s*\^?\s*\{?\s*\\(?:circ|degree)\s*\}?"
    rf"|(?:\s|~|\\[,;: ])*{TEXT.pattern.replace('[^{}]', '[^{}0-9]')}"
    r"|\s+(?!(?:and|or)\b)[A-Za-z]{3}[A-Za-z ]*)\s*(?:\^\{?[23]\}?)?\s*$"
)
INTEGER = re.compile(r"([-+]?)0*(\d{1,3}(?:,\d{3})+|\d+)(?:\.0*)?")
BASE = re.compile(r"\(?[\dA-F]+\)?_\{?\s*(?:\\text\{)?([\da-z]+)\}*")
UNIT = re.compile(r"[\d})]\s*\\?[,;: ]?\s*([A-Za-z][A-Za-z. ]*?)\s*(?:\^\s*\{?\s*([23])\s*\}?)?")
UNITS = {
    "mm": "millimeter millimetre", "cm": "centimeter centimetre", "m": "meter metre", "km": "kilometer kilometre",
    "in": "inch inche", "ft": "foot feet", "yd": "yard", "mi": "mile",
    "s": "sec second", "min": "minute", "h": "hr hour", "day": "", "week": "", "month": "", "year": "yr",
    "mg": "milligram", "g": "gram", "kg": "kilogram", "lb": "pound", "oz": "ounce", "l": "liter litre",
    "ml": "milliliter millilitre", "dollar": "", "cent": "", "degree": "deg", "radian": "rad", "am": "", "pm": "",
    "mph": "", "kmph": "kmh",
}  # fmt: skip
CANONICAL = {name: unit for unit, others in UNITS.items() for name in (unit, *others.split())}


def tidied(answer: str) -> str:
    """The same answer in a notation that math-verify reads as it was meant."""
    answer = MARGIN.sub("", COLOR.sub("", answer.translate(SYMBOLS).replace(r"\degree", r"^\circ")))
    answer = GROUPED.sub("", answer).replace("~", " ")
    if SPACED.fullmatch(answer):
        return answer.replace(" ", "")
    if SIDE_BY_SIDE.fullmatch(answer):
        return ", ".join(answer.split())  # else their sum
    answer = SCALE.sub(_scaled, answer)
    answer = SCIENTIFIC.sub(r"\1 \\times 10^{\2}", answer)
    answer = REPEATING.sub(_as_fraction, answer)
    for pattern in (MIXED_PERCENT, UNIT_WORDS):
        match = pattern.fullmatch(answer)
        answer = match[1] if match else answer
    return variables_kept(_solutions_apart(answer))


def _scaled(scale: re.Match[str]) -> str:
    return rf" \times 10^{{{ZEROS[scale[1]]}}}" + (r"\text{" if "{" in scale[0] else "")


def _as_fraction(decimal: re.Match[str]) -> str:
    r"""0.1\overline{6} is 1/6: (16 - 1) / 90."""
    whole, fixed, repeated = decimal.groups()
    numerator = int(whole + fixed + repeated) - int(whole + fixed or "0")
    return rf"\frac{{{numerator}}}{{{'9' * len(repeated)}{'0' * len(fixed)}}}"


def variables_kept(answer: str) -> str:
    r"""Put braces around variables at the end that math-verify would take for a unit: 3t, 2ab, 2\pi r h."""
    match = LAST_LETTERS.fullmatch(answer)
    if not match or match[2] == "i":  # i in braces would be another i than elsewhere
        return answer
    before, letters = match.groups()
    number = NUMBER.fullmatch(before.strip()) and before.endswith(" ")
    lone = not re.search(r"[A-Za-z]", re.sub(r"\\[A-Za-z]+", "", before))
    is_unit = letters in CANONICAL and (number or (lone and len(letters) > 1))
    return answer if is_unit else f"{before}{{{letters}}}"


def _solutions_apart(answer: str) -> str:
    """Put ";" for "and" between solutions of the same several unknowns: p = 5, q = 2 and p = 7, q = 2."""
    parts = SOLUTIONS.split(answer)
    unknowns = [[side.split("=")[0].strip() for side in part.split(",")] for part in parts]
    several = len(parts) > 1 and len(unknowns[0]) > 1 and all("=" in part for part in parts)
    return ";".join(parts) if several and all(each == unknowns[0] for each in unknowns) else answer


def unwrapped(answer: str) -> str:
    r"""The answer without \text{} and the like, only with what they hold."""
    return TEXT.sub(r"\1", answer)


def as_integer(answer: str) -> int | None:
    r"""The integer that the answer is, once units and "m+n =" are left out; None for anything else."""
    plain = answer.translate(SYMBOLS).strip(" $.")
    before, _, plain = plain.rpartition("=")
    if SEVERAL.search(before) or SCALE.search(plain) or "\\approx" in plain:
        return None
    plain = GROUPED.sub("", plain)
    plain = unwrapped(UNIT_AFTER.sub("", plain)).replace("\\$", "").strip(" {}$.")
    match = INTEGER.fullmatch(plain)
    return int(match[1] + match[2].replace(",", "")) if match else None


def as_words(answer: str) -> list[str] | None:
    r"""The words of an answer in words, such as \text{Evelyn}, in any order for a list; None for mathematics."""
    plain = unwrapped(answer).replace(".", "").strip(" $()")
    is_text = TEXT.search(answer) or re.search(r"[A-Za-z]{3,}|^[A-Z](?: *, *[A-Z])+$", answer.strip(" $."))
    if not is_text or not re.fullmatch(r"[\w ,:'()-]*[A-Za-z][\w ,:'()-]*", plain) or "_" in plain:
        return None
    words = re.findall(r"\w+", plain.casefold())
    return sorted(words) if "," in plain else words


def base_of(answer: str) -> str | None:
    """The base of a number written with one, as 204_5."""
    match = BASE.fullmatch(answer.strip(" $."))
    return match[1] if match else None


def unit_of(answer: str) -> tuple[str, str] | None:
    """The unit of a number, where it is one of those that can be mistaken for another, and its power."""
    if answer.lstrip().startswith("\\$"):
        return "dollar", "1"
    match = re.search(rf"{UNIT.pattern}$", unwrapped(answer.strip(" $.")))
    if not match:
        return None
    name = match[1].lower().replace(".", "").strip()
    power = match[2] or {"sq": "2", "square": "2", "cu": "3", "cubic": "3"}.get(name.split()[0], "1")
    name = name.split()[-1]
    unit = CANONICAL.get(name) or CANONICAL.get(name.removesuffix("s"))
    return (unit, power) if unit else None
