"""The scoring script under Azure ML's own inference server, on loopback."""

import base64
import contextlib
import http.client
import io
import json
import os
import socket
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import vae_tf
from vae_tf.config import RunConfig
from vae_tf.training.run import run_training

ROOT = Path(vae_tf.__file__).resolve().parents[1]
SMALL = {"dataset": "npz", "arch": "dense", "hidden_sizes": (6,), "latent_dim": 2, "epochs": 1, "sample_every": 1}
PIXELS = np.random.default_rng(0).integers(0, 256, (40, 8, 8), dtype=np.uint8)
START_SECONDS = 180
CLIENTS, REQUESTS = 8, 500


def command(port):
    """As the server's own command does, but on loopback alone: that one binds every address there is."""
    code = f"from azureml_inference_server_http.amlserver_linux import run; run('127.0.0.1', {port}, 1)"
    return [sys.executable, "-c", code]


def environment(model_dir):
    return {
        **os.environ,
        "AML_APP_ROOT": str(ROOT),
        "AZUREML_ENTRY_SCRIPT": str(ROOT / "azure" / "score.py"),
        "AZUREML_MODEL_DIR": str(model_dir),
        "PYTHONPATH": str(ROOT),
    }


def png(pixels):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


FILE = base64.b64encode(png(PIXELS[0])).decode()


def free_port():
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


def send(port, method, path, body=None, content_type="application/json"):
    """Status, content type and body of an answer."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    with contextlib.closing(connection):
        connection.request(method, path, body, {"Content-Type": content_type})
        answer = connection.getresponse()
        return answer.status, answer.headers["Content-Type"], answer.read()


def answers(port):
    try:
        return send(port, "GET", "/")[0] == 200
    except OSError:
        return False


@pytest.fixture(scope="module")
def run_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    np.savez(folder / "tiny.npz", x_train=PIXELS, x_test=PIXELS)
    run_training(RunConfig(**SMALL, data_dir=str(folder / "tiny.npz")), folder / "1" / "run")
    return folder / "1" / "run"


@pytest.fixture(scope="module")
def port(run_dir, tmp_path_factory):
    """Where the server listens, with the model mounted as Azure ML does: the run folder inside the model's."""
    port = free_port()
    log = tmp_path_factory.mktemp("server") / "log.txt"
    with log.open("wb") as file:
        server = subprocess.Popen(
            command(port), cwd=ROOT, env=environment(run_dir.parent), stdout=file, stderr=subprocess.STDOUT
        )
    try:
        deadline = time.monotonic() + START_SECONDS
        while not answers(port):
            assert server.poll() is None, log.read_text()
            assert time.monotonic() < deadline, log.read_text()
            time.sleep(0.1)
        yield port
    finally:
        server.terminate()
        server.wait(60)


@pytest.fixture(scope="module")
def post(port):
    """(document) -> status and document of the answer."""

    def call(document):
        status, content_type, body = send(port, "POST", "/score", json.dumps(document).encode())
        assert content_type == "application/json"
        return status, json.loads(body)

    return call


@pytest.fixture(scope="module")
def model(run_dir):
    return vae_tf.load_run(run_dir).model


def test_sample_answers(post, model):
    status, document = post({"action": "sample", "n": 3, "seed": 4})
    assert status == 200
    drawn = [np.asarray(Image.open(io.BytesIO(base64.b64decode(file)))) for file in document["pictures"]]
    np.testing.assert_allclose(np.array(drawn) / 255, model.sample(3, seed=4)[..., 0], atol=0.51 / 255)


def test_reconstruct_answers_a_image_with_a_image(port, model):
    status, content_type, body = send(port, "POST", "/score?action=reconstruct", png(PIXELS[0]), "image/png")
    assert (status, content_type) == (200, "image/png")
    expected = model.reconstruct(PIXELS[:1, ..., None] / np.float32(255))[0, ..., 0]
    np.testing.assert_allclose(np.asarray(Image.open(io.BytesIO(body))) / 255, expected, atol=0.51 / 255)


def test_encode_answers(post, model):
    status, document = post({"action": "encode", "pictures": [FILE]})
    assert status == 200
    expected = model.encode(PIXELS[:1, ..., None] / np.float32(255))
    np.testing.assert_allclose(document["latents"], expected, rtol=1e-4, atol=1e-6)


def test_score_answers(post):
    status, document = post({"action": "score", "pictures": [FILE, FILE]})
    assert status == 200
    first, second = document["negative_elbo_nats"]
    assert first == pytest.approx(second)
    assert first > 0


@pytest.mark.parametrize(
    ("body", "content_type", "status", "reason"),
    [
        pytest.param(b"{", "application/json", 400, "must be JSON", id="malformed"),
        pytest.param(
            json.dumps({"action": "encode", "pictures": [[[0.5]]]}).encode(),
            "application/json",
            400,
            "must have the shape 8x8x1. Received: 1x1",
            id="wrong-shape",
        ),
        pytest.param(b" " * 8_000_000, "application/json", 413, "the limit of 1,500,000 bytes", id="oversized"),
        pytest.param(b"no image", "image/png", 400, "action must be one of", id="no-action"),
        pytest.param(
            json.dumps({"action": "score", "pictures": [base64.b64encode(b"no image").decode()]}).encode(),
            "application/json",
            400,
            "can't be decoded",
            id="no-image",
        ),
        pytest.param(b'{"action": "sample", "n": 1000000}', "application/json", 400, "n must be", id="absurd-n"),
    ],
)
def test_what_can_not_be_answered_gets_a_reason(port, body, content_type, status, reason):
    given, answered_type, answer = send(port, "POST", "/score", body, content_type)
    assert (given, answered_type) == (status, "application/json")
    assert reason in json.loads(answer)["message"]


def test_a_method_other_than_post_is_refused(port):
    status, _, body = send(port, "GET", "/score")
    assert status == 405
    assert json.loads(body) == {"message": "The method must be POST."}


@pytest.mark.slow
def test_five_hundred_requests_of_eight_clients_all_get_their_answer(post):
    documents = [
        {"action": "sample", "seed": 1},
        {"action": "reconstruct", "pictures": [FILE]},
        {"action": "encode", "pictures": [FILE]},
        {"action": "score", "pictures": [FILE]},
    ]
    alone = [post(document) for document in documents]
    with ThreadPoolExecutor(CLIENTS) as pool:
        told = list(pool.map(lambda number: post(documents[number % 4]), range(REQUESTS)))
    assert told == [alone[number % 4] for number in range(REQUESTS)]


@pytest.mark.slow
def test_a_model_without_a_run_ends_the_server_and_says_why(tmp_path):
    ended = subprocess.run(command(free_port()), cwd=ROOT, env=environment(tmp_path), capture_output=True, text=True)
    assert ended.returncode == 3
    assert "must be or contain exactly one run folder" in ended.stdout
