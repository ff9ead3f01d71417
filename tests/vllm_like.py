"""A program that goes by vLLM's name and arguments and speaks as its server does, in words instead of tokens: real processes and real HTTP without a model."""

import sys
from pathlib import Path

SERVER = r"""
import argparse, json, os, signal, sys, threading, time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

parser = argparse.ArgumentParser()
for flag in ("--model", "--served-model-name", "--host", "--max-model-len", "--tool-call-parser"):
    parser.add_argument(flag)
parser.add_argument("--port", type=int)
parser.add_argument("--enable-prompt-tokens-details", action="store_true")
options, rest = parser.parse_known_args()
fault = set(os.environ.get("VLLM_LIKE", "").split())
print("loading", options.model, *rest, flush=True)
if "dies" in fault:
    print("RuntimeError: no memory is left", flush=True)
    sys.exit(1)
if "stubborn" in fault:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
BLOCK, WINDOW = 16, int(options.max_model_len)
known, lock, began = set(), threading.Lock(), time.monotonic()


class Handler(BaseHTTPRequestHandler):
    def log_message(self, *_):
        pass

    def send(self, status, body, kind="application/json"):
        body = (body if isinstance(body, str) else json.dumps(body)).encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        if self.path == "/health":
            return self.send(503 if "slow" in fault and time.monotonic() - began < 1 else 200, "")
        if self.path == "/v1/models":
            return self.send(200, {"data": [{"id": options.served_model_name, "max_model_len": WINDOW}]})
        if self.path == "/metrics":
            return self.send(200, f'vllm:cache_config_info{{block_size="{BLOCK}",kv_cache_size_tokens="4096"}} 1.0\n', "text/plain")
        if self.path == "/version":
            return self.send(200, {"version": "0.32.0"})
        self.send(404, {})

    def do_POST(self):
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        words = " ".join(message["content"] or "" for message in asked["messages"]).split()
        if len(words) > WINDOW and "swallows" not in fault:
            said = f"This model's maximum context length is {WINDOW} tokens. However, you requested {len(words)} tokens."
            return self.send(400, {"error": {"message": said, "type": "BadRequestError", "code": 400}})
        hit, beginning = 0, ""
        with lock:
            for start in range(0, len(words) - BLOCK, BLOCK):
                beginning += " ".join(words[start : start + BLOCK])
                hit += BLOCK if beginning in known and hit == start and "forgets" not in fault else 0
                known.add(beginning)
        details = {"cached_tokens": hit} if options.enable_prompt_tokens_details and "silent" not in fault else None
        usage = {"prompt_tokens": len(words), "completion_tokens": 1, "total_tokens": len(words) + 1, "prompt_tokens_details": details}
        if asked.get("stream"):
            pieces = [{"choices": [{"delta": {"content": "one"}}]}, *([] if "unending" in fault else [{"choices": [], "usage": usage}])]
            lines = "".join(f"data: {json.dumps(piece)}\n\n" for piece in pieces)
            return self.send(200, lines + ("" if "unending" in fault else "data: [DONE]\n\n"), "text/event-stream")
        message = {"role": "assistant", "content": "one"}
        if asked.get("tool_choice"):
            call = {"name": asked["tool_choice"]["function"]["name"], "arguments": json.dumps({"path": "README"})}
            written = f"<tool_call>{json.dumps(call)}</tool_call>"
            message = (
                {"role": "assistant", "content": written}
                if "unparsed" in fault
                else {"role": "assistant", "content": None, "tool_calls": [{"id": "1", "type": "function", "function": call}]}
            )
        self.send(200, {"choices": [{"message": message, "finish_reason": "stop"}], "usage": usage})


print("Application startup complete.", flush=True)
ThreadingHTTPServer((options.host, options.port), Handler).serve_forever()
"""


def make_vllm(folder: Path) -> Path:
    """Make the program below `folder` and return the interpreter that has it."""
    package = folder / "site" / "vllm" / "entrypoints" / "openai"
    package.mkdir(parents=True)
    for place in (package, package.parent, package.parent.parent):
        (place / "__init__.py").touch()
    (package / "api_server.py").write_text(SERVER)
    interpreter = folder / "python"
    interpreter.write_text(f'#!/bin/sh\nPYTHONPATH={folder / "site"} exec {sys.executable} "$@"\n')
    interpreter.chmod(0o755)
    return interpreter
