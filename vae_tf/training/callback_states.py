"""Saves and restores what the user's callbacks remember, so that a run with callbacks can resume."""

import inspect
import json
import sys
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

State = dict[str, Any]
KERAS_ATTRIBUTES = {"params", "model", "_model", "validation_data"}


class CallbackStates(keras.callbacks.Callback):
    """Saves and restores the attributes of callbacks that change during training.

    Attributes that JSON can represent are saved, such as the best loss so far and the number of epochs since then in
    `EarlyStopping`; the constructor's arguments are not. If other attributes have changed, such as the best weights,
    resuming prints a warning. This callback must come after the user's callbacks in the list.

    Args:
        callbacks: The user's callbacks.
        saved: The result of `get_state` that was saved with the checkpoint, if training resumes.
    """

    def __init__(self, callbacks: Sequence[keras.callbacks.Callback], saved: Sequence[State] = ()) -> None:
        super().__init__()
        self._callbacks = callbacks
        self._saved = saved

    def get_state(self) -> list[State]:
        """Returns for each callback the attributes that have changed since training started, and what can't be saved.

        Each state has the attributes as `"values"`, and the names of those that JSON can't represent as `"lost"`.
        """
        return [self._get_changes(*pair) for pair in zip(self._callbacks, self._initial, strict=True)]

    def on_train_begin(self, logs: Any = None) -> None:
        """Restores the saved attributes, after Keras's callbacks have reset them in their own `on_train_begin`."""
        self._initial = [_serialize_attributes(callback) for callback in self._callbacks]
        for callback, state in zip(self._callbacks, self._saved, strict=False):
            for name, value in state["values"].items():
                setattr(callback, name, value)
            if state["lost"]:
                print(
                    f"warning: {type(callback).__name__} does not resume exactly, because a checkpoint can't hold its "
                    f"{' and '.join(state['lost'])}",
                    file=sys.stderr,
                )

    def _get_changes(self, callback: keras.callbacks.Callback, initial: dict[str, str | None]) -> State:
        current = _serialize_attributes(callback)
        changed = [name for name, value in current.items() if value is None or value != initial.get(name)]
        values = {name: json.loads(text) for name in changed if (text := current[name]) is not None}
        lost = [name for name in changed if current[name] is None and initial.get(name, "") is not None]
        return {"values": values, "lost": lost}


def _serialize_attributes(callback: keras.callbacks.Callback) -> dict[str, str | None]:
    """Returns the attributes of a callback as JSON, keyed by name.

    The value is `None` for arrays and for containers that JSON can't represent. Functions and other objects are left
    out, and so are the constructor's arguments: they are settings. (Keras changes the sign of `min_delta` in the first
    epoch, and would change it again after it is restored.)
    """
    settings = inspect.signature(type(callback)).parameters
    serialized: dict[str, str | None] = {}
    for name, value in vars(callback).items():
        if name in KERAS_ATTRIBUTES or name in settings:
            continue
        try:
            serialized[name] = json.dumps(value.item() if isinstance(value, np.generic) else value)
        except (TypeError, ValueError):
            if isinstance(value, (list, tuple, dict, set, np.ndarray)):
                serialized[name] = None
    return serialized
