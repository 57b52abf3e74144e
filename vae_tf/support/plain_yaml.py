"""YAML from anywhere: mappings of plain values, bounded in size and depth."""

import io
from pathlib import Path
from typing import Any

import yaml

from vae_tf.support.errors import InputError
from vae_tf.support.redaction import redacted

LARGEST_YAML = 2**16  # bytes; a config has one or two thousand
DEEPEST_YAML = 20


class PlainLoader(yaml.SafeLoader):
    """YAML without objects, without aliases, which let a small file stand for a huge one, and not nested deeply."""

    _depth = 0

    def compose_node(self, parent: yaml.Node | None, index: int) -> yaml.Node | None:
        """Returns the next node of the file.

        Raises:
            yaml.YAMLError: It is an alias, or too deep.
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
    """Returns the mapping in a YAML file, `{}` for an empty one.

    Raises:
        InputError: The file can't be read, is too large, or is no YAML mapping.
    """
    try:
        with path.open("rb") as file:
            content = file.read(LARGEST_YAML + 1)
        if len(content) > LARGEST_YAML:
            raise InputError(f"config must be a YAML file of at most {LARGEST_YAML:,} bytes. Received: {path}")
        values = yaml.load(io.BytesIO(content), PlainLoader)  # whose faults, unlike those of a text, quote no line
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
    except (yaml.YAMLError, ValueError, AttributeError, LookupError) as error:  # the last three: odd scalars
        raise InputError(f"config must be valid YAML. Received: {path} ({error})") from None
