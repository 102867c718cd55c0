"""The other end of `BackgroundEngine`: a process that decodes whatever arrives, until nobody asks any more."""

import os
import signal
import sys
import threading
from collections import deque
from multiprocessing.connection import Connection
from typing import Any

from thinklogit.core.errors import ThinkLogitError
from thinklogit.decode.batch import Row
from thinklogit.decode.defaults import filled_in
from thinklogit.decode.huggingface import HuggingFaceEngine

MOST_WEIGHTS_FOR_ONE_THREAD = 10**7
"""Members this small gain nothing from more threads, and beside another process lose much."""


class Requests:
    """What has arrived and is not yet being decoded."""

    def __init__(self, engine: HuggingFaceEngine, connection: Connection) -> None:
        self.engine = engine
        self.connection = connection
        self.waiting: deque[Row] = deque()
        self.prompts: dict[int, Any] = {}
        self.arrived = threading.Condition()
        self._sending = threading.Lock()

    def listen(self) -> None:
        """Queue what arrives; end the process when the other side is gone."""
        while True:
            try:
                number, prompt, given = self.connection.recv()
            except (EOFError, OSError):
                os._exit(0)
            try:
                model = self.engine.model
                params = filled_in(model.config, model.generation_config, given)
                if prompt is None:
                    self.reply(number, params.settings())
                    continue
                (row,) = self.engine.rows(prompt, params, number)
            except Exception as error:
                self.reply(number, error)
                continue
            with self.arrived:
                self.prompts[number] = prompt
                self.waiting.append(row)
                self.arrived.notify()

    def reply(self, number: int, reply: Any) -> None:
        """Send a completion, with its prompt's length, or what went wrong."""
        with self._sending:
            self.connection.send((number, reply))

    def answer(self) -> None:
        """Decode, for ever."""
        while True:
            with self.arrived:
                self.arrived.wait_for(lambda: self.waiting)
            for row in self.engine.decode(self.waiting):
                if row.done:
                    completion = self.engine.completion(row, self.prompts.pop(row.prompt_index))
                    self.reply(row.prompt_index, (completion, len(row.prompt_ids)))


def main() -> None:
    """Serve the connection whose file descriptor is the first argument."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the caller, whose end is ours
    connection = Connection(int(sys.argv[1]))
    trio, batch_size, allow_past_context, how = connection.recv()
    try:
        engine = _load(trio, batch_size, allow_past_context, how)
    except ThinkLogitError as error:
        connection.send(error)
        return
    connection.send(bool(engine.tokenizer.chat_template))
    requests = Requests(engine, connection)
    threading.Thread(target=requests.listen, daemon=True).start()
    try:
        requests.answer()
    except Exception as error:
        connection.send(error)


def _load(trio: str, batch_size: int, allow_past_context: bool, how: dict[str, str]) -> HuggingFaceEngine:
    import torch
    from transformers.utils import logging

    from thinklogit.models.packing import pack
    from thinklogit.models.trios import load

    logging.disable_progress_bar()
    logging.set_verbosity_error()
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # before anything is computed: later, what has begun with more stays slower
    model, tokenizer = load(trio, **how)
    if sum(weight.numel() for weight in model.parameters()) > MOST_WEIGHTS_FOR_ONE_THREAD:
        torch.set_num_threads(threads)
    pack(model)
    return HuggingFaceEngine(model, tokenizer, batch_size, allow_past_context)


if __name__ == "__main__":
    main()
