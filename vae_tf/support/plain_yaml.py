"""Reads YAML from untrusted sources: mappings of plain values, limited in size and depth."""

import io
from pathlib import Path
from typing import Any

import yaml

from vae_tf.support.errors import InputError
from vae_tf.support.redaction import redact

MAX_YAML_BYTES = 2**16  # a typical config file has one or two thousand
MAX_YAML_DEPTH = 20


class PlainLoader(yaml.SafeLoader):
    """Loads YAML without objects, deep nesting, or aliases, which would let a small file expand to a huge one."""

    _depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Returns the next node of the file.

        Raises:
            yaml.YAMLError: The node is an alias, or is nested too deeply.
        """
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases, such as *name, are not allowed")
        if self._depth == MAX_YAML_DEPTH:
            raise yaml.YAMLError(f"nested deeper than {MAX_YAML_DEPTH} levels")
        self._depth += 1
        node = super().compose_node(parent, index)
        self._depth -= 1
        return node


def read_yaml(path: Path) -> dict[str, Any]:
    """Returns the mapping in a YAML file, or `{}` if the file is empty.

    Raises:
        InputError: The file can't be read, is too large, or is not a YAML mapping.
    """
    try:
        with path.open("rb") as file:
            content = file.read(MAX_YAML_BYTES + 1)
        if len(content) > MAX_YAML_BYTES:
            raise InputError(f"config must be a YAML file of at most {MAX_YAML_BYTES:,} bytes. Received: {path}")
        values = yaml.load(io.BytesIO(content), PlainLoader)  # as bytes, so that errors do not quote the file
        if values is None:
            return {}
        if not isinstance(values, dict):
            raise InputError(
                f"config must be a YAML mapping of keys to values. Received: {path} ({redact(repr(values)):.60})"
            )
        return {str(key): value for key, value in values.items()}
    except OSError as error:
        raise InputError(f"config must be a readable YAML file. Received: {path} ({error.strerror})") from None
    except InputError:
        raise
    except (yaml.YAMLError, ValueError, AttributeError, LookupError) as error:  # malformed scalars raise the last three
        raise InputError(f"config must be valid YAML. Received: {path} ({error})") from None
