"""`thinklogit serve` as a process of its own, and the real client."""

import socket
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import httpx
import psutil
from openai import OpenAI


class Server:
    """`thinklogit serve` on a free port, by default of the mini trio."""

    def __init__(self, *flags):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            port = taken.getsockname()[1]
        self.base_url = f"http://127.0.0.1:{port}/v1"
        command = [str(Path(sys.executable).with_name("thinklogit")), "serve", "--port", str(port), *flags]
        self.log = Path(tempfile.mkdtemp()) / "log"
        with self.log.open("w") as log:
            self.process = subprocess.Popen(command, stdout=log, stderr=subprocess.STDOUT)
        self.client = OpenAI(base_url=self.base_url, api_key="none", max_retries=0)
        self.wait()

    def wait(self):
        health = self.base_url.replace("/v1", "/health")
        for _ in range(600):
            assert self.process.poll() is None, self.log.read_text()
            try:
                if httpx.get(health).status_code == 200:
                    return
            except httpx.TransportError:
                time.sleep(0.2)
        raise AssertionError("the server did not come up")

    def chat(self, question, guidance=None, **asked):
        extra = {} if guidance is None else {"vllm_xargs": guidance}
        messages = [{"role": "user", "content": question}]
        return self.client.chat.completions.create(
            model=self.client.models.list().data[0].id, messages=messages, extra_body=extra, **asked
        )

    def memory_bytes(self):
        root = psutil.Process(self.process.pid)
        return sum(each.memory_info().rss for each in (root, *root.children(recursive=True)))

    def end(self):
        self.process.terminate()
        self.process.wait(60)
