"""A real small language model behind a small OpenAI-shaped server: `model_server.py MODEL.gguf PORT`.

It runs in an environment of its own (`make model`), so that the project does not depend on an inference library. One
call at a time, greedy decoding: the same prompt gives the same text.
"""

import json
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from cyllama import LLM
from cyllama.api import GenerationConfig

model = LLM(sys.argv[1])
one_at_a_time = threading.Lock()
completions = []


class Handler(BaseHTTPRequestHandler):
    """Chat completions, and how many there were."""

    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.send({"served": len(completions)})

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        with one_at_a_time:
            completions.append(time.time())
            wanted = GenerationConfig(max_tokens=body.get("max_tokens", 48), temperature=0.0)
            answer = model.chat(body["messages"], config=wanted)
        stats = answer.stats
        prompt, completion = stats.prompt_tokens, stats.generated_tokens
        message = {"role": "assistant", "content": answer.text.strip()}
        self.send(
            {
                "id": f"chatcmpl-{len(completions)}",
                "object": "chat.completion",
                "created": int(time.time()),
                "model": body["model"],
                "choices": [{"index": 0, "message": message, "finish_reason": answer.finish_reason}],
                "usage": {
                    "prompt_tokens": prompt,
                    "completion_tokens": completion,
                    "total_tokens": prompt + completion,
                },
            }
        )

    def send(self, value):
        data = json.dumps(value).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *_):
        pass


ThreadingHTTPServer(("127.0.0.1", int(sys.argv[2])), Handler).serve_forever()
