"""TensorFlow's distribution strategies: selects the one for a run, and distributes data and values across replicas."""

import signal
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from vae_tf.backend import replicas
from vae_tf.config import RunConfig
from vae_tf.data.pipeline import Shard
from vae_tf.distribute.cluster import DistributionMode
from vae_tf.registry import CUSTOM
from vae_tf.support.errors import InputError

if TYPE_CHECKING:
    from vae_tf.distribute.peers import Peers


def strategy_for(distribute: DistributionMode, peers: "Peers | None", timeout: float) -> tf.distribute.Strategy:
    """Returns the strategy of a run; call it before any computation.

    Args:
        distribute: `"auto"` uses one replica on each GPU if there are several.
        peers: Connections to the other workers, which must all call this at the same point; `None` if there are none.
        timeout: Maximum time, in seconds, to wait for the workers to find each other.

    Raises:
        InputError: TensorFlow can't listen at the address of this worker.
    """
    if peers is not None:
        return _multi_worker_strategy(peers, timeout)
    if distribute == "mirrored" or (distribute == "auto" and len(tf.config.get_visible_devices("GPU")) > 1):
        return tf.distribute.MirroredStrategy()
    return tf.distribute.get_strategy()


def _multi_worker_strategy(peers: "Peers", timeout: float) -> tf.distribute.Strategy:
    cluster = peers.cluster
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec({"worker": cluster.addresses}),
        task_type="worker",
        task_id=cluster.index,
        rpc_layer="grpc",
    )
    peers.start_watchdog(timeout)
    on_sigterm = signal.getsignal(signal.SIGTERM)
    try:
        strategy = tf.distribute.MultiWorkerMirroredStrategy(resolver)
    except tf.errors.UnknownError as error:
        raise InputError(
            "The port that TF_CONFIG assigns to this worker must be free. "
            f"Received: {cluster.addresses[cluster.index]} ({error.message})"
        ) from None
    peers.report_started()
    # TensorFlow replaced it with a handler that does not terminate the process.
    signal.signal(signal.SIGTERM, on_sigterm)
    return strategy


def check_can_distribute(strategy: tf.distribute.Strategy, config: RunConfig, num_train: int) -> None:
    """Raises an error if the run can't be split across the replicas.

    Args:
        strategy: The strategy.
        config: The run's config.
        num_train: Number of training examples.

    Raises:
        InputError: The batch size is not a multiple of the number of replicas, there are more replicas than examples,
            or an option does not work with several replicas.
    """
    num_replicas = strategy.num_replicas_in_sync
    if num_replicas == 1:
        return
    if config.batch_size % num_replicas:
        nearest = max(config.batch_size - config.batch_size % num_replicas, num_replicas)
        raise InputError(
            f"batch_size is the global batch size and must be a multiple of the number of replicas, {num_replicas}. "
            f"Received: batch_size={config.batch_size}; use {nearest}"
        )
    if num_train < num_replicas:
        raise InputError(
            f"There must be at least as many training examples as replicas, {num_replicas}. Received: {num_train}; "
            "add data, or use --distribute none"
        )
    if config.jit:
        raise InputError(
            f"jit needs a single replica. Received: {num_replicas} replicas; omit --jit, or use --distribute none"
        )
    if config.arch == CUSTOM:
        raise InputError(
            f"A model passed from Python can be trained only on a single replica. Received: {num_replicas} replicas; "
            "use distribute='none'"
        )
    if config.micro_batch_size is not None and config.variant == "bn":
        raise InputError(
            f"micro_batch_size with {num_replicas} replicas needs variant=plain, because bn synchronizes across "
            f"replicas. Received: micro_batch_size={config.micro_batch_size}, variant=bn; remove one of them"
        )


def is_multi_worker(strategy: tf.distribute.Strategy) -> bool:
    """Returns whether the strategy spans several processes."""
    return isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)


