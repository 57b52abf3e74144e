"""What an endpoint answers, request by request, beside what the model itself says."""

import base64
import io
import json
from concurrent.futures import ThreadPoolExecutor

import keras
import numpy as np
import pytest
from PIL import Image

import vae_tf
from vae_tf.config import RunConfig
from vae_tf.runs.new_run import create_run_dir
from vae_tf.serving.model_server import MAX_BODY_BYTES, MAX_IMAGES, NUM_SAMPLES, ModelServer, find_run
from vae_tf.support.errors import InputError

SHAPE = (8, 10, 1)
HALF_A_GREY_STEP = 0.5 / 255 + 1e-6
PIXELS = np.random.default_rng(0).integers(0, 256, (5, 8, 10), dtype=np.uint8)
IMAGES = PIXELS[..., None] / np.float32(255)


def png(pixels, file_format="PNG"):
    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, file_format)
    return buffer.getvalue()


def in_base64(file):
    return base64.b64encode(file).decode()


def pixels_of(file):
    with Image.open(io.BytesIO(file)) as image:
        return np.asarray(image)


FILES = [in_base64(png(pixels)) for pixels in PIXELS]


@pytest.fixture(scope="module")
def model():
    keras.utils.set_random_seed(3)
    return vae_tf.build_vae(SHAPE, latent_dim=2, arch="dense", hidden_sizes=(6,), variant="plain")


@pytest.fixture(scope="module")
def service(model):
    return ModelServer(model)


def test_image_files_are_fitted_as_the_run_was_trained(model):
    white = np.full((8, 5), 255, np.uint8)
    wide = np.concatenate([white, PIXELS[0], white], axis=1)  # 8x20, whose centre has the model's 8x10
    body = json.dumps({"action": "encode", "pictures": [FILES[0], in_base64(png(wide))]}).encode()
    latents = {
        fit: json.loads(ModelServer(model, fit).handle(io.BytesIO(body), "application/json", {}).body)["latents"]
        for fit in ("crop", "stretch")
    }
    np.testing.assert_allclose(latents["crop"][1], latents["crop"][0], rtol=1e-5)
    assert np.abs(np.subtract(*latents["stretch"])).max() > 0.01


@pytest.fixture(scope="module")
def ask(service):
    """(action, ...) -> the document of an answer that must be one."""

    def call(action, **document):
        answer = service.handle(io.BytesIO(json.dumps({"action": action, **document}).encode()), "application/json", {})
        assert (answer.status, answer.content_type) == (200, "application/json")
        return json.loads(answer.body)

    return call


@pytest.fixture(scope="module")
def refused(service):
    """(body, ...) -> status and reason of an answer that must be a refusal."""

    def call(body, content_type="application/json", query=None):
        answer = service.handle(io.BytesIO(body), content_type, query or {})
        document = json.loads(answer.body)
        assert set(document) == {"message"}
        assert answer.status in (400, 413)
        assert len(document["message"]) <= 300
        return answer.status, document["message"]

    return call


def test_sample_draws_what_the_model_draws_with_the_seed(ask, model):
    drawn = [pixels_of(base64.b64decode(file)) for file in ask("sample", n=3, seed=7)["pictures"]]
    expected = model.sample(3, seed=7)[..., 0]
    np.testing.assert_allclose(np.array(drawn) / 255, expected, atol=HALF_A_GREY_STEP)


def test_sample_repeats_with_a_seed_and_differs_with_another(ask):
    assert ask("sample", n=2, seed=1) == ask("sample", n=2, seed=1)
    assert ask("sample", n=2, seed=1) != ask("sample", n=2, seed=2)


def test_sample_is_one_image_by_default(ask):
    assert len(ask("sample")["pictures"]) == 1


def test_reconstruct_gives_the_mean_reconstructions(ask, model):
    drawn = [pixels_of(base64.b64decode(file)) for file in ask("reconstruct", pictures=FILES)["pictures"]]
    np.testing.assert_allclose(np.array(drawn) / 255, model.reconstruct(IMAGES)[..., 0], atol=HALF_A_GREY_STEP)


def test_encode_gives_the_posterior_means(ask, model):
    np.testing.assert_allclose(ask("encode", pictures=FILES)["latents"], model.encode(IMAGES), rtol=1e-4, atol=1e-6)


def test_score_is_minus_the_elbo_in_nats(ask, model):
    draws = -model.elbo_terms(IMAGES, num_samples=4000, seed=0).log_likelihood
    kl = keras.ops.convert_to_numpy(model.elbo_terms(IMAGES, seed=0).kl_loss())
    draws = keras.ops.convert_to_numpy(draws)
    scores = ask("score", pictures=FILES)["negative_elbo_nats"]
    np.testing.assert_array_less(np.abs(scores - draws.mean(0) - kl), 5 * draws.std(0) / np.sqrt(NUM_SAMPLES))


