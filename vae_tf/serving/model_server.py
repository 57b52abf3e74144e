"""Handles the requests to an endpoint: every request body, valid or not, gets a response with a status code.

The request and the response are JSON objects. An image is a file (PNG, JPEG, ...) in base64, which is resized to the
model's input size as in training, or nested lists of numbers in [0, 1] with exactly the model's input shape:

    {"action": "sample", "n": 4, "seed": 0}             -> {"pictures": [PNG, ...]}
    {"action": "reconstruct", "pictures": [image, ...]} -> {"pictures": [PNG, ...]}
    {"action": "encode", "pictures": [image, ...]}      -> {"latents": [[...], ...]}
    {"action": "score", "pictures": [image, ...]}       -> {"negative_elbo_nats": [...]}

The body can also be a single image file, with `Content-Type: image/...` and the action in the query, such as
`?action=score`; a reconstruction is then returned as a PNG. An invalid request gets status 400 or 413 and
`{"message": reason}`.
"""

import base64
import io
import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import IO, Annotated, Any, Literal, NamedTuple

import keras
import numpy as np
from keras import ops
from PIL import Image
from pydantic import BeforeValidator, Field

from vae_tf.backend.batches import map_batches
from vae_tf.backend.compiled import compile_for_shapes
from vae_tf.config import MAX_SEED, Config
from vae_tf.config.data import Fit
from vae_tf.data.modality import IMAGE, get_modality
from vae_tf.data.sources.images import FORMATS, read_image
from vae_tf.metrics.elbo import max_batch_size
from vae_tf.model.vae import VAE
from vae_tf.runs.run_dir import RunDir
from vae_tf.support.errors import InputError
from vae_tf.support.names import check_name

MAX_BODY_BYTES = 1_500_000  # enough for MAX_IMAGES images of about 17 kB, in base64
MAX_IMAGES = 64
MAX_PIXELS = 2**24  # a small file can decompress to more than fits in memory
NUM_SAMPLES = 4
MAX_REASON_LENGTH = 300

PNG_TYPE = "image/png"


def _split_list(value: object) -> object:
    """Splits a comma-separated string: query parameters carry lists as strings."""
    return value.split(",") if isinstance(value, str) else value


class SampleRequest(Config):
    """A request for samples from the prior."""

    action: Literal["sample"]
    n: int = Field(1, ge=1, le=MAX_IMAGES)
    label: int | None = Field(None, ge=0)
    seed: int = Field(0, ge=0, le=MAX_SEED)


class ImagesRequest(Config):
    """A request to reconstruct, encode or score images."""

    action: Literal["reconstruct", "encode", "score"]
    pictures: Annotated[list[Any], Field(min_length=1, max_length=MAX_IMAGES)]
    labels: Annotated[list[Annotated[int, Field(ge=0)]], BeforeValidator(_split_list)] | None = None


REQUESTS: dict[str, type[SampleRequest | ImagesRequest]] = {
    "sample": SampleRequest,
    "reconstruct": ImagesRequest,
    "encode": ImagesRequest,
    "score": ImagesRequest,
}


class Response(NamedTuple):
    """The response to a request."""

    status: int
    body: bytes
    content_type: str = "application/json"


class _TooLargeError(InputError):
    """The body of a request exceeds the size limit."""


