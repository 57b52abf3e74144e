"""Reads YAML from untrusted sources: mappings of plain values, limited in size and depth."""

import io
from pathlib import Path
from typing import Any

import yaml

from vae_tf.support.errors import InputError
from vae_tf.support.redaction import redacted

LARGEST_YAML = 2**16  # bytes; a typical config has one or two thousand
DEEPEST_YAML = 20


class PlainLoader(yaml.SafeLoader):
    """Loads YAML without objects, deep nesting, or aliases, which would let a small file expand to a huge one."""

    _depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Returns the next node of the file.

        Raises:
            yaml.YAMLError: The node is an alias, or is nested too deeply.
        """
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("aliases, as *name, are not taken")
        if self._depth == DEEPEST_YAML:
            raise yaml.YAMLError(f"nested deeper than {DEEPEST_YAML} levels")
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
            content = file.read(LARGEST_YAML + 1)
        if len(content) > LARGEST_YAML:
            raise InputError(f"config must be a YAML file of at most {LARGEST_YAML:,} bytes. Received: {path}")
        values = yaml.load(io.BytesIO(content), PlainLoader)  # as bytes, so that errors quote no line of the file
        if values is None:
            return {}
        if not isinstance(values, dict):
            raise InputError(
                f"config must be a YAML mapping of keys to values. Received: {path} ({redacted(repr(values)):.60})"
            )
        return {str(key): value for key, value in values.items()}
    except OSError as error:
        raise InputError(f"config must be a readable YAML file. Received: {path} ({error.strerror})") from None
    except InputError:
        raise
    except (yaml.YAMLError, ValueError, AttributeError, LookupError) as error:  # odd scalars raise the last three
        raise InputError(f"config must be valid YAML. Received: {path} ({error})") from None
