"""Variational autoencoders for Keras 3 on TensorFlow: train, evaluate, compare and deploy them.

Public names are looked up on first use (PEP 562), so `import vae_tf` does not import TensorFlow.
It only sets the environment variable that turns on TensorFlow's oneDNN kernels; see `vae_tf.support.onednn`.
"""

from typing import TYPE_CHECKING, Any

from vae_tf.registry import resolve as _resolve
from vae_tf.support.onednn import enable_onednn as _enable_onednn

if TYPE_CHECKING:
    from vae_tf.compare import compare_runs
    from vae_tf.config import RunConfig
    from vae_tf.data.loading import load_arrays
    from vae_tf.estimator import VAEEstimator
    from vae_tf.evaluate import evaluate_run
    from vae_tf.model.build import build_vae
    from vae_tf.model.vae import VAE
    from vae_tf.registry import register
    from vae_tf.runs.loaded_run import load_run
    from vae_tf.train import train_run

_enable_onednn()

__version__ = "0.1.0"
__all__ = [
    "VAE",
    "RunConfig",
    "VAEEstimator",
    "build_vae",
    "compare_runs",
    "evaluate_run",
    "load_arrays",
    "load_run",
    "register",
    "train_run",
]

_LAZY_IMPORTS = {
    "VAE": "vae_tf.model.vae:VAE",
    "RunConfig": "vae_tf.config:RunConfig",
    "VAEEstimator": "vae_tf.estimator:VAEEstimator",
    "build_vae": "vae_tf.model.build:build_vae",
    "load_arrays": "vae_tf.data.loading:load_arrays",
    "register": "vae_tf.registry:register",
    "train_run": "vae_tf.train:train_run",
    "evaluate_run": "vae_tf.evaluate:evaluate_run",
    "compare_runs": "vae_tf.compare:compare_runs",
    "load_run": "vae_tf.runs.loaded_run:load_run",
}


def __getattr__(name: str) -> Any:
    if name not in _LAZY_IMPORTS:
        raise AttributeError(f"module 'vae_tf' has no attribute {name!r}")
    return _resolve(_LAZY_IMPORTS[name])


def __dir__() -> list[str]:
    return sorted([*globals(), *_LAZY_IMPORTS])
