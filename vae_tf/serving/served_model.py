"""Answers the requests of an endpoint: a status and a document for every possible body.

A request is a JSON object, and so is the answer. An image is a file (PNG, JPEG, ...) in base64, fitted to the model's
size as in training, or nested lists of numbers in [0, 1] in exactly the model's shape:

    {"action": "sample", "n": 4, "seed": 0}               -> {"pictures": [PNG, ...]}
    {"action": "reconstruct", "pictures": [picture, ...]} -> {"pictures": [PNG, ...]}
    {"action": "encode", "pictures": [picture, ...]}      -> {"latents": [[...], ...]}
    {"action": "score", "pictures": [picture, ...]}       -> {"negative_elbo_nats": [...]}

The body can also be the file of a single image, with `Content-Type: image/...` and the action in the query, such as
`?action=score`; a reconstruction is then returned as a PNG. A request that can't be answered gets status 400 or 413 and
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

from vae_tf.backend.batches import in_batches
from vae_tf.backend.compiled import compiled_for
from vae_tf.config import LARGEST_SEED, Config
from vae_tf.data.modality import IMAGE, modality_of
from vae_tf.data.sources.images import FORMATS, read_image
from vae_tf.metrics.elbo import images_per_step
from vae_tf.model.vae import VAE
from vae_tf.runs.run_dir import RunDir
from vae_tf.support.errors import InputError
from vae_tf.support.names import check_name

LARGEST_BODY = 1_500_000  # bytes: enough for LARGEST_NUM images of about 17 kB, in base64
LARGEST_NUM = 64
LARGEST_PIXELS = 2**24  # a small file can decompress to more than fits in memory
NUM_DRAWS = 4
LONGEST_REASON = 300

PNG_TYPE = "image/png"


def _split(value: object) -> object:
    """Splits a text at its commas: in the query of an image, a list of numbers comes as text."""
    return value.split(",") if isinstance(value, str) else value


class SampleRequest(Config):
    """A request for samples from the prior."""

    action: Literal["sample"]
    n: int = Field(1, ge=1, le=LARGEST_NUM)
    label: int | None = Field(None, ge=0)
    seed: int = Field(0, ge=0, le=LARGEST_SEED)


class PicturesRequest(Config):
    """A request about the images in its body."""

    action: Literal["reconstruct", "encode", "score"]
    pictures: Annotated[list[Any], Field(min_length=1, max_length=LARGEST_NUM)]
    labels: Annotated[list[Annotated[int, Field(ge=0)]], BeforeValidator(_split)] | None = None


REQUESTS: dict[str, type[SampleRequest | PicturesRequest]] = {
    "sample": SampleRequest,
    "reconstruct": PicturesRequest,
    "encode": PicturesRequest,
    "score": PicturesRequest,
}


class Answer(NamedTuple):
    """The answer to a request."""

    status: int
    body: bytes
    content_type: str = "application/json"


class _TooLargeError(InputError):
    """The body is larger than the limit."""


class Service:
    """Answers requests from one trained model.

    It keeps no state between requests, and always gives the same answer to the same request, so threads can share it.

    Args:
        model: A trained model.
    """

    def __init__(self, model: VAE) -> None:
        def encode(x: keras.KerasTensor, labels: keras.KerasTensor | None = None) -> keras.KerasTensor:
            return model.latents.representation(x, labels)

        def decode(z: keras.KerasTensor, labels: keras.KerasTensor | None = None) -> keras.KerasTensor:
            return model.likelihood.mean(model.latents.decode(z, labels))

        def score(x: keras.KerasTensor, labels: keras.KerasTensor | None = None) -> keras.KerasTensor:
            # The same noise for every image, so that its score does not depend on its position in the request.
            seeds = ops.zeros((ops.shape(x)[0], 2), "int32")
            return model.elbo_terms(x, labels=labels, num_samples=NUM_DRAWS, seed=seeds).negative_elbo()

        if modality_of(model.example_shape) is not IMAGE:
            raise InputError(f"An endpoint serves a run of images. Received: examples of shape {model.example_shape}")
        self._latents = model.latents
        self._num_classes = model.num_classes
        self._shape: tuple[int, int, int] = model.example_shape
        step, conditional = images_per_step(model, NUM_DRAWS), model.num_classes is not None
        self._encode = _compiled(encode, self._shape, step, conditional)
        self._decode = _compiled(decode, (model.latents.latent_dim,), step, conditional)
        self._score = _compiled(score, self._shape, step, conditional)

    def answer(self, stream: IO[bytes], content_type: str, query: Mapping[str, str]) -> Answer:
        """Returns the answer to a request.

        Args:
            stream: The body.
            content_type: Content type of the body; anything that is not an image is read as JSON.
            query: The parameters after the `?`, used if the body is an image.
        """
        try:
            body = _read(stream)
            if not content_type.startswith("image/"):
                return _json_answer(200, _in_json(self._performed(_request(_json(body)))))
            result = self._performed(_request({**query, "pictures": [body]}))
            if "pictures" in result:
                return Answer(200, _png(result["pictures"][0]), PNG_TYPE)
            return _json_answer(200, _in_json(result))
        except InputError as error:
            status = 413 if isinstance(error, _TooLargeError) else 400
            return _json_answer(status, {"message": str(error)[:LONGEST_REASON]})

    def _performed(self, request: SampleRequest | PicturesRequest) -> dict[str, np.ndarray]:
        if isinstance(request, SampleRequest):
            latents = ops.convert_to_numpy(self._latents.sample(request.n, None, request.seed))
            return {"pictures": self._decode(latents, self._sample_labels(request))}
        pictures = np.stack([_picture(item, self._shape) for item in request.pictures])
        labels = self._checked_labels(request.labels, len(pictures))
        if request.action == "score":
            return {"negative_elbo_nats": self._score(pictures, labels)}
        latents = self._encode(pictures, labels)
        return {"latents": latents} if request.action == "encode" else {"pictures": self._decode(latents, labels)}

    def _sample_labels(self, request: SampleRequest) -> np.ndarray | None:
        if request.label is None:
            return None if self._num_classes is None else np.arange(request.n) % self._num_classes
        return self._checked_labels([request.label] * request.n, request.n)

    def _checked_labels(self, labels: list[int] | None, count: int) -> np.ndarray | None:
        """Returns the class of each image; a conditional run requires classes, any other run refuses them."""
        if self._num_classes is None:
            if labels is not None:
                raise InputError("Labels are for a run trained with --conditional. Received: labels for another")
            return None
        if labels is None or len(labels) != count or max(labels) >= self._num_classes:
            raise InputError(
                f"labels must be a class from 0 to {self._num_classes - 1} for each picture. Received: {labels}"
            )
        return np.array(labels)


def find_run(folder: Path) -> RunDir:
    """Returns the run folder: `folder` itself, or the only one in it, as Azure ML mounts a model.

    Raises:
        InputError: There is no run folder, or more than one.
    """
    found = []
    for place in (folder, *sorted(path for path in folder.glob("*") if path.is_dir())):
        try:
            found.append(RunDir.open(place))
        except InputError:
            continue
    if len(found) != 1:
        raise InputError(f"The model must be one run folder, or hold one. Received: {folder} ({len(found)} in it)")
    return found[0]


def _compiled(
    function: Callable[..., keras.KerasTensor], shape: tuple[int, ...], step: int, conditional: bool
) -> Callable[[np.ndarray, np.ndarray | None], np.ndarray]:
    """Returns the function for any number of examples of a shape, run on `step` at a time to bound memory.

    It is compiled now, not while a client waits. Keras's `predict` would take forty milliseconds to start.
    """
    shapes, dtypes = [(None, *shape), (None,)], ["float32", "int64"]
    count = 2 if conditional else 1
    compiled = compiled_for(function, shapes[:count], dtypes[:count])

    def in_steps(values: np.ndarray, labels: np.ndarray | None) -> np.ndarray:
        return in_batches(compiled, [values] if labels is None else [values, labels], step)

    in_steps(np.zeros((1, *shape), np.float32), np.zeros(1, np.int64) if conditional else None)
    return in_steps


def _read(stream: IO[bytes]) -> bytes:
    body = stream.read(LARGEST_BODY + 1)
    if len(body) <= LARGEST_BODY:
        return body
    while stream.read(LARGEST_BODY):  # a client that is still sending does not read the answer
        pass
    raise _TooLargeError(f"The body must have at most {LARGEST_BODY:,} bytes. Received: more")


def _json(body: bytes) -> dict[str, Any]:
    try:
        document = json.loads(body)
    except (ValueError, RecursionError) as error:
        raise InputError(f"The body must be JSON. Received: {error}") from None
    if not isinstance(document, dict):
        raise InputError(f"The body must be a JSON object. Received: a {type(document).__name__}")
    return document


def _request(document: Mapping[str, Any]) -> SampleRequest | PicturesRequest:
    action = check_name("action", str(document.get("action")), REQUESTS)
    fields = REQUESTS[action].model_fields
    if unknown := sorted(set(document) - set(fields)):
        raise InputError(f"A request to {action} takes {', '.join(fields)}. Received: {unknown[0]}")
    return REQUESTS[action](**document)


def _picture(item: object, shape: tuple[int, int, int]) -> np.ndarray:
    """Returns an image of a request as float32 `(H, W, C)` in [0, 1]."""
    if isinstance(item, list):
        return _numbers(item, shape)
    if isinstance(item, str):
        try:
            item = base64.b64decode(item, validate=True)
        except ValueError as error:
            raise InputError(f"A picture must be a file in base64. Received: other text ({error})") from None
    if not isinstance(item, bytes):
        raise InputError(f"A picture must be a file in base64 or lists of numbers. Received: {item}")
    return _decoded(item, shape)


def _numbers(item: list[Any], shape: tuple[int, int, int]) -> np.ndarray:
    try:
        values = np.asarray(item, np.float32)
    except (ValueError, TypeError, OverflowError) as error:
        raise InputError(f"A picture must be lists of numbers of one length. Received: {error}") from None
    if values.shape not in ({shape, shape[:2]} if shape[2] == 1 else {shape}):
        wanted, given = ("x".join(map(str, sides)) for sides in (shape, values.shape))
        raise InputError(f"A picture must have the shape {wanted}. Received: {given}")
    if not (np.isfinite(values).all() and values.min() >= 0 and values.max() <= 1):
        raise InputError("The numbers of a picture must lie in [0, 1]. Received: others")
    return values.reshape(shape)


def _decoded(file: bytes, shape: tuple[int, int, int]) -> np.ndarray:
    try:
        with Image.open(io.BytesIO(file), formats=FORMATS) as image:
            width, height = image.size
        if width * height <= LARGEST_PIXELS:
            return read_image(io.BytesIO(file), shape).astype(np.float32) / 255
    except Exception:  # Pillow raises many kinds of errors if the bytes are not an image
        raise InputError(f"A picture must be a {', '.join(FORMATS)} file that opens. Received: another") from None
    raise InputError(f"A picture must have at most {LARGEST_PIXELS:,} pixels. Received: {width}x{height}")


def _png(picture: np.ndarray) -> bytes:
    """Returns a PNG of an image `(H, W, C)`, with values outside [0, 1] clipped."""
    pixels = np.rint(np.clip(picture, 0, 1) * 255).astype(np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(pixels[..., 0] if pixels.shape[-1] == 1 else pixels).save(buffer, "PNG")
    return buffer.getvalue()


def _in_json(result: dict[str, np.ndarray]) -> dict[str, Any]:
    if "pictures" in result:
        return {"pictures": [base64.b64encode(_png(picture)).decode() for picture in result["pictures"]]}
    return {name: values.tolist() for name, values in result.items()}


def _json_answer(status: int, document: dict[str, Any]) -> Answer:
    return Answer(status, json.dumps(document).encode())
