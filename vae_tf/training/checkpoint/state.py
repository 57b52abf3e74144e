"""Everything that a training step changes, as arrays."""

from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

from vae_tf.distribute.strategy import assign_sums
from vae_tf.support.errors import InputError
from vae_tf.training.stage import Stage

Arrays = dict[str, np.ndarray]


class TrainingState:
    """The variables of a run's stages: weights, noise, steps, metrics, optimizers, and counts of skipped updates.

    Args:
        stages: The run's stages. The variables of the first have plain names; those of the others start with the name
            of the stage.
    """

    def __init__(self, stages: Sequence[Stage]) -> None:
        self._guards = [stage.guard for stage in stages]
        self._strategy = stages[0].model.distribute_strategy
        self._updated: dict[str, keras.Variable] = {}
        self._equal: dict[str, keras.Variable] = {}  # on all replicas
        self._metrics: dict[str, keras.Variable] = {}  # of which each replica holds a part
        for number, stage in enumerate(stages):
            model, prefix = stage.model, f"{stage.name}-" if number else ""
            updated = _numbered({"model": model.weights, "optimizer": model.optimizer.variables}, prefix)
            others = {
                "noise": _states_of_noise(model),
                "step": [model.step_counter.variable],
                "skipped": stage.guard.variables,
            }
            self._updated |= updated
            self._equal |= {**updated, **_numbered(others, prefix)}
            self._metrics |= _numbered({"metrics": model.metrics_variables}, prefix)
        self._all = {**self._equal, **self._metrics}

    def is_sound(self, values: Arrays) -> bool:
        """Returns whether captured values are worth keeping: all finite, and not taken while steps are skipped."""
        skipping = any(guard.skipped.in_a_row for guard in self._guards)
        return not skipping and all(np.isfinite(values[name]).all() for name in self._updated)

    def capture(self) -> Arrays:
        """Returns the values of all variables, by names that are the same in every process."""
        return {name: np.array(ops.convert_to_numpy(variable)) for name, variable in self._all.items()}

    def restore(self, values: Arrays) -> None:
        """Sets all variables to the values that `capture` returned.

        Raises:
            InputError: The values belong to another model, for example one made by another version of Keras.
        """
        shapes = {name: tuple(variable.shape) for name, variable in self._all.items()}
        if shapes != {name: value.shape for name, value in values.items()}:
            raise InputError(
                "A checkpoint must hold the variables of the same model. Received: others; go on with the versions of "
                "vae_tf and Keras that wrote it, choose another run_dir, or add --overwrite"
            )
        _assign(self._equal, values)
        assign_sums(self._strategy, list(self._metrics.values()), [values[name] for name in self._metrics])

    def restore_updated(self, values: Arrays) -> None:
        """Sets only weights and optimizer to what `capture` returned; noise and metrics stay as they are."""
        _assign(self._updated, values)


def _states_of_noise(model: keras.Model) -> list[keras.Variable]:
    known = {id(variable) for variable in model.weights}
    return [variable for variable in model.variables if id(variable) not in known]


def _numbered(groups: dict[str, list[keras.Variable]], prefix: str) -> dict[str, keras.Variable]:
    return {
        f"{prefix}{group}-{number:04}": variable
        for group, some in groups.items()
        for number, variable in enumerate(some)
    }


def _assign(variables: dict[str, keras.Variable], values: Arrays) -> None:
    for name, variable in variables.items():
        variable.assign(values[name])
