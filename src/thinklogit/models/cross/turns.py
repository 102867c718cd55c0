"""A chat prompt in one template, said in another: found out from what each template does with messages it is given.

Knows no model by name. What stands around the messages of a rendered chat is found by rendering some and looking.
"""

from collections.abc import Sequence
from typing import Any, NamedTuple

MESSAGES = ("\x02system\x03", "\x02asked\x03", "\x02answered\x03", "\x02asked again\x03")
"""What no template holds."""


class Chat(NamedTuple):
    """A prompt as messages, and what has been begun of the answer."""

    messages: list[dict[str, str]]
    begun: str

    def plain(self) -> str:
        """The messages alone, for a model without a template."""
        return "\n\n".join(message["content"] for message in self.messages) + "\n"


class Turns:
    """One tokenizer's chat template.

    Attributes:
        opens: what stands before a first question.
        answers: what stands between a question and its answer.
        asks: what stands between an answer and the next question; None where the template takes no second one.
        with_system: what stands before a system message and after it; None where the template takes none.
    """

    def __init__(self, tokenizer: Any) -> None:
        self.tokenizer = tokenizer
        system, asked, answered, again = MESSAGES
        self.opens, self.answers = self.render([_user(asked)]).split(asked)
        self.asks = self._between(answered, again, [_user(asked), _assistant(answered), _user(again)])
        whole = self._rendered([{"role": "system", "content": system}, _user(asked)])
        self.with_system = None
        if whole is not None and system in whole:
            before, rest = whole.split(system, 1)
            self.with_system = (before, rest.split(asked)[0])

    def render(self, messages: Sequence[dict[str, str]]) -> str:
        """The prompt that asks for an answer to these."""
        return self.tokenizer.apply_chat_template(messages, add_generation_prompt=True, tokenize=False)

    def _rendered(self, messages: Sequence[dict[str, str]]) -> str | None:
        try:
            return self.render(messages)
        except Exception:  # templates refuse in ways of their own what they do not take
            return None

    def _between(self, first: str, second: str, messages: Sequence[dict[str, str]]) -> str | None:
        whole = self._rendered(messages)
        if whole is None or first not in whole or second not in whole:
            return None
        return whole.split(first, 1)[1].split(second)[0]

    def parse(self, text: str) -> Chat | None:
        """The messages of a prompt rendered by this template; None of any other text."""
        messages: list[dict[str, str]] = []
        rest = text
        if text.startswith(self.opens):
            rest = text[len(self.opens) :]
        elif self.with_system is not None and text.startswith(self.with_system[0]) and self.with_system[1] in text:
            system, rest = text[len(self.with_system[0]) :].split(self.with_system[1], 1)
            messages.append({"role": "system", "content": system})
        else:
            return None
        while self.answers in rest:
            asked, rest = rest.split(self.answers, 1)
            messages.append(_user(asked))
            if self.asks is None or self.asks not in rest:
                return Chat(messages, rest)
            answered, rest = rest.split(self.asks, 1)
            messages.append(_assistant(answered))
        return None


def _user(content: str) -> dict[str, str]:
    return {"role": "user", "content": content}


def _assistant(content: str) -> dict[str, str]:
    return {"role": "assistant", "content": content}
