"""Scoring script of the managed online endpoint: loads a run folder as the model and answers requests."""

import os
from pathlib import Path
from typing import TYPE_CHECKING

from azureml_inference_server_http.api.aml_request import AMLRequest, rawhttp
from azureml_inference_server_http.api.aml_response import AMLResponse

from vae_tf.support.quiet_tensorflow import load_tensorflow

if TYPE_CHECKING:
    from vae_tf.serving.served_model import Service

service: "Service"


def init() -> None:
    """Loads the model, once per worker."""
    global service
    load_tensorflow()

    from vae_tf.serving.served_model import Service, find_run

    service = Service(find_run(Path(os.environ["AZUREML_MODEL_DIR"])).load_model())


@rawhttp
def run(request: AMLRequest) -> AMLResponse:
    """Answers a request."""
    if request.method != "POST":
        return AMLResponse({"message": "The method must be POST."}, 405, json_str=True)
    answer = service.answer(request.stream, request.mimetype, request.args)
    return AMLResponse(answer.body, answer.status, {"Content-Type": answer.content_type})
