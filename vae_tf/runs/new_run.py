"""Checks whether a run can be written to a folder, and creates or empties the folder."""

from pathlib import Path

from vae_tf.config import RunConfig
from vae_tf.runs.run_dir import CONFIG, RunDir
from vae_tf.support.errors import InputError
from vae_tf.support.files import is_leftover


def check_available(path: Path, *, overwrite: bool) -> None:
    """Raises an error if `create_run_dir` would reject the folder; changes nothing on disk.

    Args:
        path: The folder.
        overwrite: Whether an existing run may be replaced.

    Raises:
        InputError: The path is a file, or a folder that is not empty and must not be replaced.
    """
    try:
        if path.exists() and not path.is_dir():
            raise InputError(f"run_dir must be a folder. Received: {path} (a file); choose another run_dir")
        is_available = not path.exists() or all(is_leftover(entry) for entry in path.iterdir())
    except OSError as error:
        raise InputError(f"run_dir must be a readable folder. Received: {path} ({error})") from None
    if is_available:
        return
    if not overwrite:
        raise InputError(f"run_dir must be new or empty. Received: {path}; choose another, or add --overwrite")
    try:
        RunConfig.from_yaml(path / CONFIG)
    except InputError:
        raise InputError(f"--overwrite only replaces run folders. Received: {path} (no {CONFIG} of a run)") from None


def check_usable(path: Path, *, overwrite: bool, resume: bool) -> None:
    """Raises an error if a run can neither start nor resume in a folder; changes nothing on disk.

    Args:
        path: The folder.
        overwrite: Whether an existing run may be replaced.
        resume: Whether an existing run may be resumed.

    Raises:
        InputError: The path is a file, or a folder that is not empty and must not be used.
    """
    try:
        can_resume = resume and not overwrite and RunDir(path).is_started
    except OSError as error:
        raise InputError(f"run_dir must be a readable folder. Received: {path} ({error})") from None
    if not can_resume:
        check_available(path, overwrite=overwrite)


def check_separate_from_data(run_dir: Path, config: RunConfig, *, overwrite: bool) -> None:
    """Raises an error if training would read images that the run writes, or remove the data that it reads.

    Args:
        run_dir: The run folder.
        config: The run's config.
        overwrite: Whether an existing run in `run_dir` is removed first.

    Raises:
        InputError: One folder contains the other, or `overwrite` would remove the data.
    """
    if config.data_dir is None:
        return
    data_dir, resolved_run_dir = Path(config.data_dir).resolve(), run_dir.resolve()
    is_nested = resolved_run_dir.is_relative_to(data_dir) or data_dir.is_relative_to(resolved_run_dir)
    if config.dataset == "folder" and is_nested:
        raise InputError(
            "Neither run_dir nor data_dir may contain the other, because figures written to run_dir would be used "
            f"as training images. Received: run_dir={run_dir}; choose another with --run-dir"
        )
    if overwrite and data_dir == RunDir(resolved_run_dir).data_path:
        raise InputError(
            f"overwrite would remove the data. Received: data_dir={config.data_dir}; choose another run_dir"
        )


def create_run_dir(path: Path, *, overwrite: bool) -> RunDir:
    """Creates a run folder, or empties an existing one.

    An existing config stays in the folder until a new one replaces it.

    Args:
        path: Where to create the folder; it may exist if it is empty.
        overwrite: Whether to remove the files of an existing run.

    Raises:
        InputError: The folder is not writable, or contains files that must not be removed.
    """
    try:
        check_available(path, overwrite=overwrite)
        path.mkdir(parents=True, exist_ok=True)
        run = RunDir(path)
        run.remove_run()
    except OSError as error:
        raise InputError(f"run_dir must be a writable folder. Received: {path} ({error})") from None
    return run
