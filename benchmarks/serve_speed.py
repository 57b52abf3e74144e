"""Time azure/score.py under Azure ML's inference server, with one worker on the loopback interface.

    python benchmarks/serve_speed.py runs/x

Needs `pip install -e ".[dev]"`.
"""

import argparse
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
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

ROOT = Path(__file__).parents[1]


@contextlib.contextmanager
def server(run: Path) -> Iterator[int]:
    """Yields the port of a server that has loaded the run."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port: int = free.getsockname()[1]
    environment = {
        **os.environ,
        "AML_APP_ROOT": str(ROOT),
        "AZUREML_ENTRY_SCRIPT": str(ROOT / "azure" / "score.py"),
        "AZUREML_MODEL_DIR": str(run.resolve()),
        "PYTHONPATH": str(ROOT),
    }
    code = f"from azureml_inference_server_http.amlserver_linux import run; run('127.0.0.1', {port}, 1)"
    quiet = subprocess.DEVNULL
    process = subprocess.Popen([sys.executable, "-c", code], env=environment, stdout=quiet, stderr=quiet)
    try:
        while not _answers(port):
            if process.poll() is not None:
                raise SystemExit("the server ended before it answered: is this a finished run?")
            time.sleep(0.1)
        yield port
    finally:
        process.terminate()
        process.wait()


def _answers(port: int) -> bool:
    try:
        with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port)) as connection:
            connection.request("GET", "/")
            return connection.getresponse().status == 200
    except OSError:
        return False


def seconds(port: int, document: dict[str, Any]) -> float:
    """Returns how long one request takes."""
    began = time.perf_counter()
    with contextlib.closing(http.client.HTTPConnection("127.0.0.1", port, timeout=120)) as connection:
        connection.request("POST", "/score", json.dumps(document), {"Content-Type": "application/json"})
        response = connection.getresponse()
        body = response.read()
    if response.status != 200:
        raise SystemExit(body.decode())
    return time.perf_counter() - began


def main() -> None:
    """Sends the requests and prints the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=Path, help="run folder")
    parser.add_argument("--requests", type=int, default=500)
    parser.add_argument("--clients", type=int, default=8)
    options = parser.parse_args()
    file = io.BytesIO()
    Image.fromarray(np.random.default_rng(0).integers(0, 256, (50, 50), np.uint8)).save(file, "PNG")
    image = base64.b64encode(file.getvalue()).decode()
    requests = {"sample": {"action": "sample", "seed": 1}}
    requests |= {action: {"action": action, "pictures": [image]} for action in ("reconstruct", "encode", "score")}
    with server(options.run) as port:
        for action, document in requests.items():
            alone = np.median([seconds(port, document) for _ in range(50)])
            began = time.perf_counter()
            with ThreadPoolExecutor(options.clients) as pool:
                times = list(pool.map(lambda document: seconds(port, document), [document] * options.requests))
            rate = options.requests / (time.perf_counter() - began)
            median, late = np.quantile(times, (0.5, 0.95))
            print(
                f"{action:12} alone {1e3 * alone:6.1f} ms   {options.clients} clients: median {1e3 * median:6.1f} ms, "
                f"95% within {1e3 * late:6.1f} ms, {rate:6.1f} requests/s"
            )


if __name__ == "__main__":
    main()
