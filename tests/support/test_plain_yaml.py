import tracemalloc

import pytest

from vae_tf.support.errors import InputError
from vae_tf.support.plain_yaml import read_yaml

LAUGHS = "a0: &a0 [ha, ha]\n" + "".join(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 9)}]\n" for n in range(1, 12))


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        pytest.param(LAUGHS, "aliases, such as *name, are not allowed", id="billion-laughs"),
        pytest.param("latent_dim: &a [*a]", "aliases, such as *name, are not allowed", id="list-in-itself"),
        pytest.param("a: &a {b: 1}\nc:\n  <<: *a", "aliases, such as *name, are not allowed", id="merge"),
        pytest.param("[" * 10_000, "nested deeper than 20 levels", id="brackets"),
        pytest.param("latent_dim: " + "[" * 10_000 + "]" * 10_000, "nested deeper than 20 levels", id="lists"),
        pytest.param("{a: " * 10_000, "nested deeper than 20 levels", id="mappings"),
        pytest.param("- " * 10_000, "nested deeper than 20 levels", id="dashes"),
        pytest.param("seed: " + "9" * 5000, "Exceeds the limit", id="digits"),
        pytest.param("jit: !!bool perhaps", "perhaps", id="bool"),
        pytest.param("seed: !!int ''", "index out of range", id="empty-number"),
        pytest.param("? 0x" + "f" * 5000 + "\n: 1", "Exceeds the limit", id="huge-key"),
        pytest.param("0x" + "f" * 5000, "Exceeds the limit", id="huge-number-alone"),
    ],
)
def test_hostile_yaml_is_refused_in_one_line(tmp_path, text, reason):
    path = tmp_path / "hostile.yml"
    path.write_text(text)

    with pytest.raises(InputError) as caught:
        read_yaml(path)

    assert str(caught.value).startswith(f"config must be valid YAML. Received: {path} (")
    assert reason in str(caught.value)


def test_nesting_within_the_limit_is_read(tmp_path):
    (tmp_path / "deep.yml").write_text("latent_dim: " + "[" * 19 + "]" * 19)

    value = read_yaml(tmp_path / "deep.yml")["latent_dim"]
    for _ in range(18):
        [value] = value
    assert value == []


def test_a_file_that_is_too_large_is_not_read(tmp_path):
    path = tmp_path / "large.yml"
    with path.open("wb") as file:
        file.truncate(2**30)  # which takes no room

    tracemalloc.start()
    with pytest.raises(InputError) as caught:
        read_yaml(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()

    assert str(caught.value) == f"config must be a YAML file of at most 65,536 bytes. Received: {path}"
    assert peak < 2**20


def test_a_file_at_the_limit_is_read(tmp_path):
    path = tmp_path / "config.yml"
    path.write_text("seed: 3\n#".ljust(65_536, "x"))

    assert read_yaml(path)["seed"] == 3
