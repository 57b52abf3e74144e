"""What every objective offers, and the weight of the KL term in it."""

import math
from typing import Any, NamedTuple

import keras
from keras import ops

from vae_tf.model.terms import Terms

KL_SCHEDULES = ("constant", "linear", "cyclical")
KL_WEIGHT = "kl_weight"


class Loss(NamedTuple):
    """What an objective returns.

    Attributes:
        loss: What training minimizes, float32 `(B,)`.
        extras: Further values to report, by name, `(B,)` each.
    """

    loss: keras.KerasTensor
    extras: dict[str, keras.KerasTensor]


class Objective(keras.layers.Layer):
    """What training minimizes, with a weight on the KL term that may follow a schedule.

    `constant` weighs the KL term with beta throughout. `linear` raises the weight from 0 to beta over the warm-up
    (Sønderby et al. 2016). `cyclical` repeats that: every cycle raises it over the warm-up and holds it for as long (Fu
    et al. 2019).

    Args:
        beta: Weight of the KL term, at least 0.
        kl_schedule: `"constant"`, `"linear"` or `"cyclical"`.
        kl_warmup_steps: Training steps in which the weight rises; needed by the last two, and by them alone.
        **kwargs: As of `keras.layers.Layer`. Losses are float32 whatever the global dtype policy is.

    Attributes:
        num_samples: Posterior draws K that `call` needs for each example.
        mixes_examples: Whether the loss of an example depends on others in its batch.
        extra_names: The names of what `call` reports next to the losses.

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
        if not 0 <= beta < math.inf:
            raise ValueError(f"beta must be a finite number of at least 0. Received: beta={beta}")
        if kl_schedule not in KL_SCHEDULES:
            raise ValueError(
                f"kl_schedule must be one of {', '.join(KL_SCHEDULES)}. Received: kl_schedule={kl_schedule}"
            )
        needs_warmup = kl_schedule != "constant"
        if (kl_warmup_steps is not None) != needs_warmup or (kl_warmup_steps is not None and kl_warmup_steps < 1):
            raise ValueError(
                "kl_warmup_steps must be at least 1 with kl_schedule=linear or cyclical, and left out otherwise. "
                f"Received: kl_schedule={kl_schedule}, kl_warmup_steps={kl_warmup_steps}"
            )
        self.beta = beta
        self.kl_schedule = kl_schedule
        self.kl_warmup_steps = kl_warmup_steps

    @property
    def extra_names(self) -> tuple[str, ...]:
        """The weight of the KL term if it changes."""
        return () if self.kl_schedule == "constant" else (KL_WEIGHT,)

    def build(self, input_shape: Any = None) -> None:
        """Has nothing to create."""
        self.built = True

    def kl_weight(self, step: keras.KerasTensor) -> Any:
        """Returns the weight of the KL term at a step, counted from 0: a float32 scalar, or a number if constant."""
        if self.kl_warmup_steps is None:
            return self.beta
        if self.kl_schedule == "cyclical":
            step = step % (2 * self.kl_warmup_steps)
        return self.beta * ops.minimum(ops.cast(step, "float32") / self.kl_warmup_steps, 1.0)

    def call(self, terms: Terms, step: keras.KerasTensor) -> Loss:
        """Returns the loss of each example and what is reported next to it.

        Args:
            terms: Of a batch of B examples.
            step: Training steps before this one, an int64 scalar.
        """
        weight = self.kl_weight(step)
        loss = terms.reconstruction_loss() + weight * self.kl_penalty(terms)
        extras = {name: ops.broadcast_to(weight, ops.shape(loss)) for name in self.extra_names}
        return Loss(loss, extras)

    def kl_penalty(self, terms: Terms) -> keras.KerasTensor:
        """Returns what `kl_weight` multiplies, `(B,)`."""
        raise NotImplementedError

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        given = {name: getattr(self, name) for name in ("beta", "kl_schedule", "kl_warmup_steps")}
        return {**super().get_config(), **given}
