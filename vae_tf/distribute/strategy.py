"""TensorFlow's distribution strategies: which one a run uses, and how it reads its data."""

import signal
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
import tensorflow as tf

from vae_tf.backend import replicas
from vae_tf.config import RunConfig
from vae_tf.data.pipeline import Share
from vae_tf.distribute.cluster import Distribute
from vae_tf.support.errors import InputError

if TYPE_CHECKING:
    from vae_tf.distribute.peers import Peers


def strategy_for(distribute: Distribute, peers: "Peers | None", timeout: float) -> tf.distribute.Strategy:
    """Returns the strategy of a run; call it before anything is computed.

    Args:
        distribute: `"auto"` uses one replica on each GPU if there are several.
        peers: The other workers, which must all call this now; `None` if there are none.
        timeout: Seconds the workers have to find each other.

    Raises:
        InputError: TensorFlow can't listen at the address of this worker.
    """
    if peers is not None:
        return _of_several_workers(peers, timeout)
    if distribute == "mirrored" or (distribute == "auto" and len(tf.config.get_visible_devices("GPU")) > 1):
        return tf.distribute.MirroredStrategy()
    return tf.distribute.get_strategy()


def _of_several_workers(peers: "Peers", timeout: float) -> tf.distribute.Strategy:
    cluster = peers.cluster
    resolver = tf.distribute.cluster_resolver.SimpleClusterResolver(
        tf.train.ClusterSpec({"worker": cluster.addresses}),
        task_type="worker",
        task_id=cluster.index,
        rpc_layer="grpc",
    )
    peers.watch(timeout)
    on_sigterm = signal.getsignal(signal.SIGTERM)
    try:
        strategy = tf.distribute.MultiWorkerMirroredStrategy(resolver)
    except tf.errors.UnknownError as error:
        raise InputError(
            "The port that TF_CONFIG gives to this worker must be free. "
            f"Received: {cluster.addresses[cluster.index]} ({error.message})"
        ) from None
    peers.started()
    signal.signal(signal.SIGTERM, on_sigterm)  # TensorFlow replaced it with a handler that does not stop
    return strategy


def check_shares(strategy: tf.distribute.Strategy, config: RunConfig, num_train: int) -> None:
    """Raises an error if the replicas can't share the work.

    Args:
        strategy: The strategy.
        config: The run's config.
        num_train: Number of training examples.

    Raises:
        InputError: The batch size is not a multiple of the number of replicas, there are more replicas than examples,
            or an option does not work with several replicas.
    """
    replicas = strategy.num_replicas_in_sync
    if replicas == 1:
        return
    if config.batch_size % replicas:
        near = max(config.batch_size - config.batch_size % replicas, replicas)
        raise InputError(
            f"batch_size is of all replicas together and must be a multiple of their number, {replicas}. "
            f"Received: batch_size={config.batch_size}; take {near}"
        )
    if num_train < replicas:
        raise InputError(
            f"There must be a training example for each of {replicas} replicas. Received: {num_train}; "
            "add data, or take --distribute none"
        )
    if config.jit:
        raise InputError(f"jit needs one replica. Received: {replicas}; leave out --jit, or take --distribute none")
    if config.micro_batch_size is not None and config.variant == "bn":
        raise InputError(
            f"micro_batch_size needs variant=plain where {replicas} replicas normalize their batches together. "
            f"Received: micro_batch_size={config.micro_batch_size}, variant=bn; leave one out"
        )


def is_multi_worker(strategy: tf.distribute.Strategy) -> bool:
    """Returns whether the strategy spans several processes."""
    return isinstance(strategy, tf.distribute.MultiWorkerMirroredStrategy)


def any_worker(strategy: tf.distribute.Strategy) -> Callable[[bool], bool]:
    """Returns a function that reports whether a condition holds on any worker.

    All workers must call that function at the same point.

    Args:
        strategy: The run's strategy.
    """
    if not is_multi_worker(strategy):
        return bool

    @tf.function(autograph=False)
    def total(value: tf.Tensor) -> tf.Tensor:
        def of_replica(value: tf.Tensor) -> tf.Tensor:
            context = tf.distribute.get_replica_context()
            return context.all_reduce(tf.distribute.ReduceOp.SUM, tf.identity(value))  # a copy that has a device

        return strategy.run(of_replica, (value,))

    return lambda value: float(strategy.experimental_local_results(total(tf.constant(float(value))))[0]) > 0


def from_chief(
    strategy: tf.distribute.Strategy, arrays: dict[str, np.ndarray] | None, like: dict[str, np.ndarray]
) -> dict[str, np.ndarray]:
    """Returns the chief's arrays, on every worker.

    Args:
        strategy: The run's strategy; all its workers must call this now.
        arrays: Arrays by name; `None` on all workers but the chief.
        like: Arrays with the same names, shapes and dtypes.
    """
    if not is_multi_worker(strategy):
        assert arrays is not None
        return arrays

    # A sum to which only the first replica contributes, in a dtype that holds the values without rounding.
    @tf.function(autograph=False)
    def summed(values: list[tf.Tensor]) -> list[tf.Tensor]:
        def of_replica(values: list[tf.Tensor]) -> list[tf.Tensor]:
            context = tf.distribute.get_replica_context()
            return context.all_reduce(tf.distribute.ReduceOp.SUM, [replicas.on_first(value) for value in values])

        return strategy.run(of_replica, (values,))

    given = like if arrays is None else arrays
    sums = summed([tf.constant(given[name], tf.float64) for name in like])
    return {
        name: strategy.experimental_local_results(value)[0].numpy().astype(like[name].dtype)
        for name, value in zip(like, sums, strict=True)
    }


def assign_sums(
    strategy: tf.distribute.Strategy, variables: Sequence[keras.Variable], values: Sequence[np.ndarray]
) -> None:
    """Assigns values to variables that are the sum of a part on each replica, as metrics are: all to the first replica.

    TensorFlow itself would divide each value among the replicas, and round it.

    Args:
        strategy: The strategy; all of its workers call this at the same time.
        variables: Variables made in its scope.
        values: One value for each variable.
    """

    def part_of(value: np.ndarray) -> Callable[[Any], tf.Tensor]:
        nothing = np.zeros_like(value)
        return lambda context: tf.constant(nothing if context.replica_id_in_sync_group else value)

    for variable, value in zip(variables, values, strict=True):
        parts = strategy.experimental_distribute_values_from_function(part_of(value))
        local = map(strategy.experimental_local_results, (variable.value, parts))
        for own, part in zip(*local, strict=True):
            own.assign(part)


def distributed(strategy: tf.distribute.Strategy, batches: Callable[[Share], tf.data.Dataset]) -> Any:
    """Returns a dataset that gives each replica its rows of every batch.

    Args:
        strategy: The run's strategy, which decides which rows this worker reads.
        batches: Function from a share to its dataset.
    """

    def of_worker(context: tf.distribute.InputContext) -> tf.data.Dataset:
        local = context.num_replicas_in_sync // context.num_input_pipelines
        dataset = batches(Share(context.input_pipeline_id * local, local, context.num_replicas_in_sync))
        if context.num_replicas_in_sync == 1:
            return dataset
        # Otherwise the workers would ask each other before every step whether all have another batch.
        return dataset.repeat().apply(
            tf.data.experimental.assert_cardinality(tf.data.experimental.INFINITE_CARDINALITY)
        )

    return strategy.distribute_datasets_from_function(of_worker)
