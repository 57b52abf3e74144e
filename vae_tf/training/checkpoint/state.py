"""The state of training, as arrays: everything that a training step changes."""

from collections.abc import Sequence

import keras
import numpy as np
from keras import ops

from vae_tf.distribute.strategy import assign_to_first_replica
from vae_tf.support.errors import InputError
from vae_tf.training.stage import Stage

Arrays = dict[str, np.ndarray]


class TrainingState:
    """The variables of a run's stages: weights, noise, steps, metrics, optimizers, and counts of skipped updates.

    Args:
        stages: The run's stages. The names of a later stage's variables start with the name of the stage.
    """

    def __init__(self, stages: Sequence[Stage]) -> None:
        self._guards = [stage.guard for stage in stages]
        self._strategy = stages[0].model.distribute_strategy
        self._weights_and_optimizer: dict[str, keras.Variable] = {}
        self._mirrored: dict[str, keras.Variable] = {}  # the same on all replicas
        self._metrics: dict[str, keras.Variable] = {}  # summed across replicas
        for number, stage in enumerate(stages):
            model, prefix = stage.model, f"{stage.name}-" if number else ""
            groups = {"model": model.weights, "optimizer": model.optimizer.variables}
            weights_and_optimizer = _numbered_names(groups, prefix)
            others = {
                "noise": _seed_generator_states(model),
                "step": [model.step_counter.variable],
                "skipped": stage.guard.variables,
            }
            self._weights_and_optimizer |= weights_and_optimizer
            self._mirrored |= {**weights_and_optimizer, **_numbered_names(others, prefix)}
            self._metrics |= _numbered_names({"metrics": model.metrics_variables}, prefix)
        self._all = {**self._mirrored, **self._metrics}

    def should_save(self, values: Arrays) -> bool:
        """Returns whether captured values should be saved.

        They should if the weights and the optimizer state are finite, and no steps are currently being skipped.
        """
        is_skipping = any(guard.skipped.consecutive for guard in self._guards)
        return not is_skipping and all(np.isfinite(values[name]).all() for name in self._weights_and_optimizer)

    def capture(self) -> Arrays:
        """Returns the values of all variables, by name; the names are the same in every process."""
        return {name: np.array(ops.convert_to_numpy(variable)) for name, variable in self._all.items()}

    def restore(self, values: Arrays) -> None:
        """Sets all variables to the values that `capture` returned.

        Raises:
            InputError: The values belong to a different model, for example one built with another version of Keras.
        """
        shapes = {name: tuple(variable.shape) for name, variable in self._all.items()}
        if shapes != {name: value.shape for name, value in values.items()}:
            raise InputError(
                "The checkpoint's variables do not match the model; resume with the versions of vae_tf and Keras that "
                "wrote it, choose another run_dir, or add --overwrite"
            )
        _assign(self._mirrored, values)
        assign_to_first_replica(self._strategy, list(self._metrics.values()), [values[name] for name in self._metrics])

    def restore_weights_and_optimizer(self, values: Arrays) -> None:
        """Sets only the weights and the optimizer to the values that `capture` returned."""
        _assign(self._weights_and_optimizer, values)


def _seed_generator_states(model: keras.Model) -> list[keras.Variable]:
    weight_ids = {id(weight) for weight in model.weights}
    return [variable for variable in model.variables if id(variable) not in weight_ids]


def _numbered_names(groups: dict[str, list[keras.Variable]], prefix: str) -> dict[str, keras.Variable]:
    return {
        f"{prefix}{group}-{number:04}": variable
        for group, variables in groups.items()
        for number, variable in enumerate(variables)
    }


def _assign(variables: dict[str, keras.Variable], values: Arrays) -> None:
    for name, variable in variables.items():
        variable.assign(values[name])
