"""Everything that a training step changes, as arrays."""

import keras
import numpy as np
from keras import ops

from vae_tf.backend.guarded_step import GuardedStep
from vae_tf.model.vae import VAE
from vae_tf.support.errors import InputError

Arrays = dict[str, np.ndarray]


class TrainingState:
    """The variables of a model in training: weights, noise, metrics, optimizer, and the count of skipped updates.

    Args:
        model: A compiled model.
        guard: Its step.
    """

    def __init__(self, model: VAE, guard: GuardedStep) -> None:
        updated = {"model": model.weights, "optimizer": model.optimizer.variables}
        others = {
            "noise": _states_of_noise(model),
            "step": [model.step_counter.variable],
            "metrics": model.metrics_variables,
            "skipped": guard.variables,
        }
        self._guard = guard
        self._updated = _numbered(updated)
        self._all = {**self._updated, **_numbered(others)}

    def is_sound(self, values: Arrays) -> bool:
        """Returns whether what was captured is worth keeping: all finite, and not between steps that are skipped."""
        return not self._guard.skipped.in_a_row and all(np.isfinite(values[name]).all() for name in self._updated)

    def capture(self) -> Arrays:
        """Returns what all variables hold, by names that are the same in every process."""
        return {name: np.array(ops.convert_to_numpy(variable)) for name, variable in self._all.items()}

    def restore(self, values: Arrays) -> None:
        """Gives all variables what `capture` returned.

        Raises:
            InputError: The values are those of another model, as another version of Keras may make it.
        """
        shapes = {name: tuple(variable.shape) for name, variable in self._all.items()}
        if shapes != {name: value.shape for name, value in values.items()}:
            raise InputError(
                "A checkpoint must hold the variables of the same model. Received: others; go on with the versions of "
                "vae_tf and Keras that wrote it, choose another run_dir, or add --overwrite"
            )
        _assign(self._all, values)

    def restore_updated(self, values: Arrays) -> None:
        """Gives weights and optimizer alone what `capture` returned; noise and metrics go on."""
        _assign(self._updated, values)


def _states_of_noise(model: VAE) -> list[keras.Variable]:
    known = {id(variable) for variable in model.weights}
    return [variable for variable in model.variables if id(variable) not in known]


def _numbered(groups: dict[str, list[keras.Variable]]) -> dict[str, keras.Variable]:
    return {f"{group}-{number:04}": variable for group, some in groups.items() for number, variable in enumerate(some)}


def _assign(variables: dict[str, keras.Variable], values: Arrays) -> None:
    for name, variable in variables.items():
        variable.assign(values[name])
