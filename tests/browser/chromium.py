"""A headless Chromium, spoken to over its pipe: no driver and no package is needed."""

import base64
import json
import os
import select
import shutil
import signal
import subprocess
import time
from pathlib import Path

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-dev-shm-usage",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)

TEXT = """function text(node) {
  if (node.nodeType == Node.TEXT_NODE) return node.textContent;
  if (['STYLE', 'SCRIPT', 'TEMPLATE'].includes(node.tagName)) return '';
  const inside = node.shadowRoot ? Array.from(node.shadowRoot.childNodes) : [];
  return [...inside, ...node.childNodes].map(text).join(' ');
}"""


def find_browser() -> str | None:
    """The path of a Chromium, where there is one."""
    return next(filter(None, map(shutil.which, NAMES)), None)


class Page:
    """One page of a browser of its own, by the Chrome DevTools protocol.

    Attributes:
        requests: the address of everything that the page asked for.
        errors: what went wrong in the page's scripts.
    """

    def __init__(self, browser: str, profile: Path, width: int = 1280, height: int = 900) -> None:
        from_us, to_browser = os.pipe()
        from_browser, to_us = os.pipe()
        self.requests: list[str] = []
        self.errors: list[str] = []
        self._read, self._write = from_browser, to_browser
        self._buffer, self._sent = b"", 0
        # the browser reads commands from descriptor 3 and answers on 4; those of Python are free
        # to have the same numbers, so a shell places them
        command = f'exec "$0" "$@" 3<&{from_us} 4>&{to_us}'
        arguments = [*FLAGS, f"--user-data-dir={profile}", f"--window-size={width},{height}"]
        self._process = subprocess.Popen(
            ["bash", "-c", command, browser, *arguments, "about:blank"],
            pass_fds=(from_us, to_us),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        os.close(from_us)
        os.close(to_us)
        self._session = None
        targets = self._ask("Target.getTargets")["targetInfos"]
        page = next(target for target in targets if target["type"] == "page")
        attached = self._ask("Target.attachToTarget", targetId=page["targetId"], flatten=True)
        self._session = attached["sessionId"]
        for domain in ("Page", "Runtime", "Network"):
            self._ask(f"{domain}.enable")
        self.size(width, height)

    def size(self, width: int, height: int) -> None:
        """Show this many pixels."""
        self._ask(
            "Emulation.setDeviceMetricsOverride",
            width=width,
            height=height,
            deviceScaleFactor=1,
            mobile=False,
        )

    def prefer(self, scheme: str) -> None:
        """Ask for ``light`` or ``dark``, as an operating system does."""
        features = [{"name": "prefers-color-scheme", "value": scheme}]
        self._ask("Emulation.setEmulatedMedia", features=features)

    def open(self, address: str) -> None:
        """Go to a page."""
        answer = self._ask("Page.navigate", url=address)
        assert "errorText" not in answer, answer
        self.wait_for("document.readyState == 'complete'")

    def ask(self, expression: str) -> object:
        """The value of a JavaScript expression."""
        answer = self._ask(
            "Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True
        )
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def wait_for(self, expression: str, seconds: float = 60) -> object:
        """Ask until the answer is true."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            answer = self.ask(expression)
            if answer:
                return answer
            time.sleep(0.2)
        raise TimeoutError(f"{expression} was not true within {seconds:g} s")

    def text(self) -> str:
        """What stands on the page, shadow roots included, with single spaces."""
        return " ".join(str(self.ask(f"({TEXT})(document.body)")).split())

    def wait_for_text(self, *parts: str, seconds: float = 30) -> str:
        """Wait until all of this stands on the page; returns the page's text."""
        end = time.monotonic() + seconds
        text = ""
        while time.monotonic() < end:
            text = self.text()
            if all(part in text for part in parts):
                return text
            time.sleep(0.2)
        missing = [part for part in parts if part not in text]
        raise TimeoutError(f"{missing} not on the page within {seconds:g} s: {text[:2000]}")

    def screenshot(self, path: Path, whole: bool = False) -> Path:
        """Save what is seen, or the whole page, as PNG."""
        answer = self._ask("Page.captureScreenshot", captureBeyondViewport=whole)
        path.write_bytes(base64.b64decode(answer["data"]))
        return path

    def close(self) -> None:
        """End the browser."""
        os.close(self._write)
        try:
            self._process.wait(timeout=10)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        os.close(self._read)

    def _ask(self, method: str, **parameters: object) -> dict:
        self._sent += 1
        message = {"id": self._sent, "method": method, "params": parameters}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._write, json.dumps(message).encode() + b"\0")
        while True:
            answer = self._next()
            if answer.get("id") == self._sent:
                assert "error" not in answer, (method, answer["error"])
                return answer["result"]
            self._note(answer)

    def _note(self, event: dict) -> None:
        if event.get("method") == "Network.requestWillBeSent":
            self.requests.append(event["params"]["request"]["url"])
        if event.get("method") == "Runtime.exceptionThrown":
            details = event["params"]["exceptionDetails"]
            self.errors.append(details.get("exception", details).get("description", str(details)))

    def _next(self) -> dict:
        while b"\0" not in self._buffer:
            ready, _, _ = select.select([self._read], [], [], 60)
            assert ready, "the browser has said nothing for a minute"
            chunk = os.read(self._read, 1 << 20)
            assert chunk, "the browser ended"
            self._buffer += chunk
        message, _, self._buffer = self._buffer.partition(b"\0")
        return json.loads(message)