class ModelServer:
    """Handles requests to one trained model.

    It keeps no state between requests, and always returns the same response to the same request, so that threads can
    share it.

    Args:
        model: A trained model.
        fit: How image files of another aspect ratio are resized to the model's input size: the `image_fit` of the run.
    """

    def __init__(self, model: VAE, fit: Fit = "stretch") -> None:
        def encode(x: keras.KerasTensor, labels: keras.KerasTensor | None = None) -> keras.KerasTensor:
            return model.latents.representation(x, labels)

        def decode(z: keras.KerasTensor, labels: keras.KerasTensor | None = None) -> keras.KerasTensor:
            return model.likelihood.mean(model.latents.decode(z, labels))

        def score(x: keras.KerasTensor, labels: keras.KerasTensor | None = None) -> keras.KerasTensor:
            # Use the same noise for every image, so that its score does not depend on its position in the request.
            seeds = ops.zeros((ops.shape(x)[0], 2), "int32")
            return model.elbo_terms(x, labels=labels, num_samples=NUM_SAMPLES, seed=seeds).negative_elbo()

        if get_modality(model.example_shape) is not IMAGE:
            raise InputError(
                f"An endpoint needs a model trained on images. Received: example_shape={model.example_shape}"
            )
        self._latents = model.latents
        self._fit: Fit = fit
        self._num_classes = model.num_classes
        self._shape: tuple[int, int, int] = model.example_shape
        step, conditional = max_batch_size(model, NUM_SAMPLES), model.num_classes is not None
        self._encode = _compile(encode, self._shape, step, conditional)
        self._decode = _compile(decode, (model.latents.latent_dim,), step, conditional)
        self._score = _compile(score, self._shape, step, conditional)

    def handle(self, stream: IO[bytes], content_type: str, query: Mapping[str, str]) -> Response:
        """Returns the response to a request.

        Args:
            stream: The body.
            content_type: Content type of the body; anything that is not an image is read as JSON.
            query: The query parameters of the URL; they are used only if the body is an image.
        """
        try:
            body = _read_body(stream)
            if not content_type.startswith("image/"):
                return _json_response(200, _to_json(self._execute(_parse_request(_parse_json(body)))))
            result = self._execute(_parse_request({**query, "pictures": [body]}))
            if "pictures" in result:
                return Response(200, _encode_png(result["pictures"][0]), PNG_TYPE)
            return _json_response(200, _to_json(result))
        except InputError as error:
            status = 413 if isinstance(error, _TooLargeError) else 400
            return _json_response(status, {"message": str(error)[:MAX_REASON_LENGTH]})

    def _execute(self, request: SampleRequest | ImagesRequest) -> dict[str, np.ndarray]:
        if isinstance(request, SampleRequest):
            latents = ops.convert_to_numpy(self._latents.sample(request.n, None, request.seed))
            return {"pictures": self._decode(latents, self._sample_labels(request))}
        images = np.stack([_parse_image(item, self._shape, self._fit) for item in request.pictures])
        labels = self._check_labels(request.labels, len(images))
        if request.action == "score":
            return {"negative_elbo_nats": self._score(images, labels)}
        latents = self._encode(images, labels)
        return {"latents": latents} if request.action == "encode" else {"pictures": self._decode(latents, labels)}

    def _sample_labels(self, request: SampleRequest) -> np.ndarray | None:
        if request.label is None:
            return None if self._num_classes is None else np.arange(request.n) % self._num_classes
        return self._check_labels([request.label] * request.n, request.n)

    def _check_labels(self, labels: list[int] | None, count: int) -> np.ndarray | None:
        """Returns the class of each image; a conditional model requires classes, any other model rejects them."""
        if self._num_classes is None:
            if labels is not None:
                raise InputError("This model is unconditional and takes no labels")
            return None
        if labels is None or len(labels) != count or max(labels) >= self._num_classes:
            raise InputError(
                f"labels must contain a class from 0 to {self._num_classes - 1} for each image. Received: {labels}"
            )
        return np.array(labels)


def find_run(folder: Path) -> RunDir:
    """Returns the run folder of a model that Azure ML has mounted: `folder` itself, or the only run folder in it.

    Raises:
        InputError: There is no run folder, or more than one.
    """
    runs = []
    for path in (folder, *sorted(entry for entry in folder.glob("*") if entry.is_dir())):
        try:
            runs.append(RunDir.open(path))
        except InputError:
            continue
    if len(runs) != 1:
        raise InputError(
            f"The model must be or contain exactly one run folder. Received: {folder}, with {len(runs)} run folders"
        )
    return runs[0]


def _compile(
    function: Callable[..., keras.KerasTensor], shape: tuple[int, ...], batch_size: int, conditional: bool
) -> Callable[[np.ndarray, np.ndarray | None], np.ndarray]:
    """Compiles a function for any number of examples of a shape; it processes `batch_size` of them at a time.

    Compiling happens here, so that the first request does not wait for it. Keras's `predict` would add about 40 ms to
    every request.
    """
    shapes, dtypes = [(None, *shape), (None,)], ["float32", "int64"]
    count = 2 if conditional else 1
    compiled = compile_for_shapes(function, shapes[:count], dtypes[:count])

    def call_in_batches(values: np.ndarray, labels: np.ndarray | None) -> np.ndarray:
        return map_batches(compiled, [values] if labels is None else [values, labels], batch_size)

    call_in_batches(np.zeros((1, *shape), np.float32), np.zeros(1, np.int64) if conditional else None)
    return call_in_batches


