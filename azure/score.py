"""Scoring script of the managed online endpoint: loads the model from a run folder and handles requests."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from azureml_inference_server_http.api.aml_request import AMLRequest, rawhttp
from azureml_inference_server_http.api.aml_response import AMLResponse

from vae_tf.support.quiet_tensorflow import load_tensorflow

if TYPE_CHECKING:
    from vae_tf.serving.model_server import ModelServer

server: "ModelServer"


def init() -> None:
    """Loads the model, once per worker."""
    global server
    load_tensorflow()

    from vae_tf.serving.model_server import ModelServer, find_run

    folder = find_run(Path(os.environ["AZUREML_MODEL_DIR"]))
    server = ModelServer(folder.load_model(), folder.read_config().image_fit)


@rawhttp
def run(request: AMLRequest) -> AMLResponse:
    """Handles a request."""
    if request.method != "POST":
        return AMLResponse({"message": "The method must be POST."}, 405, json_str=True)
    response = server.handle(request.stream, request.mimetype, request.args)
    return AMLResponse(response.body, response.status, {"Content-Type": response.content_type})
