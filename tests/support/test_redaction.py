"""What is secret does not get into a text; what is not stays as it is."""

import re
import sys
import time

import pytest

from vae_tf.config import Config, RunConfig
from vae_tf.report import html
from vae_tf.support import cli
from vae_tf.support.errors import InputError
from vae_tf.support.redaction import redact

VALUE = "Zq7/x+Yw==9pLm"  # as base64: with what URLs must quote


@pytest.mark.parametrize(
    "name",
    [
        *("AZURE_CLIENT_SECRET", "AZUREML_RUN_TOKEN", "MLFLOW_TRACKING_PASSWORD", "AZURE_STORAGE_CONNECTION_STRING"),
        *("AWS_SECRET_ACCESS_KEY", "api_key", "BLOB_SAS", "SAS_URL", "DB_PWD", "GIT_PASSPHRASE", "IDENTITY_HEADER"),
        *("GOOGLE_APPLICATION_CREDENTIALS", "CONNECTIONSTRING"),
    ],
)
def test_the_value_of_a_credential_like_variable_is_left_out(name, monkeypatch):
    monkeypatch.setenv(name, VALUE)
    assert redact(f"before {VALUE}, after") == "before [redacted], after"


@pytest.mark.parametrize("name", ["HOME_OF_DATA", "PWD", "SASSAFRAS", "DISK"])
def test_the_value_of_another_variable_stays(name, monkeypatch):
    monkeypatch.setenv(name, "ordinary")
    assert redact("an ordinary word") == "an ordinary word"


def test_a_short_value_stays(monkeypatch):
    monkeypatch.setenv("THE_TOKEN", "epoch12")
    assert redact("epoch12") == "epoch12"


def test_a_value_is_found_as_a_url_quotes_it(monkeypatch):
    monkeypatch.setenv("THE_TOKEN", VALUE)
    assert redact("/c?t=Zq7%2Fx%2BYw%3D%3D9pLm&n=1") == "/c?t=[redacted]&n=1"


def test_of_two_values_that_begin_alike_no_end_is_left_over(monkeypatch):
    monkeypatch.setenv("A_TOKEN", "beginning")
    monkeypatch.setenv("B_TOKEN", "beginning-and-end")
    assert redact("<beginning-and-end>") == "<[redacted]>"


@pytest.mark.parametrize(
    ("text", "left"),
    [
        (
            "https://x.blob.core.windows.net/c?sv=2024-01-01&sig=aB%2F3 is",
            "https://x.blob.core.windows.net/c?[redacted] is",
        ),
        ("'/here/https:/x.net/c?sig=aB&se=1/a.npz'", "'/here/https:/x.net/c?[redacted]'"),
        ("the token sv=2024&sig=aB%2F3", "the token sv=2024&sig=[redacted]"),
        ("https://user:p@ss@host:5000/x", "https://[redacted]@host:5000/x"),
        ("/here/https:/user:pass@host/x", "/here/https:/[redacted]@host/x"),
        ("AccountName=n;AccountKey=aB+/3==;EndpointSuffix=s", "AccountName=n;AccountKey=[redacted];EndpointSuffix=s"),
        ('signature="open sesame"', 'signature="[redacted] sesame"'),
        ("client_secret=abc&grant=x", "client_secret=[redacted]&grant=x"),
    ],
)
def test_what_shows_its_nature_is_left_out(text, left):
    assert redact(text) == left
    assert redact(left) == left


@pytest.mark.parametrize(
    "text",
    [
        "data_dir must be a folder. Received: /data/cats (no such folder)",
        "https://host:5000/c?page=2, someone@example.org",
        "dataset=npz, design=4, learning_rate=1e-3",
        "c2lnaW5nsig==",  # the end of an image in a page
        "s3://bucket/x",
    ],
)
def test_other_texts_stay(text):
    assert redact(text) == text


@pytest.mark.parametrize("piece", ["a=&", ":/", "?", "sig", "key=", "@", "://a", "a-", "?a&", "x"])
def test_time_is_linear_in_the_length(piece):
    began = time.perf_counter()
    redact(piece * 200_000)
    assert time.perf_counter() - began < 5  # a quadratic search takes hours


def test_a_message_holds_no_secret(monkeypatch):
    monkeypatch.setenv("THE_TOKEN", "two\nlines of it")
    assert str(InputError("Received: two\nlines of it")) == "Received: [redacted]"


def test_a_resolved_config_holds_no_secret_and_can_be_read(monkeypatch, tmp_path):
    monkeypatch.setenv("THE_TOKEN", VALUE)
    config = RunConfig(dataset="npz", data_dir=str(tmp_path / f"c?sv=1&sig={VALUE}.npz")).fill_in_defaults((8, 8, 1))
    (tmp_path / "config.yml").write_text(config.to_yaml())
    assert config.data_dir == str(tmp_path / "c?[redacted]")
    assert RunConfig.from_yaml(tmp_path / "config.yml") == config


def test_the_start_of_a_file_that_is_no_config_is_cut_after_its_secrets_are_left_out(monkeypatch, tmp_path):
    monkeypatch.setenv("THE_TOKEN", "0123456789" * 8)
    (tmp_path / "config.yml").write_text("x" + "0123456789" * 8)
    with pytest.raises(InputError, match=re.escape("('x[redacted]')")):
        RunConfig.from_yaml(tmp_path / "config.yml")


def test_a_page_holds_no_secret(monkeypatch):
    monkeypatch.setenv("THE_TOKEN", "a_b<c>&d_e")
    table = html.Table(["score a_b<c>&d_e"], [[html.Cell("a_b<c>&d_e"), html.Cell("of a_b<c>&d_e")]])
    image = html.Image(b"png", "alt a_b<c>&d_e", "caption a_b<c>&d_e")
    page = html.page("a_b<c>&d_e", "lead a_b<c>&d_e", [html.Section("a_b<c>&d_e", "a_b<c>&d_e", [image], table)])
    assert page.count("[redacted]") == 11
    assert "&amp;d" not in page


class Options(Config):
    """Nothing to ask for."""


def test_what_a_command_prints_holds_no_secret(monkeypatch, capsys):
    monkeypatch.setenv("THE_TOKEN", VALUE)
    monkeypatch.setattr(sys, "argv", ["command"])

    def main(options):
        print(f"out {VALUE}", flush=True)
        print(f"err {VALUE}", file=sys.stderr)

    cli.run(main, Options, "command")
    assert capsys.readouterr() == ("out [redacted]\n", "err [redacted]\n")


def test_streams_are_as_before_after_a_command(monkeypatch):
    monkeypatch.setattr(sys, "argv", ["command"])
    before = sys.stdout, sys.stderr
    cli.run(lambda options: None, Options, "command")
    assert (sys.stdout, sys.stderr) == before
