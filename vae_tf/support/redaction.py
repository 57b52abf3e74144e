"""Redacts secrets in text: the values of credential-like environment variables, and credentials in URLs.

Source code scanners such as detect-secrets guess from patterns in the text. A running process can do better, because it
knows its secrets from the names of their environment variables. MLflow and the Azure SDK hide only their own headers.
"""

import os
import re
from urllib.parse import quote

REDACTED = "[redacted]"
# Shorter values would also match parts of ordinary words.
MIN_SECRET_LENGTH = 8
CREDENTIAL_NAME = re.compile(
    r"KEY|SECRET|TOKEN|PASS(?:WORD|WD|PHRASE)|CREDENTIAL|SIGNATURE|CONNECTION_?STRING|IDENTITY_HEADER"
    r"|(?:^|_)SAS(?:_|$)|_PWD$",  # but not PWD, the working directory
    re.IGNORECASE,
)
# Each pattern takes time linear in the length of the text: only one match can begin in a run of characters.
CREDENTIALS = (
    # The query of a URL with a shared access signature.
    (re.compile(r"""\?(?=[^\s?"'<>]*\bsig=)[^\s?"'<>]+""", re.IGNORECASE), f"?{REDACTED}"),
    # User and password of a URL; if the URL went through a Path, only one slash is left.
    (re.compile(r"""(:/{1,2})[^\s/"'<>]+@"""), rf"\g<1>{REDACTED}@"),
    # AccountKey=..., sig=..., password=..., but not base64 padding, as in "sig==".
    (
        re.compile(r"""\b(\w*(?:key|secret|token|password|passwd|pwd|signature|sig)=["']?)(?!=)[^\s&;"'<>]+""", re.I),
        rf"\g<1>{REDACTED}",
    ),
)


def redact(text: str) -> str:
    """Replaces every known or recognizable secret in a string with `[redacted]`.

    Known secrets are the values, of at least 8 characters, of environment variables whose names contain KEY, SECRET,
    TOKEN, PASSWORD and the like, as well as their URL-quoted forms. Recognizable secrets are the user and password of a
    URL, the query of a URL with a shared access signature, and what follows `AccountKey=`, `password=` and the like.

    Args:
        text: The complete string to print or write; a secret that has been truncated is not recognized.
    """
    if secrets := _find_secrets():
        text = re.sub("|".join(map(re.escape, secrets)), REDACTED, text)
    for pattern, replacement in CREDENTIALS:
        text = pattern.sub(replacement, text)
    return text


def _find_secrets() -> list[str]:
    """Returns the known secrets, longest first, so that one that begins with another is replaced as a whole."""
    values = {
        value.strip()
        for name, value in os.environ.items()
        if CREDENTIAL_NAME.search(name) and len(value.strip()) >= MIN_SECRET_LENGTH
    }
    return sorted(values | {quote(value, safe="") for value in values}, key=len, reverse=True)
