"""Write the latents of a dataset: python -m vae_tf.encode --run runs/x --out latents.npz"""

from pathlib import Path
from typing import TYPE_CHECKING, Literal, Self

import numpy as np
from pydantic import model_validator

from vae_tf.config import UserPath
from vae_tf.config.evaluation import RunFolderConfig
from vae_tf.runs.loaded_run import LoadedRun
from vae_tf.support import cli
from vae_tf.support.errors import InputError
from vae_tf.support.files import atomic_write
from vae_tf.support.quiet_tensorflow import load_tensorflow

if TYPE_CHECKING:
    from vae_tf.data.loading import Splits
    from vae_tf.data.sources import ExampleSource

COMMAND = "python -m vae_tf.encode"


class EncodeOptions(RunFolderConfig):
    """Write the posterior of every example in a run's dataset to an npz file, in the order of the dataset.

    For each split, such as "test", the file contains z_test, the posterior means, one row per example; log_var_test,
    the log-variances of the posteriors, if they are normal; y_test, the classes, if the data has them; and file_test,
    the paths of image files, or row_test, the row numbers in the arrays of the dataset.
    """

    heading = "output"

    split: Literal["train", "val", "test", "all"] = "all"
    """Split to encode; all encodes every split of the run."""
    out: UserPath = "latents.npz"
    """File to write; its name must end in .npz."""

    @model_validator(mode="after")
    def _check_out_is_npz(self) -> Self:
        if Path(self.out).suffix != ".npz":
            raise InputError(f"out must end in .npz. Received: out={self.out}")
        return self


def main(options: EncodeOptions) -> None:
    """Runs the command."""
    run = LoadedRun.open(Path(options.run), options.data_dir)
    load_tensorflow()

    from vae_tf.backend.devices import convert_runtime_errors, use_device
    from vae_tf.metrics.encoding import encode

    use_device(options.device)
    selected = _select_splits(run.splits, options.split)
    run.check_compatible()
    out, shape = Path(options.out), run.splits.spec.example_shape
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(out) as partial, convert_runtime_errors():  # fails early if out is not writable
            arrays: dict[str, np.ndarray] = {}
            for name, examples in selected.items():
                encoded = encode(run.model, examples, run.config, shape, name)
                columns = {"z": encoded.means, "log_var": encoded.log_vars, "y": encoded.labels, **_names(examples)}
                arrays |= {f"{key}_{name}": values for key, values in columns.items() if values is not None}
            np.savez(partial, allow_pickle=False, **arrays)
    except OSError as error:
        raise InputError(f"out must be a writable file. Received: {out} ({error.strerror})") from None
    print(out)


def _names(examples: "ExampleSource") -> dict[str, np.ndarray]:
    from vae_tf.data.sources.image_files import ImageFileSource

    if isinstance(examples, ImageFileSource):
        return {"file": np.array(examples.names)}
    return {"row": np.array(examples.names, np.int64)}


def _select_splits(splits: "Splits", split: str) -> "dict[Literal['train', 'val', 'test'], ExampleSource]":
    available: dict[Literal["train", "val", "test"], ExampleSource] = {"train": splits.train, "test": splits.test}
    if splits.val is not None:
        available["val"] = splits.val
    elif split == "val":
        raise InputError("split=val needs a run with a validation split. Received: val_fraction=0; use another --split")
    return {name: examples for name, examples in available.items() if split in (name, "all")}


if __name__ == "__main__":
    cli.run(main, EncodeOptions, COMMAND)
