"""A headless Chromium driven through its DevTools pipe: what a page shows, says and asks of the network."""

import base64
import io
import json
import os
import shutil
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

import numpy as np
import pytest
from PIL import Image

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_chromium = pytest.mark.skipif(CHROMIUM is None, reason="Chromium is not installed")
PATIENCE_S = 60.0


@dataclass
class Seen:
    """What happened while a page was opened; the time is the browser's own, until everything was loaded."""

    load_s: float = 0.0
    requests: list[str] = field(default_factory=list)
    errors: list[str] = field(default_factory=list)


class Browser:
    """One tab; commands and events of the DevTools protocol."""

    def __init__(self, process: subprocess.Popen[bytes], commands: int, answers: int) -> None:
        self._process, self._commands, self._answers = process, commands, answers
        self._buffer, self._number, self._session = b"", 0, ""
        self.events: list[dict[str, Any]] = []

    def attach(self) -> Self:
        """Open a tab and listen to it."""
        target = self.call("Target.createTarget", url="about:blank")["targetId"]
        self._session = self.call("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Network", "Runtime", "Log"):
            self.call(f"{domain}.enable")
        return self

    def call(self, method: str, **parameters: Any) -> dict[str, Any]:
        """Send a command and return its result."""
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if self._session:
            message["sessionId"] = self._session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                result: dict[str, Any] = answer["result"]
                return result

    def open(self, page: Path, *, width: int = 1100, dark: bool = False, deficiency: str = "none") -> Seen:
        """Open a page of the disk and return what happened until it was loaded."""
        self.events.clear()
        scheme = [{"name": "prefers-color-scheme", "value": "dark" if dark else "light"}]
        self.call("Emulation.setEmulatedMedia", features=scheme)
        self.call("Emulation.setEmulatedVisionDeficiency", type=deficiency)
        size = {"width": width, "height": 900, "deviceScaleFactor": 1, "mobile": False}
        self.call("Emulation.setDeviceMetricsOverride", **size)
        self.call("Page.navigate", url=page.resolve().as_uri())
        while not any(event["method"] == "Page.loadEventFired" for event in self.events):
            self.events.append(self._next())
        self.value("new Promise(done => requestAnimationFrame(() => requestAnimationFrame(() => done(1))))")
        seen = Seen(load_s=self.value("performance.getEntriesByType('navigation')[0].loadEventEnd") / 1000)
        for event in self.events:
            about = event.get("params", {})
            if event["method"] == "Network.requestWillBeSent":
                seen.requests.append(about["request"]["url"])
            elif event["method"] == "Runtime.exceptionThrown":
                seen.errors.append(str(about["exceptionDetails"]))
            elif event["method"] == "Log.entryAdded" and about["entry"]["level"] in ("error", "warning"):
                seen.errors.append(about["entry"]["text"])
            elif event["method"] == "Runtime.consoleAPICalled" and about["type"] in (
                "error",
                "warning",
                "assert",
            ):
                seen.errors.append(str(about["args"]))
        return seen

    def value(self, expression: str) -> Any:
        """Return the value of a JavaScript expression, awaiting promises."""
        answer = self.call("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def picture(self, selector: str = "body") -> np.ndarray:
        """Return an element of the page as an image (rows, columns, RGB), at most 8000 rows: textures end there."""
        box = self.value(
            f"(() => {{const b = document.querySelector({selector!r}).getBoundingClientRect();"
            "return {x: b.left + scrollX, y: b.top + scrollY, width: b.width, height: Math.min(8000, b.height), scale: 1}})()"
        )
        shot = self.call("Page.captureScreenshot", format="png", captureBeyondViewport=True, clip=box)
        return np.asarray(Image.open(io.BytesIO(base64.b64decode(shot["data"]))).convert("RGB"))

    def pdf(self) -> bytes:
        """Return the page as printed."""
        return base64.b64decode(self.call("Page.printToPDF", printBackground=True)["data"])

    def _next(self) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            chunk = os.read(self._answers, 1 << 20)
            assert chunk, "Chromium has ended"
            self._buffer += chunk
        line, _, self._buffer = self._buffer.partition(b"\0")
        answer: dict[str, Any] = json.loads(line)
        if "method" in answer:
            self.events.append(answer)
        return answer


@contextmanager
def chromium(profile: Path) -> Iterator[Browser]:
    """Give a browser with an empty profile; it ends with the block."""
    assert CHROMIUM is not None
    out_read, out_write = os.pipe()
    in_read, in_write = os.pipe()
    flags = [
        "--headless",
        "--no-sandbox",
        "--remote-debugging-pipe",
        f"--user-data-dir={profile}",
        "--use-gl=angle",
    ]
    flags += [
        "--use-angle=swiftshader",
        "--enable-unsafe-swiftshader",
        "--disable-dev-shm-usage",
        "--hide-scrollbars",
    ]
    flags += ["--no-first-run", "--disable-background-networking"]
    # Chromium reads commands from descriptor 3 and answers on 4.
    script = f'exec "$@" 3<&{in_read} 4>&{out_write}'
    process = subprocess.Popen(
        ["bash", "-c", script, "bash", CHROMIUM, *flags],
        pass_fds=(in_read, out_write),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(in_read)
    os.close(out_write)
    try:
        browser = Browser(process, in_write, out_read).attach()
        yield browser
        browser._session = ""
        browser.call("Browser.close")
    finally:
        process.terminate()
        process.wait(PATIENCE_S)
        os.close(in_write)
        os.close(out_read)
