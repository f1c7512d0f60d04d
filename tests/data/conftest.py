"""A real HTTP server on the loopback that can resume, break off, answer wrongly or not at all,
and tiny datasets.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import unquote

import pytest
import yaml

from attnbench.catalog import Entry, read_entry


@dataclass
class Served:
    """What a server has, and what it was asked for."""

    content: dict[str, bytes]
    ranges: bool = True
    break_after: dict[str, int] = field(default_factory=dict)
    status: dict[str, list[int]] = field(default_factory=dict)
    asked: list[tuple[str, str | None]] = field(default_factory=list)
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def count(self) -> Counter[str]:
        return Counter(path for path, _ in self.asked)


def _handler(served: Served) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path = unquote(self.path).lstrip("/")
            wanted_range = self.headers.get("Range")
            served.asked.append((path, wanted_range))
            status = served.status.get(path, [])
            if status or path not in served.content:
                self.send_error(status.pop(0) if status else 404)
                return
            content, start = served.content[path], 0
            if wanted_range and served.ranges:
                start = int(re.fullmatch(r"bytes=(\d+)-", wanted_range)[1])
                if start >= len(content):
                    self.send_error(416)
                    return
                self.send_response(206)
                self.send_header(
                    "Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}"
                )
            else:
                self.send_response(200)
            self.send_header("Content-Length", str(len(content) - start))
            self.end_headers()
            self.wfile.write(content[start : served.break_after.pop(path, len(content))])

        def log_message(self, *_: object) -> None:
            pass

    return Handler


@pytest.fixture
def serve() -> Iterator[Callable[..., Served]]:
    """Starts servers; `serve(content)` returns one that can be given faults while it runs."""
    servers = []

    def start(content: dict[str, bytes], **faults: object) -> Served:
        served = Served(dict(content), **faults)
        server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(served))
        served.port = server.server_port
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True).start()
        return served

    yield start
    for server in servers:
        server.shutdown()
        server.server_close()


@pytest.fixture(autouse=True)
def _no_mirror_from_outside(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("ATTNBENCH_MIRROR", raising=False)


@pytest.fixture(scope="session")
def write_entry() -> Callable[..., Entry]:
    """Writes a catalog entry `tiny`; `write_entry(folder, origin, files)` lists `files` if there
    are any.
    """

    def write(folder: Path, origin: dict[str, str], files: dict[str, bytes]) -> Entry:
        folder.mkdir(exist_ok=True)
        facts = {
            "title": "t",
            "short": "t",
            "task": "t",
            "modality": "m",
            "ndim": 2,
            "channels": 1,
            "classes": {1: "blob"},
        }
        facts |= {
            "cases": 1,
            "groups": 1,
            "groups_inferred": False,
            "licence": "l",
            "citation": "c",
            "reader": "r",
            "axes": ["a", "b"],
            "mirror": {"axes": [], "reason": "e"},
        }
        content = {"name": "tiny", **facts, "origin": {"page": "http://127.0.0.1/tiny", **origin}}
        (folder / "tiny.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
        if files:
            rows = [
                f'"{path}",{len(data)},{hashlib.sha256(data).hexdigest()},image,c,g'
                for path, data in files.items()
            ]
            listing = "\n".join(["path,bytes,sha256,role,case,group", *rows, ""])
            (folder / "tiny.files.csv").write_text(listing, encoding="utf-8")
        return read_entry(folder / "tiny.yaml")

    return write
