"""The example server: clients at once get the answers of one, and what is no picture is refused."""

import concurrent.futures
import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import cv2
import pytest

from kfacealign import FaceLandmarks
from kfacealign.data import SyntheticFaces, image_files

pytest.importorskip("fastapi")
pytest.importorskip("uvicorn")
ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def url():
    """Of the server, started as its README says."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = ["-m", "uvicorn", "serve:app", "--app-dir", "examples/serve", "--port", str(port), "--log-level", "error"]
    process = subprocess.Popen([sys.executable, *command], cwd=ROOT, env={**os.environ, "PYTHONPATH": str(ROOT)})
    try:
        until = time.monotonic() + 120
        while time.monotonic() < until and process.poll() is None:
            try:
                socket.create_connection(("127.0.0.1", port), timeout=1).close()
                break
            except OSError:
                time.sleep(0.1)
        yield f"http://127.0.0.1:{port}/faces"
    finally:
        process.terminate()
        process.wait(30)


def posted(url, content):
    """Status and answer."""
    try:
        with urllib.request.urlopen(urllib.request.Request(url, data=content), timeout=120) as response:
            return response.status, json.load(response)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_eight_clients_at_once_get_the_answers_of_one(url):
    source = SyntheticFaces(3, size=256)
    contents = [cv2.imencode(".png", source.render(number).image[..., ::-1])[1].tobytes() for number in range(4)]
    landmarker = FaceLandmarks(threads=1)
    expected = [[face.to_dict() for face in landmarker(image_files.decode(content))] for content in contents]
    assert [len(faces) for faces in expected] == [1] * 4
    assert [posted(url, content) for content in contents] == [(200, faces) for faces in expected]
    with concurrent.futures.ThreadPoolExecutor(8) as clients:
        answers = list(clients.map(lambda number: posted(url, contents[number % 4]), range(24)))
    assert answers == [(200, expected[number % 4]) for number in range(24)]


def test_what_is_no_picture_is_refused(url):
    assert posted(url, b"no picture")[0] == 422
    status, answer = posted(url, b"")
    assert status == 422 and "empty" in answer["detail"]
    assert posted(url, bytes(2**25 + 1))[0] == 413
