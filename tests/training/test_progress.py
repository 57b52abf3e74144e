"""The progress of training on a terminal and in a pipe, and the time that is left."""

import contextlib
import fcntl
import os
import pty
import struct
import termios
from collections.abc import Callable
from functools import partial
from types import SimpleNamespace

import pytest

from vae_tf.config import RunConfig
from vae_tf.data.modality import IMAGE, ROW
from vae_tf.training.progress import ProgressBar, TimeLeft, format_duration

END_OF_TEXT = "\x03"
LOSSES = {"epoch": 1, "loss": 3.25, "reconstruction_loss": 2.5, "kl_loss": 0.75, "images_per_second": 1234.5}


def progress_of_one_epoch(
    config: RunConfig, row: dict[str, float], num_examples: int = 10, modality=IMAGE, seconds_left: float | None = None
) -> None:
    """Three batches, after each of which the bar is drawn."""
    time_left = SimpleNamespace(seconds=seconds_left)
    progress = ProgressBar(SimpleNamespace(rows=[row]), time_left, config, num_examples, modality)
    progress.on_epoch_begin(0)
    for batch in range(3):
        progress.on_train_batch_end(batch, row)
        progress._bar.refresh()
    progress.on_epoch_end(0)


def test_piped_progress_is_one_plain_line_per_epoch(capsys):
    progress_of_one_epoch(RunConfig(batch_size=4, epochs=10), LOSSES)
    expected = "epoch  1/10  loss 3.25  reconstruction_loss 2.50  kl_loss 0.75  1,234 images/s\n"
    assert capsys.readouterr() == (expected, "")


def test_progress_of_points_counts_rows(capsys):
    progress_of_one_epoch(RunConfig(batch_size=4, epochs=1), LOSSES, modality=ROW)
    assert capsys.readouterr().out.endswith("1,234 rows/s\n")


def test_piped_progress_shows_the_validation_loss_of_a_run_with_validation(capsys):
    progress_of_one_epoch(RunConfig(batch_size=4, epochs=1), {**LOSSES, "val_loss": 4.5})
    assert "val_loss 4.50" in capsys.readouterr().out


def shown_on_terminal(show: Callable[[], None]) -> str:
    """What `show` prints on a terminal of 80 columns."""
    screen, inside = pty.openpty()
    fcntl.ioctl(screen, termios.TIOCSWINSZ, struct.pack("HHHH", 24, 80, 0, 0))
    received = b""
    with os.fdopen(inside, "w", encoding="utf-8") as terminal:
        with contextlib.redirect_stdout(terminal):
            show()
        terminal.write(END_OF_TEXT)
        terminal.flush()
        while not received.endswith(END_OF_TEXT.encode()):
            received += os.read(screen, 65536)
    os.close(screen)
    return received.decode().removesuffix(END_OF_TEXT).replace("\r\n", "\n")


def test_bar_on_a_terminal_of_80_columns_shows_the_three_losses_and_the_speed():
    row = {"epoch": 1, "loss": 243.11, "reconstruction_loss": 231.05, "kl_loss": 12.06, "images_per_second": 500.0}
    show = partial(progress_of_one_epoch, RunConfig(), row, num_examples=60_000)
    bar = [part for part in shown_on_terminal(show).split("\r") if "reconstruction " in part][-1]
    assert [
        part for part in ("loss 243.1", "reconstruction 231.1", "kl 12.1", "1%", "images/") if part not in bar
    ] == []


def test_bar_ends_at_the_number_of_images_though_the_last_batch_is_short():
    shown = shown_on_terminal(lambda: progress_of_one_epoch(RunConfig(batch_size=4, epochs=1), LOSSES))
    assert "100%" in shown
    assert "120%" not in shown


def test_bar_is_replaced_by_the_line_of_the_epoch():
    shown = shown_on_terminal(lambda: progress_of_one_epoch(RunConfig(batch_size=4, epochs=1), LOSSES))
    assert shown.count("\r") > 2
    assert shown.split("\r")[-1] == "epoch 1/1  loss 3.25  reconstruction_loss 2.50  kl_loss 0.75  1,234 images/s\n"


def test_time_left_is_printed_before_the_first_epoch_and_after_each_but_the_last(capsys):
    progress_of_one_epoch(RunConfig(batch_size=4, epochs=10), LOSSES, seconds_left=400.0)
    first, line = capsys.readouterr().out.splitlines()
    assert first == "Time    about 7 min left on this machine"
    assert line.endswith("  1,234 images/s, 7 min left")
    progress_of_one_epoch(RunConfig(batch_size=4, epochs=1), LOSSES, seconds_left=0.1)
    assert capsys.readouterr().out.splitlines()[-1].endswith("1,234 images/s")


def test_bar_on_a_terminal_of_80_columns_shows_the_time_left_and_the_line_about_it_stays():
    row = {"epoch": 1, "loss": 243.11, "reconstruction_loss": 231.05, "kl_loss": 12.06, "images_per_second": 500.0}
    shown = shown_on_terminal(
        partial(progress_of_one_epoch, RunConfig(), row, num_examples=60_000, seconds_left=4000.0)
    )
    assert "Time    about 67 min left on this machine\n" in shown
    assert any("kl 12.1" in part and "67 min left" in part for part in shown.split("\r"))


@pytest.mark.parametrize(
    ("seconds", "expected"),
    [(0.4, "0 s"), (40, "40 s"), (89.4, "89 s"), (90, "2 min"), (420, "7 min"), (5300, "88 min"), (7500, "2 h 05 min")],
)
def test_durations_are_rounded_to_what_people_need(seconds, expected):
    assert format_duration(seconds) == expected


class Clock:
    """A clock that tests move forward."""

    now = 100.0

    def __call__(self):
        return self.now


@pytest.fixture
def clock():
    return Clock()


@pytest.fixture
def time_left(clock):
    """The time that is left of 3 epochs of 10 steps."""
    callback = TimeLeft(clock)
    callback.set_params({"epochs": 3, "steps": 10})
    return callback


def run_epoch(time_left, clock, epoch, calls):
    """Runs the steps of an epoch: pairs of the last step of a call and the seconds that it took."""
    time_left.on_epoch_begin(epoch)
    for batch, seconds in calls:
        clock.now += seconds
        time_left.on_train_batch_end(batch)


def test_time_of_the_first_call_is_left_out_because_it_compiles(time_left, clock):
    run_epoch(time_left, clock, 0, [(0, 50.0)])
    assert time_left.seconds is None
    run_epoch(time_left, clock, 0, [(0, 0.0), (2, 4.0)])
    assert time_left.seconds == pytest.approx((30 - 3) * 4.0 / 3)


def test_a_few_seconds_must_be_timed_first(time_left, clock):
    run_epoch(time_left, clock, 0, [(0, 50.0), (1, 2.0)])
    assert time_left.seconds is None


def test_time_between_epochs_counts_once_for_each_epoch_that_is_left(time_left, clock):
    run_epoch(time_left, clock, 0, [(0, 50.0), (9, 18.0)])
    clock.now += 7.0
    run_epoch(time_left, clock, 1, [(4, 10.0)])
    assert time_left.seconds == pytest.approx((30 - 15) * 2.0 + 2 * 7.0)


def test_an_epoch_that_resumes_in_the_middle_counts_only_its_own_steps(time_left, clock):
    run_epoch(time_left, clock, 1, [(6, 50.0), (8, 6.0)])
    assert time_left.seconds == pytest.approx((20 - 9) * 3.0)
