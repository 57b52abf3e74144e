"""What every config has: it is frozen, and its faults are one line."""

from types import SimpleNamespace

import pytest

from vae_tf.config import DataConfig, ModelConfig, RunConfig, base
from vae_tf.support.errors import InputError


def error_of(values):
    with pytest.raises(InputError) as caught:
        RunConfig(**values)
    return str(caught.value)


def test_a_config_can_not_be_changed():
    with pytest.raises(ValueError, match="frozen"):
        RunConfig().epochs = 5


@pytest.mark.parametrize(
    ("key", "nearest"),
    [("latent_dims", "latent_dim"), ("leraning_rate", "learning_rate"), ("image-size", "image_size")],
)
def test_unknown_key_names_the_nearest_key(key, nearest):
    assert error_of({key: 1}) == f"Unknown config key '{key}'. Did you mean {nearest}?"


def test_unknown_key_that_resembles_none_gets_no_suggestion():
    assert error_of({"qqqq": 1}) == "Unknown config key 'qqqq'"


def test_a_key_named_self_is_unknown_as_any_other():
    assert error_of({"self": 1}).startswith("Unknown config key 'self'")


@pytest.mark.parametrize("values", [{"latent_dim": "a\nb"}, {"dataset": "a\nb"}, {"a\nb": 1}, {"data_dir": ["a\nb"]}])
def test_a_line_break_in_what_came_does_not_break_the_message(values):
    assert len(error_of(values).splitlines()) == 1


def test_a_name_that_is_nearly_right_gets_a_suggestion():
    assert error_of({"dataset": "fashion_mnst"}).endswith("Did you mean fashion_mnist?")


def test_a_fault_of_a_config_made_in_python_is_one_line():
    with pytest.raises(InputError, match=r"^latent_dim must be at least 1\. Received: latent_dim=0$"):
        RunConfig(latent_dim=0)


@pytest.mark.parametrize("digits", [5000, 10_000])
def test_a_number_too_long_to_write_is_refused(digits):
    assert error_of({"seed": 10**digits}) == (
        "seed must be at most 2147483647. Received: seed=an integer with thousands of digits"
    )


def test_a_long_value_is_shown_by_its_beginning():
    assert error_of({"seed": "x" * 10_000}) == f"seed must be an integer. Received: seed={'x' * 200}"


@pytest.mark.parametrize("path", ["a\nb", "a\0b", "a\x1b[31m"])
def test_a_path_with_control_characters_is_refused(path):
    message = error_of({"dataset": "npz", "data_dir": path})

    assert message == f"A path must not contain control characters or line breaks. Received: {path!r}"


RESERVED = ["runs/NUL", "aux.txt", "runs/a:b", "C:/data/x.npz:stream", "what?.npz", "x.", "x /y", "lpt1/x"]
FREE = [
    "C:/data/x.npz",
    r"C:\data\x.npz",
    "D:x",
    r"\\server\share\x",
    "..",
    "../x.y/./z",
    "null",
    "console.txt",
    "com10.npz",
]


@pytest.mark.parametrize("path", RESERVED)
def test_windows_refuses_reserved_names(monkeypatch, path):
    assert RunConfig(dataset="npz", data_dir=path)
    monkeypatch.setattr(base, "sys", SimpleNamespace(platform="win32"))

    assert error_of({"dataset": "npz", "data_dir": path}) == (
        'On Windows, a name in a path must not contain < > : " | ? *, end in a dot or a space, or be a device such as '
        f"NUL. Received: {path}"
    )


@pytest.mark.parametrize("path", FREE)
def test_windows_lets_other_paths_pass(monkeypatch, path):
    monkeypatch.setattr(base, "sys", SimpleNamespace(platform="win32"))
    assert RunConfig(dataset="npz", data_dir=path)


def test_a_link_to_itself_is_refused(tmp_path):
    (tmp_path / "loop").symlink_to("loop")

    try:
        (tmp_path / "loop").resolve()
    except RuntimeError:
        assert "loop" in error_of({"dataset": "npz", "data_dir": str(tmp_path / "loop")})
    else:  # newer Pythons take it for a path like others
        assert RunConfig(dataset="npz", data_dir=str(tmp_path / "loop"))


def test_configs_refuse_the_keys_of_other_configs():
    with pytest.raises(InputError, match="latent_dim"):
        DataConfig(latent_dim=3)
    with pytest.raises(InputError, match="dataset"):
        ModelConfig(dataset="mnist")


@pytest.mark.parametrize("key", ["epochs", "beta", "sigma"])
def test_truth_values_are_no_numbers(key):
    assert error_of({"likelihood": "gaussian", key: True}).startswith(f"{key} must not be a boolean")


def test_a_part_of_a_config_has_the_same_values():
    config = RunConfig(dataset="npz", data_dir="/data/x.npz", arch="dense", hidden_sizes=(7,), latent_dim=3, epochs=4)

    assert config.subset(DataConfig) == DataConfig(dataset="npz", data_dir="/data/x.npz")
    assert config.subset(ModelConfig) == ModelConfig(arch="dense", hidden_sizes=(7,), latent_dim=3)
