"""Secrets are left out of texts: the values of credential-like environment variables, and credentials in URLs.

Scanners of source code, as detect-secrets, guess from the look of a text; what a process was trusted with is known by
name. MLflow and the Azure SDK hide their own headers alone.
"""

import os
import re
from urllib.parse import quote

REDACTED = "[redacted]"
# A shorter value stands in words that are no secret.
SHORTEST_SECRET = 8
CREDENTIAL_NAME = re.compile(
    r"KEY|SECRET|TOKEN|PASS(?:WORD|WD|PHRASE)|CREDENTIAL|SIGNATURE|CONNECTION_?STRING|IDENTITY_HEADER"
    r"|(?:^|_)SAS(?:_|$)|_PWD$",  # not PWD: the working folder
    re.IGNORECASE,
)
# Each is linear in the length of the text: no two of its matches can begin in one run of characters.
CREDENTIALS = (
    # The query of a URL with a shared access signature.
    (re.compile(r"""\?(?=[^\s?"'<>]*\bsig=)[^\s?"'<>]+""", re.IGNORECASE), f"?{REDACTED}"),
    # User and password of a URL; a path makes one slash of two.
    (re.compile(r"""(:/{1,2})[^\s/"'<>]+@"""), rf"\g<1>{REDACTED}@"),
    # AccountKey=..., sig=..., password=...; not the padding of base64, as in "sig==".
    (
        re.compile(r"""\b(\w*(?:key|secret|token|password|passwd|pwd|signature|sig)=["']?)(?!=)[^\s&;"'<>]+""", re.I),
        rf"\g<1>{REDACTED}",
    ),
)


def redacted(text: str) -> str:
    """Returns a text with `[redacted]` in the place of every secret that is known or shows its nature.

    Known are the values, of 8 characters and more, of environment variables whose names hold KEY, SECRET, TOKEN,
    PASSWORD and the like, also where a URL quotes them. User and password of a URL, the query of a URL with a shared
    access signature, and what follows `AccountKey=`, `password=` and the like show their nature.

    Args:
        text: What is to be printed or written, whole: of a secret that was cut the rest is not found.
    """
    if secrets := _secrets():
        text = re.sub("|".join(map(re.escape, secrets)), REDACTED, text)
    for pattern, replacement in CREDENTIALS:
        text = pattern.sub(replacement, text)
    return text


def _secrets() -> list[str]:
    """Longest first, so that of two that begin alike no end is left over."""
    values = {
        value.strip()
        for name, value in os.environ.items()
        if CREDENTIAL_NAME.search(name) and len(value.strip()) >= SHORTEST_SECRET
    }
    return sorted(values | {quote(value, safe="") for value in values}, key=len, reverse=True)