def test_score_of_an_image_does_not_depend_on_the_others(ask):
    among = ask("score", pictures=[*FILES * 12, FILES[0]])["negative_elbo_nats"]
    [alone] = ask("score", pictures=FILES[:1])["negative_elbo_nats"]
    assert among[0] == pytest.approx(alone, rel=1e-6)
    assert among[-1] == pytest.approx(alone, rel=1e-6)


@pytest.mark.parametrize("sides", [SHAPE, SHAPE[:2]])
def test_numbers_stand_for_images(ask, sides):
    numbers = [image.reshape(sides).tolist() for image in IMAGES]
    np.testing.assert_allclose(
        ask("encode", pictures=numbers)["latents"], ask("encode", pictures=FILES)["latents"], rtol=1e-5
    )


def test_a_file_of_another_size_and_mode_is_fitted_as_in_training(ask):
    colour = np.full((30, 40, 3), 255, np.uint8)
    numbers = np.ones(SHAPE).tolist()
    for file in (png(colour), png(colour, "JPEG"), png(colour, "WEBP")):
        fitted = ask("encode", pictures=[in_base64(file)])["latents"]
        np.testing.assert_allclose(fitted, ask("encode", pictures=[numbers])["latents"], atol=0.02)


def test_an_image_as_the_body_comes_back_reconstructed_as_an_image(service, ask):
    answer = service.handle(io.BytesIO(png(PIXELS[0])), "image/png", {"action": "reconstruct"})
    assert (answer.status, answer.content_type) == (200, "image/png")
    assert in_base64(answer.body) == ask("reconstruct", pictures=FILES[:1])["pictures"][0]


@pytest.mark.parametrize("action", ["encode", "score"])
def test_an_image_as_the_body_is_answered_in_json(service, ask, action):
    answer = service.handle(io.BytesIO(png(PIXELS[0])), "image/png", {"action": action})
    assert json.loads(answer.body) == ask(action, pictures=FILES[:1])


def test_a_colour_model_answers_in_colour():
    model = vae_tf.build_vae((8, 8, 3), latent_dim=2, arch="dense", hidden_sizes=(6,))
    body = json.dumps({"action": "sample"}).encode()
    [file] = json.loads(ModelServer(model).handle(io.BytesIO(body), "application/json", {}).body)["pictures"]
    assert pixels_of(base64.b64decode(file)).shape == (8, 8, 3)


def test_threads_share_a_service(ask):
    requests = [("sample", {"n": 3, "seed": 5}), *((name, {"pictures": FILES}) for name in ("encode", "score"))] * 20
    alone = [ask(action, **document) for action, document in requests[:3]] * 20
    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(lambda request: ask(request[0], **request[1]), requests)) == alone


def document(**changes):
    return json.dumps({"action": "encode", "pictures": FILES[:1], **changes}).encode()


BOMB = png(np.zeros((5000, 5000), np.uint8))


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "must be JSON"),
        (b"{", "must be JSON"),
        (b"\xff\xfe\x00", "must be JSON"),
        (b"[" * 100_000, "must be JSON"),
        (b"[]", "JSON object"),
        (b"{}", "action must be one of sample, reconstruct, encode, score"),
        (document(action="smaple"), "Did you mean sample?"),
        (document(action=["sample"]), "action must be one of"),
        (document(n=1), "can contain action, pictures, labels. Received: n"),
        (document(self=1), "Received: self"),
        (json.dumps({"action": "sample", "n": 0}).encode(), "n must be"),
        (json.dumps({"action": "sample", "n": 10**9}).encode(), f"at most {MAX_IMAGES}"),
        (json.dumps({"action": "sample", "n": "many"}).encode(), "n must be"),
        (json.dumps({"action": "sample", "n": True}).encode(), "n must not be a boolean"),
        (json.dumps({"action": "sample", "seed": -1}).encode(), "seed must be"),
        (json.dumps({"action": "encode"}).encode(), "pictures is required"),
        (document(pictures=[]), "pictures must be"),
        (document(pictures="cat"), "pictures must be"),
        (document(pictures=FILES[:1] * (MAX_IMAGES + 1)), "pictures must be"),
        (document(pictures=[None]), "base64, or nested lists"),
        (document(pictures=["no base64!"]), "in base64"),
        (document(pictures=[in_base64(b"no image")]), "can't be decoded"),
        (document(pictures=[in_base64(png(PIXELS[0])[:-30])]), "can't be decoded"),
        (document(pictures=[in_base64(BOMB)]), "at most 16,777,216 pixels"),
        (document(pictures=[[]]), "the shape 8x10x1"),
        (document(pictures=[np.zeros((10, 8)).tolist()]), "the shape 8x10x1. Received: 10x8"),
        (document(pictures=[[[0.0], [0.0, 1.0]]]), "rectangular nested list"),
        (document(pictures=[[["a"]]]), "rectangular nested list"),
        (document(pictures=[np.full(SHAPE, 1.5).tolist()]), "[0, 1]"),
        (document(pictures=[np.full(SHAPE, np.nan).tolist()]), "[0, 1]"),
    ],
)
def test_what_can_not_be_answered_is_refused_with_a_reason(refused, body, reason):
    status, message = refused(body)
    assert status == 400
    assert reason in message


