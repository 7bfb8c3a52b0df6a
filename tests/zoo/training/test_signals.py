"""Ctrl-C and its kin: the state of the step is written, a line says so, and the run goes on."""

import os
import signal

import pytest

from zoo.callbacks import SampleGrid, TrainingState
from zoo.checkpoint import state_file
from zoo.models.ddpm import DDPM
from zoo.training.signals import SIGNALS
from zoo.training.train import train

EVERY = "callbacks.training_state.every_n_steps=3"
STEPS = ["trainer.max_steps=6", EVERY, "callbacks.sample_grid.every_n_steps=4"]
VALIDATING = ["trainer.limit_val_batches=2", "trainer.val_check_interval=2"]


@pytest.fixture(autouse=True)
def handlers():
    """Python's own handlers, whatever the tests have inherited: in the background some ignore."""
    before = {number: signal.getsignal(number) for number in SIGNALS}
    for number in SIGNALS:
        own = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
        signal.signal(number, own)
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory):
    """The folder of a run that nothing came between; trained once."""
    folder = tmp_path_factory.mktemp("unbroken")

    def trained(config, settings):
        if not (folder / "model.safetensors").exists():
            train(config(folder, *settings))
        return folder

    return trained


@pytest.fixture
def send(monkeypatch):
    """Sends signals to this process at a call of a method, when its training is at a step."""

    def at(owner, method, step, *signals):
        original = getattr(owner, method)

        def sending(self, *args, **kwargs):
            trainer = getattr(self, "trainer", None) or args[0]
            if trainer.global_step == step and signals not in sent:
                sent.append(signals)
                for number in signals:
                    os.kill(os.getpid(), number)
            return original(self, *args, **kwargs)

        sent = []
        monkeypatch.setattr(owner, method, sending)

    return at


@pytest.mark.parametrize("number", SIGNALS, ids=lambda number: number.name)
def test_a_signal_saves_the_step_and_leaves(config, tmp_path, send, capfd, number):
    before = [signal.getsignal(each) for each in SIGNALS]
    send(DDPM, "training_step", 1, number)
    with pytest.raises(SystemExit) as left:
        train(config(tmp_path, *STEPS))
    assert left.value.code == 128 + number
    assert [signal.getsignal(each) for each in SIGNALS] == before
    name = "Ctrl-C" if number == signal.SIGINT else number.name
    said = capfd.readouterr().err
    assert f"{name}: leaving after this step; again: at once" in said
    assert (
        f"interrupted at step 2 by {name}; {tmp_path}/last.ckpt is of this step: the same command "
        "with ckpt_path=last resumes from it" in said
    )
    assert state_file.read(tmp_path / "last.ckpt")["global_step"] == 2
    assert not (tmp_path / "model.safetensors").exists()


def test_sigint_counts_where_it_is_inherited_as_ignored(config, tmp_path, send):
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    send(DDPM, "training_step", 1, signal.SIGINT)
    with pytest.raises(SystemExit) as left:
        train(config(tmp_path, *STEPS))
    assert left.value.code == 130
    assert state_file.read(tmp_path / "last.ckpt")["global_step"] == 2
    assert signal.getsignal(signal.SIGINT) == signal.SIG_IGN


def test_sighup_does_not_under_nohup(config, tmp_path, send):
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    send(DDPM, "training_step", 1, signal.SIGHUP)
    train(config(tmp_path, *STEPS))
    assert state_file.read(tmp_path / "last.ckpt")["global_step"] == 6


@pytest.mark.parametrize(
    ("owner", "method", "step", "of"),
    [
        (DDPM, "training_step", 4, 5),
        (DDPM, "training_step", 5, 6),  # the last
        (DDPM, "validation_step", 2, 2),
        (DDPM, "validation_step", 6, 6),
        (SampleGrid, "draw", 4, 4),
        (TrainingState, "write", 3, 3),
    ],
    ids=lambda value: getattr(value, "__name__", None),
)
def test_the_resumed_run_is_the_unbroken_one_row_for_row(
    config, unbroken, tmp_path, send, curves, assert_equal, owner, method, step, of
):
    settings = [*STEPS, *VALIDATING, "trainer.accumulate_grad_batches=2"]
    whole = unbroken(config, settings)
    send(owner, method, step, signal.SIGTERM)
    with pytest.raises(SystemExit) as left:
        train(config(tmp_path, *settings))
    assert left.value.code == 143
    assert state_file.read(tmp_path / "last.ckpt")["global_step"] == of
    train(config(tmp_path, *settings, "ckpt_path=last"))
    assert curves(tmp_path) == curves(whole)
    states = [state_file.read(folder / "last.ckpt") for folder in (whole, tmp_path)]
    for key in ("state_dict", "optimizer_states", "lr_schedulers", "time_sampler"):
        assert_equal(states[0][key], states[1][key])
    for key in ("EMA", "Loss", "LossByQuartile"):
        assert_equal(states[0]["callbacks"][key], states[1]["callbacks"][key])


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=lambda n: n.name)
def test_the_second_signal_leaves_at_once_and_spares_the_old_state(
    config, tmp_path, send, capsys, number
):
    send(DDPM, "training_step", 4, number, number)
    with pytest.raises(SystemExit) as left:
        train(config(tmp_path, *STEPS))
    assert left.value.code == 128 + number
    assert state_file.read(tmp_path / "last.ckpt")["global_step"] == 3
    assert f"{tmp_path}/last.ckpt is intact: the same" in capsys.readouterr().err
    assert not list(tmp_path.glob(".*"))


def test_a_launchers_own_handler_is_called_once_the_state_is_there(config, tmp_path, send):
    calls = []
    signal.signal(
        signal.SIGUSR2,
        lambda number, frame: calls.append((number, (tmp_path / "last.ckpt").is_file())),
    )
    send(DDPM, "training_step", 0, signal.SIGUSR2)
    with pytest.raises(SystemExit):
        train(config(tmp_path, *STEPS))
    assert calls == [(signal.SIGUSR2, True)]


def test_without_states_the_line_says_so(config, tmp_path, send, capsys):
    send(DDPM, "training_step", 1, signal.SIGTERM)
    with pytest.raises(SystemExit) as left:
        train(config(tmp_path, "trainer.max_steps=3", "callbacks.training_state=null"))
    assert left.value.code == 143
    assert "by SIGTERM; no state is written (callbacks.training_state=null)" in (
        capsys.readouterr().err
    )
