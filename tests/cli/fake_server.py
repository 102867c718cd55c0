"""An OpenAI-compatible server that answers as the mini world wants, remembers requests, and can be slow or broken."""

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from time import sleep

from thinklogit.mini import world


class FakeServer:
    """Answers right where the seed is even, with the problem's own solution."""

    def __init__(self, models=("mini",), delay_s=0.0, status=200):
        self.models, self.delay_s, self.status = models, delay_s, status
        self.requests: list[dict] = []
        self.answered: list[tuple[str, int]] = []

    def answer(self, body: dict) -> dict:
        self.requests.append(body)
        sleep(self.delay_s)
        problem = world.parse(body["messages"][-1]["content"])
        text = f"Answer: {problem.answer}." if body["seed"] % 2 == 0 else "Answer: 0 pens, 0 cups."
        message = {"role": "assistant", "content": text}
        return {
            "id": "1",
            "object": "chat.completion",
            "created": 0,
            "model": self.models[0],
            "choices": [{"index": 0, "message": message, "finish_reason": "stop"}],
            "usage": {"prompt_tokens": 5, "completion_tokens": len(text.split()), "total_tokens": 5},
        }

    def handler(self):
        server = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self):
                self.reply(200, {"object": "list", "data": [{"id": name, "object": "model"} for name in server.models]})

            def do_POST(self):
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                answer = server.answer(body)
                if server.status != 200:
                    self.reply(server.status, {"error": {"message": "out of order"}})
                    return
                self.reply(200, answer)
                server.answered.append((body["messages"][-1]["content"], body["seed"]))

            def reply(self, status, content):
                data = json.dumps(content).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_):
                pass

        return Handler


@contextmanager
def serving(**kwargs) -> Iterator[tuple[FakeServer, str]]:
    """The server and its base URL."""
    fake = FakeServer(**kwargs)
    with ThreadingHTTPServer(("127.0.0.1", 0), fake.handler()) as http:
        http.daemon_threads = True
        threading.Thread(target=http.serve_forever, daemon=True).start()
        try:
            yield fake, f"http://127.0.0.1:{http.server_port}/v1"
        finally:
            http.shutdown()
