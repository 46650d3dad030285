"""Headless Chromium, driven through its debugging pipe, and a server of static files."""

import base64
import contextlib
import functools
import http.server
import json
import os
import select
import shutil
import subprocess
import sys
import threading
import time

FLAGS = (
    "--headless=new",
    "--no-sandbox",  # tests run as root in containers
    "--disable-gpu",
    "--disable-dev-shm-usage",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--disable-extensions",
    "--remote-debugging-pipe",
    "--use-fake-ui-for-media-stream",
    "--use-fake-device-for-media-stream",
)
# Becomes the program of the arguments, with two descriptors as 3 and 4: there Chromium reads commands and answers.
STARTER = """import fcntl, os, sys
high = [fcntl.fcntl(int(number), fcntl.F_DUPFD, 10) for number in sys.argv[1:3]]
for place, number in zip((3, 4), high):
    os.dup2(number, place)
os.execv(sys.argv[3], sys.argv[3:])"""


def find_chromium():
    """Path of a Chromium or Chrome, or None."""
    return next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)


class Browser:
    """One page of a Chromium of its own.

    Args:
        profile: empty folder for it. flags: further ones of its command line. size: of the window, in pixels.
    """

    def __init__(self, profile, flags=(), size=(1280, 900)):
        to_read, self.to_write = os.pipe()
        self.to_read, to_write = os.pipe()
        window = [f"--window-size={size[0]},{size[1]}", f"--user-data-dir={profile}"]
        command = [find_chromium(), *FLAGS, *flags, *window, "about:blank"]
        with open(os.path.join(profile, "log"), "wb") as log:
            starter = [sys.executable, "-c", STARTER, str(to_read), str(to_write), *command]
            self.process = subprocess.Popen(starter, pass_fds=(to_read, to_write), stdout=log, stderr=log)
        os.close(to_read)
        os.close(to_write)
        self.number, self.buffer, self.events, self.session = 0, b"", [], None
        target = self.send("Target.createTarget", url="about:blank")["targetId"]
        self.session = self.send("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "DOM", "Log", "Network"):
            self.send(f"{domain}.enable")
        metrics = {"width": size[0], "height": size[1], "deviceScaleFactor": 1, "mobile": False}
        self.send("Emulation.setDeviceMetricsOverride", **metrics)

    def send(self, method, timeout=60, **parameters):
        """The result of a command of the DevTools protocol."""
        self.number += 1
        message = {"id": self.number, "method": method, "params": parameters}
        if self.session:
            message["sessionId"] = self.session
        os.write(self.to_write, json.dumps(message).encode() + b"\0")
        limit = time.monotonic() + timeout
        while True:
            answer = self.receive(limit - time.monotonic())
            if answer is None:
                raise TimeoutError(f"{method}: no answer")
            if answer.get("id") == self.number:
                if "error" in answer:
                    raise RuntimeError(f"{method}: {answer['error']['message']}")
                return answer["result"]
            self.events.append(answer)

    def receive(self, timeout):
        while b"\0" not in self.buffer:
            if not select.select([self.to_read], [], [], max(0, timeout))[0]:
                return None
            content = os.read(self.to_read, 1 << 20)
            if not content:
                raise RuntimeError("Chromium has ended")
            self.buffer += content
        message, self.buffer = self.buffer.split(b"\0", 1)
        return json.loads(message)

    def evaluate(self, expression):
        """The value of a JavaScript expression, of a promise what it resolves to."""
        answer = self.send("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in answer:
            raise RuntimeError(f"{expression}: {answer['exceptionDetails']}")
        return answer["result"].get("value")

    def wait(self, expression, timeout=60):
        """Waits until a JavaScript expression is true; returns its value."""
        limit = time.monotonic() + timeout
        while time.monotonic() < limit:
            with contextlib.suppress(RuntimeError):  # the page may be loading
                value = self.evaluate(expression)
                if value:
                    return value
            time.sleep(0.1)
        said = self.evaluate("document.body.innerText")
        raise TimeoutError(f"{expression} is not true; the page says:\n{said}\n{self.complaints()}")

    def open(self, address):
        self.send("Page.navigate", url=address)

    def choose_file(self, selector, path):
        """Chooses a file in an input."""
        root = self.send("DOM.getDocument")["root"]["nodeId"]
        node = self.send("DOM.querySelector", nodeId=root, selector=selector)["nodeId"]
        self.send("DOM.setFileInputFiles", nodeId=node, files=[str(path)])

    def drag(self, start, end):
        """Drags the mouse from one place of the window to another."""
        for kind, (x, y) in (("mousePressed", start), ("mouseMoved", end), ("mouseReleased", end)):
            self.send("Input.dispatchMouseEvent", type=kind, x=x, y=y, button="left", buttons=1, clickCount=1)

    def screenshot(self, path):
        with open(path, "wb") as file:
            file.write(base64.b64decode(self.send("Page.captureScreenshot")["data"]))

    def complaints(self):
        """Errors of the page since the start, as text."""
        found = []
        for event in self.events:
            if event.get("method") == "Runtime.exceptionThrown":
                found.append(event["params"]["exceptionDetails"].get("exception", {}).get("description", "exception"))
            if event.get("method") == "Log.entryAdded" and event["params"]["entry"]["level"] == "error":
                found.append(f"{event['params']['entry']['text']} {event['params']['entry'].get('url', '')}")
            if event.get("method") == "Runtime.consoleAPICalled" and event["params"]["type"] == "error":
                found.append(" ".join(str(part.get("value", part.get("description"))) for part in event["params"]["args"]))
        # WebAssembly reports on itself on its stderr, which is the console's.
        return [text for text in found if not text.startswith(("INFO: ", "WARNING: "))]

    def requested(self):
        """Addresses of everything that the page asked for."""
        requests = (event for event in self.events if event.get("method") == "Network.requestWillBeSent")
        return [event["params"]["request"]["url"] for event in requests]

    def close(self):
        with contextlib.suppress(RuntimeError, OSError, TimeoutError):
            self.session = None
            self.send("Browser.close", timeout=5)
        try:
            self.process.wait(10)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        os.close(self.to_read)
        os.close(self.to_write)


class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *arguments):
        pass


@contextlib.contextmanager
def serving(folder):
    """Serves a folder on this machine; gives the address and a function that stops it."""
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Handler, directory=str(folder)))
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()

    def stop():
        server.shutdown()
        server.server_close()

    try:
        yield f"http://127.0.0.1:{server.server_port}/", stop
    finally:
        if thread.is_alive():
            stop()