def test_a_body_that_is_too_large_is_refused(refused):
    assert refused(b" " * (MAX_BODY_BYTES + 1)) == (413, "The body exceeds the limit of 1,500,000 bytes")


def test_a_body_that_is_no_image_is_refused(refused):
    status, message = refused(b"no image", "image/png", {"action": "encode"})
    assert status == 400
    assert "can't be decoded" in message


def test_an_image_without_an_action_is_refused(refused):
    status, message = refused(png(PIXELS[0]), "image/png")
    assert status == 400
    assert "action must be one of" in message


@pytest.mark.parametrize("inside", [".", "run"])
def test_the_run_is_found_in_the_model_folder(tmp_path, inside):
    run = create_run_dir(tmp_path / inside, overwrite=False)
    run.write_config(RunConfig())
    assert find_run(tmp_path).path.resolve() == run.path.resolve()


def test_a_model_folder_without_a_run_is_refused(tmp_path):
    with pytest.raises(InputError, match="must be or contain exactly one run folder"):
        find_run(tmp_path)


# A run that was told the classes


@pytest.fixture(scope="module")
def conditional():
    keras.utils.set_random_seed(3)
    return vae_tf.build_vae(SHAPE, latent_dim=2, arch="dense", hidden_sizes=(6,), variant="plain", num_classes=3)


@pytest.fixture(scope="module")
def told(conditional):
    """(action, ...) -> status and document."""
    service = ModelServer(conditional)

    def call(action, **document):
        body = io.BytesIO(json.dumps({"action": action, **document}).encode())
        answer = service.handle(body, "application/json", {})
        return answer.status, json.loads(answer.body)

    return call


LABELS = [0, 1, 2, 1, 0]


@pytest.mark.parametrize(("document", "labels"), [({}, [0, 1, 2, 0]), ({"label": 2}, [2, 2, 2, 2])])
def test_samples_are_of_the_class_asked_for_or_of_all_in_turn(told, conditional, document, labels):
    drawn = [pixels_of(base64.b64decode(file)) for file in told("sample", n=4, seed=7, **document)[1]["pictures"]]
    expected = conditional.sample(4, seed=7, labels=labels)[..., 0]
    np.testing.assert_allclose(np.array(drawn) / 255, expected, atol=HALF_A_GREY_STEP)


def test_images_come_with_their_classes(told, conditional):
    latents = told("encode", pictures=FILES, labels=LABELS)[1]["latents"]
    np.testing.assert_allclose(latents, conditional.encode(IMAGES, LABELS), rtol=1e-4, atol=1e-6)


def test_the_class_of_one_image_comes_in_the_query(conditional):
    query = {"action": "reconstruct", "labels": "2"}
    answer = ModelServer(conditional).handle(io.BytesIO(png(PIXELS[0])), "image/png", query)
    expected = conditional.reconstruct(IMAGES[:1], np.array([2]))[0, ..., 0]
    np.testing.assert_allclose(pixels_of(answer.body) / 255, expected, atol=HALF_A_GREY_STEP)


@pytest.mark.parametrize("document", [{}, {"labels": [0]}, {"labels": [0, 1, 3, 1, 0]}, {"labels": []}])
def test_classes_that_do_not_fit_are_refused(told, document):
    status, answer = told("score", pictures=FILES, **document)
    assert status == 400
    assert "labels must contain a class from 0 to 2 for each image" in answer["message"]


def test_classes_for_a_run_without_classes_are_refused(refused):
    body = json.dumps({"action": "sample", "label": 1}).encode()
    assert refused(body) == (400, "This model is unconditional and takes no labels")


def test_a_run_of_rows_is_not_served():
    rows = vae_tf.build_vae((2,), 2, "dense", likelihood="gaussian", hidden_sizes=(4,))
    with pytest.raises(InputError, match="An endpoint needs a model trained on images"):
        ModelServer(rows)
