"""An OpenAI-compatible server that answers as the mini world wants, remembers requests, and can be slow or broken."""

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import sleep

from thinklogit.mini import world


def solution(question: str, seed: int) -> str:
    """Right where the seed is even."""
    return f"Answer: {world.parse(question).answer}." if seed % 2 == 0 else "Answer: 0 pens, 0 cups."


def words(question: str, seed: int) -> str:
    """An answer to any text."""
    return f"answer to {question} {seed}"


def question_of(body: dict) -> str:
    return body["prompt"] if "prompt" in body else body["messages"][-1]["content"]


class FakeServer:
    """Answers with `reply(question, seed)`; a token is a word.

    `spoil` changes an answer's last choice before it is sent. After `dies_after` answers connections are dropped, and
    with `cut_after` a streamed answer ends after so many pieces.
    """

    def __init__(
        self,
        models=("mini",),
        delay_s=0.0,
        status=200,
        reply: Callable[[str, int], str] = solution,
        context=None,
        spoil: Callable[[dict], object] = lambda choice: None,
        dies_after=None,
        cut_after=None,
    ):
        self.models, self.delay_s, self.status, self.reply, self.context = models, delay_s, status, reply, context
        self.spoil, self.dies_after, self.cut_after = spoil, dies_after, cut_after
        self.requests: list[dict] = []
        self.paths: list[str] = []
        self.keys: list[str] = []
        self.answered: list[tuple[str, int]] = []
        self.under_way = self.most_under_way = 0
        self.lock = threading.Lock()

    def listed(self) -> dict:
        told = {"max_model_len": self.context} if self.context else {}
        return {"object": "list", "data": [{"id": name, "object": "model", **told} for name in self.models]}

    def answer(self, body: dict) -> dict:
        with self.lock:
            self.requests.append(body)
            self.under_way += 1
            self.most_under_way = max(self.most_under_way, self.under_way)
        sleep(self.delay_s)
        said = self.reply(question_of(body), body["seed"]).split(" ")
        kept = said[: body.get("max_tokens")]
        with self.lock:
            self.under_way -= 1
        choice = {"index": 0, "finish_reason": "stop" if kept == said else "length"} | self.content(body, kept)
        self.spoil(choice)
        usage = {"prompt_tokens": 5, "completion_tokens": len(kept), "total_tokens": 5 + len(kept)}
        return {"id": "1", "object": "", "created": 0, "model": self.models[0], "choices": [choice], "usage": usage}

    def content(self, body: dict, kept: list[str]) -> dict:
        asked = "logprobs" in body and body["logprobs"] is not False
        if "prompt" in body:
            logprobs = {"tokens": kept, "token_logprobs": [-0.5] * len(kept)} if asked else None
            return {"text": " ".join(kept), "logprobs": logprobs}
        told = [{"token": word, "logprob": -0.5, "top_logprobs": []} for word in kept]
        message = {"role": "assistant", "content": " ".join(kept)}
        return {"message": message, "logprobs": {"content": told} if asked else None}

    def pieces(self, answer: dict) -> list[dict]:
        """The answer as a stream brings it: word by word, why it ended with the last."""
        (choice,) = answer["choices"]
        message = choice.pop("message", None)
        text = choice.pop("text", None) if message is None else message.pop("content")
        said = [word if place == 0 else f" {word}" for place, word in enumerate(text.split(" "))]
        pieces = []
        for place, word in enumerate(said, start=1):
            ended = choice["finish_reason"] if place == len(said) else None
            content = {"text": word} if message is None else {"delta": message | {"content": word}}
            pieces.append(answer | {"usage": None, "choices": [choice | content | {"finish_reason": ended}]})
        return pieces

    def handler(self):
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                server.keys.append(self.headers["Authorization"])
                self.reply(200, server.listed())

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                if server.dies_after is not None and len(server.answered) >= server.dies_after:
                    self.close_connection = True
                    return
                server.paths.append(self.path)
                server.keys.append(self.headers["Authorization"])
                answer = server.answer(body)
                if server.status != 200:
                    self.reply(server.status, {"error": {"message": "out of order"}})
                elif body.get("stream"):
                    self.stream(server.pieces(answer))
                else:
                    self.reply(200, answer)
                    server.answered.append((question_of(body), body["seed"]))

            def reply(self, status, content):
                data = json.dumps(content).encode()
                self.begin(status, "application/json", len(data))
                self.wfile.write(data)

            def stream(self, pieces):
                events = [f"data: {json.dumps(piece)}\n\n".encode() for piece in pieces] + [b"data: [DONE]\n\n"]
                self.begin(200, "text/event-stream", sum(map(len, events)))
                for event in events[: server.cut_after]:
                    self.wfile.write(event)

            def begin(self, status, kind, length):
                self.send_response(status)
                self.send_header("Content-Type", kind)
                self.send_header("Content-Length", str(length))
                self.end_headers()

            def log_message(self, *_):
                pass

        return Handler


@contextmanager
def serving(**kwargs) -> Iterator[tuple[FakeServer, str]]:
    """The server and its base URL."""
    fake = FakeServer(**kwargs)
    with ThreadingHTTPServer(("127.0.0.1", 0), fake.handler()) as http:
        http.daemon_threads = True
        http.handle_error = lambda *_: None  # a client that has gone
        threading.Thread(target=lambda: http.serve_forever(poll_interval=0.02), daemon=True).start()
        try:
            yield fake, f"http://127.0.0.1:{http.server_port}/v1"
        finally:
            http.shutdown()
