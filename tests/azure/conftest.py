"""A stand-in for Azure on 127.0.0.1: it answers what a submission asks of the management and the blob service."""

import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import NamedTuple
from urllib.parse import parse_qs, unquote, urlsplit

import jwt
import pytest
import requests
from azure.ai.ml import MLClient
from azure.core.credentials import AccessToken
from azure.core.pipeline.transport import RequestsTransport

# A pipeline's submission looks into the token for whom it is meant.
TOKEN = jwt.encode({"aud": "https://ml.azure.com"}, "a key of this test alone, long enough")
SCOPE = ("the-subscription", "the-group", "the-workspace")
WORKSPACE = "/subscriptions/{}/resourceGroups/{}/providers/Microsoft.MachineLearningServices/workspaces/{}".format(
    *SCOPE
)
CONTAINER = "/the-container"


class Call(NamedTuple):
    method: str
    path: str
    query: dict[str, list[str]]
    headers: dict[str, str]
    body: bytes

    @property
    def json(self):
        return json.loads(self.body)


class StandIn(ThreadingHTTPServer):
    """`calls` holds every request in the order it came."""

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server_port}"
        self.calls = []

    def management(self):
        return [call for call in self.calls if call.path.startswith(WORKSPACE)]

    def blobs(self):
        """The uploaded files by their path in the container."""
        puts = [call for call in self.calls if call.method == "PUT" and call.path.startswith(CONTAINER)]
        return {call.path.removeprefix(CONTAINER + "/"): call.body for call in puts if "comp" not in call.query}

    def submitted_job(self):
        (call,) = [call for call in self.management() if call.method == "PUT" and "/jobs/" in call.path]
        return call.json["properties"]


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        url = urlsplit(self.path)
        call = Call(self.command, unquote(url.path), parse_qs(url.query), dict(self.headers), body)
        self.server.calls.append(call)
        status, content = self.of_blobs(call) if call.path.startswith(CONTAINER) else self.of_management(call)
        self.send_response(status)
        payload = b"" if content is None else json.dumps(content).encode()
        if payload:
            self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(payload)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(payload)

    do_GET = do_PUT = do_POST = do_HEAD = answer  # noqa: N815  # the names that the base class calls

    def log_message(self, *_):
        pass

    def of_blobs(self, call):
        if call.method == "HEAD":  # whether the upload was done before
            return 404, None
        return (200 if "comp" in call.query else 201), None

    def of_management(self, call):
        path = call.path.removeprefix(WORKSPACE)
        if call.method == "PUT":
            return 201, {"id": call.path, "name": path.rpartition("/")[2], **call.json}
        if path.endswith("/startPendingUpload"):
            signed = f"{self.server.url}{CONTAINER}?sp=rcw&sig=made-by-the-service"
            return 200, {
                "pendingUploadType": "TemporaryBlobReference",
                "blobReferenceForConsumption": {
                    "blobUri": f"{self.server.url}{CONTAINER}",
                    "credential": {"credentialType": "SAS", "sasUri": signed},
                },
            }
        if re.fullmatch(r"/codes/[^/]+/versions", path):
            return 200, {"value": []}
        if path == "/data/pictures":
            return 200, {"id": call.path, "properties": {"dataType": "uri_folder", "latestVersion": "3"}}
        if path == "/data/pictures/versions/3":
            uri = "azureml://datastores/workspaceblobstore/paths/pictures"
            return 200, {"id": call.path, "name": "3", "properties": {"dataType": "uri_folder", "dataUri": uri}}
        if path.startswith("/computes/"):
            properties = {"computeType": "AmlCompute", "properties": {"vmSize": "STANDARD_NC4AS_T4_V3"}}
            return 200, {"id": call.path, "name": path.rpartition("/")[2], "properties": properties}
        return 404, {"error": {"code": "NotFound", "message": f"the stand-in does not know {call.method} {call.path}"}}


class Redirected(requests.adapters.HTTPAdapter):
    """Sends what is meant for Azure to the stand-in."""

    def __init__(self, url):
        super().__init__()
        self.place = urlsplit(url)

    def send(self, request, **options):
        request.url = urlsplit(request.url)._replace(scheme=self.place.scheme, netloc=self.place.netloc).geturl()
        return super().send(request, **options)


class Caller:
    """The signed-in user."""

    def get_token(self, *_, **__):
        return AccessToken(TOKEN, 4102444800)


@pytest.fixture(scope="module")
def azure(name):
    """The stand-in and a client that takes it for Azure; new for each `name`."""
    server = StandIn()
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    session = requests.Session()
    session.mount("https://", Redirected(server.url))
    transport = RequestsTransport(session=session, session_owner=False)
    yield server, MLClient(Caller(), *SCOPE, transport=transport, enable_telemetry=False, show_progress=False)
    server.shutdown()
    thread.join()
    server.server_close()