def _read_body(stream: IO[bytes]) -> bytes:
    body = stream.read(MAX_BODY_BYTES + 1)
    if len(body) <= MAX_BODY_BYTES:
        return body
    while stream.read(MAX_BODY_BYTES):  # a client does not read the response while it is still sending
        pass
    raise _TooLargeError(f"The body exceeds the limit of {MAX_BODY_BYTES:,} bytes")


def _parse_json(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InputError(f"The body must be JSON. Received: {error}") from None
    if not isinstance(document, dict):
        raise InputError(f"The body must be a JSON object. Received: a {type(document).__name__}")
    return document


def _parse_request(document: Mapping[str, Any]) -> SampleRequest | ImagesRequest:
    action = check_name("action", str(document.get("action")), REQUESTS)
    fields = REQUESTS[action].model_fields
    if unknown := sorted(set(document) - set(fields)):
        raise InputError(f"A request to {action} can contain {', '.join(fields)}. Received: {unknown[0]}")
    return REQUESTS[action](**document)


def _parse_image(item: object, shape: tuple[int, int, int], fit: Fit) -> np.ndarray:
    """Returns an image in a request as float32 `(H, W, C)` in [0, 1]."""
    if isinstance(item, list):
        return _parse_numbers(item, shape)
    if isinstance(item, str):
        try:
            item = base64.b64decode(item, validate=True)
        except ValueError as error:
            raise InputError(f"An image must be a file in base64 ({error})") from None
    if not isinstance(item, bytes):
        raise InputError(f"An image must be a file in base64, or nested lists of numbers. Received: {item}")
    return _decode_image(item, shape, fit)


def _parse_numbers(item: list[Any], shape: tuple[int, int, int]) -> np.ndarray:
    try:
        values = np.asarray(item, np.float32)
    except (ValueError, TypeError, OverflowError) as error:
        raise InputError(f"An image must be a rectangular nested list of numbers ({error})") from None
    if values.shape not in ({shape, shape[:2]} if shape[2] == 1 else {shape}):
        required, received = ("x".join(map(str, sides)) for sides in (shape, values.shape))
        raise InputError(f"An image must have the shape {required}. Received: {received}")
    if not (np.isfinite(values).all() and values.min() >= 0 and values.max() <= 1):
        raise InputError(f"Pixel values must lie in [0, 1]. Received: {values.min():g} to {values.max():g}")
    return values.reshape(shape)


def _decode_image(file: bytes, shape: tuple[int, int, int], fit: Fit) -> np.ndarray:
    try:
        with Image.open(io.BytesIO(file), formats=FORMATS) as image:
            width, height = image.size
        if width * height <= MAX_PIXELS:
            return read_image(io.BytesIO(file), shape, fit).astype(np.float32) / 255
    except Exception:  # Pillow raises many kinds of errors if the bytes are not an image
        raise InputError(f"An image must be a valid {', '.join(FORMATS)} file; this one can't be decoded") from None
    raise InputError(f"An image must have at most {MAX_PIXELS:,} pixels. Received: {width}x{height}")


def _encode_png(image: np.ndarray) -> bytes:
    """Encodes an image `(H, W, C)` as a PNG; values outside [0, 1] are clipped."""
    pixels = np.rint(np.clip(image, 0, 1) * 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(buffer, "PNG")
    return buffer.getvalue()


def _to_json(result: dict[str, np.ndarray]) -> dict[str, Any]:
    if "pictures" in result:
        return {"pictures": [base64.b64encode(_encode_png(image)).decode() for image in result["pictures"]]}
    return {name: values.tolist() for name, values in result.items()}


def _json_response(status: int, document: dict[str, Any]) -> Response:
    return Response(status, json.dumps(document).encode())
