"""No key, password or token is in the tree, as detect-secrets looks for them, in what git keeps."""

import secrets
import shutil
import subprocess
import warnings
from pathlib import Path

import pytest
from detect_secrets import SecretsCollection
from detect_secrets.settings import default_settings

ROOT = Path(__file__).parents[1]
# What a source archive may hold besides the sources, once something ran in it: .gitignore.
MADE = (".venv", "build", "runs", "mlruns", "__pycache__", ".mypy_cache", ".pytest_cache", ".ruff_cache")
# (file, what it is taken for, how it begins): what it is.
ALLOWED = {
    ("docs/results/embedded_conv/metrics_bn_seed0.json", "Hex High Entropy String", "8ee0ec02"): "hash of the images",
    ("docs/results/embedded_conv/metrics_plain_seed0.json", "Hex High Entropy String", "8ee0ec02"): "the same images",
    ("tests/azure_check/test_rules.py", "Private Key", "BEGIN RS"): "the first line of a key, without one",
    ("vae_tf/data/standard.py", "Hex High Entropy String", "91f7769d"): "the MD5 sum that the STL-10 authors publish",
    **{
        ("vae_tf/data/standard.py", "Hex High Entropy String", begin): "the SHA-256 sum of a file of Fashion-MNIST"
        for begin in ("3aede38d", "a04f1713", "346e55b9", "67da17c7")
    },
}


def files(root):
    """The files that git keeps or would add, by their paths below `root`; without git, all that are not made."""
    asked = ["git", "-C", root, "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    try:
        listed = subprocess.run(asked, capture_output=True, text=True, check=True).stdout
    except (FileNotFoundError, subprocess.CalledProcessError) as error:
        warnings.warn(f"git does not list the files, every file is scanned: {error}", stacklevel=2)
        found = (path.relative_to(root) for path in root.rglob("*") if path.is_file())
        return [str(path) for path in found if not {*MADE, ".git"} & set(path.parts)]
    return [name for name in listed.split("\0") if name and (root / name).is_file()]


def found(root):
    """What looks like a secret: file, kind, the first characters."""
    collection = SecretsCollection(root=str(root))
    with default_settings():
        for name in files(root):
            collection.scan_file(name)
    return {(name, secret.type, secret.secret_value[:8]) for name, secret in collection}


def planted_account_key():
    return f'CONNECTION = "AccountName=x;AccountKey={secrets.token_hex(43)}aA==;EndpointSuffix=core.windows.net"\n'


PLANTED = {
    "Azure Storage Account access key": planted_account_key,
    "AWS Access Key": lambda: "AKIA" + "Q3" * 8 + "\n",
    "GitHub Token": lambda: "ghp" + "_" + secrets.token_hex(18) + "\n",
    "Secret Keyword": lambda: f'password = "{secrets.token_hex(8)}"\n',
    "Basic Auth Credentials": lambda: f"https://user:{secrets.token_hex(8)}" + "@host/x\n",
    "Private Key": lambda: "-----BEGIN " + "RSA PRIVATE KEY-----\n",
}


@pytest.fixture
def tree(tmp_path):
    """A git repository with some of the sources, and a file for each kind of key with a planted one."""
    shutil.copytree(ROOT / "vae_tf" / "support", tmp_path / "support", ignore=shutil.ignore_patterns("__pycache__"))
    for kind, key in PLANTED.items():
        (tmp_path / f"{kind}.py").write_text(key())
    subprocess.run(["git", "init", "--quiet", tmp_path], check=True)
    return tmp_path


def test_the_tree_holds_no_key_but_what_is_known_to_be_none():
    assert found(ROOT) == set(ALLOWED)


def test_planted_keys_are_found_where_they_are(tree):
    holding = found(tree)
    assert {(f"{kind}.py", kind) for kind in PLANTED} <= {(name, kind) for name, kind, _ in holding}
    assert {name for name, _, _ in holding} == {f"{kind}.py" for kind in PLANTED}


def test_without_git_every_file_is_scanned_with_a_warning(tree):
    shutil.rmtree(tree / ".git")
    with pytest.warns(UserWarning, match="git does not list the files"):
        assert "GitHub Token.py" in {name for name, _, _ in found(tree)}


def test_what_git_ignores_is_not_scanned(tree):
    (tree / ".gitignore").write_text(".env\n")
    (tree / ".env").write_text(PLANTED["GitHub Token"]())
    assert ".env" not in files(tree)
    assert "GitHub Token.py" in files(tree)