def make_any_worker_fn(strategy: tf.distribute.Strategy) -> Callable[[bool], bool]:
    """Returns a function that reports whether a condition holds on any worker.

    All workers must call that function at the same point.

    Args:
        strategy: The run's strategy.
    """
    if not is_multi_worker(strategy):
        return bool

    @tf.function(autograph=False)
    def total(value: tf.Tensor) -> tf.Tensor:
        def replica_fn(value: tf.Tensor) -> tf.Tensor:
            context = tf.distribute.get_replica_context()
            # all_reduce needs a tensor that is placed on a device, so the value is copied.
            return context.all_reduce(tf.distribute.ReduceOp.SUM, tf.identity(value))

        return strategy.run(replica_fn, (value,))

    return lambda value: float(strategy.experimental_local_results(total(tf.constant(float(value))))[0]) > 0


def broadcast_from_chief(
    strategy: tf.distribute.Strategy, arrays: dict[str, np.ndarray] | None, like: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Sends arrays from the chief to all other workers, and returns them on every worker.

    Args:
        strategy: The run's strategy; all its workers must call this at the same point.
        arrays: Arrays by name; `None` on all workers except the chief.
        like: Arrays with the same names, shapes and dtypes.
    """
    if not is_multi_worker(strategy):
        assert arrays is not None
        return arrays

    # A sum to which only the first replica contributes, in a dtype that represents all values exactly.
    @tf.function(autograph=False)
    def total(values: list[tf.Tensor]) -> list[tf.Tensor]:
        def replica_fn(values: list[tf.Tensor]) -> list[tf.Tensor]:
            context = tf.distribute.get_replica_context()
            contributions = [replicas.mask_to_first_replica(value) for value in values]
            return context.all_reduce(tf.distribute.ReduceOp.SUM, contributions)

        return strategy.run(replica_fn, (values,))

    given = like if arrays is None else arrays
    sums = total([tf.constant(given[name], tf.float64) for name in like])
    return {
        name: strategy.experimental_local_results(value)[0].numpy().astype(like[name].dtype)
        for name, value in zip(like, sums, strict=True)
    }


def assign_to_first_replica(
    strategy: tf.distribute.Strategy, variables: Sequence[keras.Variable], values: Sequence[np.ndarray]
) -> None:
    """Assigns values to variables that are summed across replicas, such as metrics.

    The first replica gets the full value, the others get 0. TensorFlow itself would divide each value among the
    replicas, which rounds it.

    Args:
        strategy: The run's strategy; all its workers must call this at the same point.
        variables: Variables created in its scope.
        values: One value for each variable.
    """

    def value_fn(value: np.ndarray) -> Callable[[Any], tf.Tensor]:
        zeros = np.zeros_like(value)
        return lambda context: tf.constant(zeros if context.replica_id_in_sync_group else value)

    for variable, value in zip(variables, values, strict=True):
        replica_values = strategy.experimental_distribute_values_from_function(value_fn(value))
        local = map(strategy.experimental_local_results, (variable.value, replica_values))
        for replica_variable, replica_value in zip(*local, strict=True):
            replica_variable.assign(replica_value)


def distribute_dataset(strategy: tf.distribute.Strategy, batches: Callable[[Shard], tf.data.Dataset]) -> Any:
    """Returns a dataset that gives each replica its rows of every batch.

    Args:
        strategy: The run's strategy; it determines which rows this worker reads.
        batches: Function that returns the dataset of a shard.
    """

    def dataset_fn(context: tf.distribute.InputContext) -> tf.data.Dataset:
        local = context.num_replicas_in_sync // context.num_input_pipelines
        dataset = batches(Shard(context.input_pipeline_id * local, local, context.num_replicas_in_sync))
        if context.num_replicas_in_sync == 1:
            return dataset
        # With a finite dataset, the workers would synchronize before every step to see whether any has run out of data.
        return dataset.repeat().apply(
            tf.data.experimental.assert_cardinality(tf.data.experimental.INFINITE_CARDINALITY)
        )

    return strategy.distribute_datasets_from_function(dataset_fn)
