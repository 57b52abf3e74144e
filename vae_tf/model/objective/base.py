"""The interface of objectives, including the schedule of the KL weight."""

import math
from typing import Any, NamedTuple

import keras
from keras import ops

from vae_tf.backend.setting import Setting
from vae_tf.model.terms import Terms
from vae_tf.support.errors import InputError

KL_SCHEDULES = ("constant", "linear", "cyclical")
KL_WEIGHT = "kl_weight"


class ObjectiveOutput(NamedTuple):
    """The result of an objective.

    Attributes:
        loss: The loss to minimize, float32 `(B,)`.
        extras: Additional values to report, by name, `(B,)` each.
    """

    loss: keras.KerasTensor
    extras: dict[str, keras.KerasTensor]


class Objective(keras.layers.Layer):
    """A training objective whose KL weight may follow a schedule.

    `constant` keeps the KL weight at beta. `linear` raises it from 0 to beta over the warm-up (Sønderby et al. 2016).
    `cyclical` repeats the warm-up: every cycle raises the weight over the warm-up and then keeps it at beta for the
    same number of steps (Fu et al. 2019).

    Args:
        beta: Weight of the KL term, at least 0.
        kl_schedule: `"constant"`, `"linear"` or `"cyclical"`.
        kl_warmup_steps: Training steps over which the weight rises; required with `"linear"` and
            `"cyclical"`, and not allowed with `"constant"`.
        **kwargs: Passed to `keras.layers.Layer`. Losses are float32 regardless of the global dtype policy.

    Attributes:
        num_samples: Number of posterior samples K per example that `call` needs.
        mixes_examples: Whether the loss of an example depends on other examples in its batch.
        extra_names: Names of the values that `call` reports in addition to the losses.

    Raises:
        ValueError: An argument is out of range, or has no effect.
    """

    num_samples = 1
    mixes_examples = False

    def __init__(
        self,
        beta: float = 1.0,
        kl_schedule: str = "constant",
        kl_warmup_steps: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**{"dtype": "float32", **kwargs})
        if kl_schedule not in KL_SCHEDULES:
            raise ValueError(
                f"kl_schedule must be one of {', '.join(KL_SCHEDULES)}. Received: kl_schedule={kl_schedule}"
            )
        needs_warmup = kl_schedule != "constant"
        if (kl_warmup_steps is not None) != needs_warmup or (kl_warmup_steps is not None and kl_warmup_steps < 1):
            raise ValueError(
                "kl_warmup_steps must be at least 1 with kl_schedule=linear or cyclical, and unset otherwise. "
                f"Received: kl_schedule={kl_schedule}, kl_warmup_steps={kl_warmup_steps}"
            )
        self._beta = Setting(_check_beta(beta))
        self.kl_schedule = kl_schedule
        self.kl_warmup_steps = kl_warmup_steps

    @property
    def beta(self) -> float:
        """Weight of the KL term; it can be changed at any time, and takes effect at the next training step."""
        return self._beta.value

    @beta.setter
    def beta(self, beta: float) -> None:
        self._beta.value = _check_beta(beta)

    @property
    def extra_names(self) -> tuple[str, ...]:
        """The name of the KL weight, if the weight follows a schedule."""
        return () if self.kl_schedule == "constant" else (KL_WEIGHT,)

    def build(self, input_shape: Any = None) -> None:
        """Marks the layer as built; it has no weights."""
        self.built = True

    def kl_weight(self, step: keras.KerasTensor) -> keras.KerasTensor:
        """Returns the KL weight at a step, counted from 0, a float32 scalar."""
        if self.kl_warmup_steps is None:
            return self._beta.tensor
        if self.kl_schedule == "cyclical":
            step = step % (2 * self.kl_warmup_steps)
        return self._beta.tensor * ops.minimum(ops.cast(step, "float32") / self.kl_warmup_steps, 1.0)

    def call(self, terms: Terms, step: keras.KerasTensor) -> ObjectiveOutput:
        """Returns the loss of each example, and the values to report with it.

        Args:
            terms: The ELBO terms of a batch of B examples.
            step: Number of training steps before this one, an int64 scalar.
        """
        weight = self.kl_weight(step)
        loss = terms.reconstruction_loss() + weight * self.kl_penalty(terms)
        extras = {name: ops.broadcast_to(weight, ops.shape(loss)) for name in self.extra_names}
        return ObjectiveOutput(loss, extras)

    def kl_penalty(self, terms: Terms) -> keras.KerasTensor:
        """Returns the term that is multiplied by `kl_weight`, `(B,)`."""
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        arguments = {name: getattr(self, name) for name in ("beta", "kl_schedule", "kl_warmup_steps")}
        return {**super().get_config(), **arguments}


def _check_beta(beta: float) -> float:
    if not 0 <= beta < math.inf:
        raise InputError(f"beta must be a finite number of at least 0. Received: beta={beta}")
    return beta
