"""The other end of `BackgroundEngine`: a process that decodes whatever arrives, until nobody asks any more."""

import os
import signal
import sys
import threading
from collections import deque
from multiprocessing.connection import Connection
from typing import Any

from thinklogit.core.errors import ThinkLogitError
from thinklogit.decode.defaults import filled_in
from thinklogit.decode.engine import LocalEngine
from thinklogit.decode.loading import load_engine


class Requests:
    """What has arrived and is not yet being decoded."""

    def __init__(self, engine: LocalEngine, connection: Connection) -> None:
        self.engine = engine
        self.connection = connection
        self.waiting: deque[Any] = deque()
        self.prompts: dict[int, Any] = {}
        self.arrived = threading.Condition()
        self._sending = threading.Lock()

    def listen(self) -> None:
        """Queue what arrives; end the process when the other side is gone."""
        while True:
            try:
                number, prompt, given = self.connection.recv()
            except (EOFError, OSError):
                self.engine.close()
                os._exit(0)
            try:
                params = filled_in(self.engine.config, self.engine.generation_config, given)
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
        engine = load_engine(trio, batch_size, allow_past_context, own_process=True, **how)
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


if __name__ == "__main__":
    main()
