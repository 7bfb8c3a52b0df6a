import io
import itertools
import sys

import pytest

import zoo
from zoo.conditioner import Unconditional
from zoo.denoiser import UNet
from zoo.diffusion.gaussian import GaussianDiffusion
from zoo.generation import sampling
from zoo.sampler import DDIM
from zoo.schedule import Linear
from zoo.system.progress import Meter, duration, track


class Terminal(io.StringIO):
    def isatty(self):
        return True


def terminal(monkeypatch):
    """stderr as a program on a terminal has it, from here to the end of the test."""
    screen = Terminal()
    monkeypatch.setattr("zoo.system.progress._quiet", lambda: False)
    monkeypatch.setattr(sys, "stderr", screen)
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setenv("TERM", "xterm")
    return screen


@pytest.fixture
def time(monkeypatch):
    """A duration that stands until it is moved."""
    now = [0.0]
    monkeypatch.setattr("time.monotonic", lambda: now[0])
    return now


def test_a_meter_has_count_rate_and_time_left(time):
    with Meter(100, "work", "images", done=20) as meter:
        time[0] = 8.0
        meter.advance(16)
        assert meter.text() == "36/100, 2.0 images/s, 0:32 left"
        meter.note = "loss 0.5"
        time[0] = 64.0
        assert meter.text() == "36/100, 4.0 s/images, 4:16 left, loss 0.5"


def test_without_a_total_there_is_no_time_left(time):
    with Meter(None) as meter:
        time[0] = 2.0
        meter.advance()
        assert meter.text() == "1, 2.0 s/it"


def test_quiet_under_pytest(capsys, time):
    for _ in track(range(5), description="work"):
        time[0] += 100
    assert capsys.readouterr() == ("", "")


def test_lines_come_soon_and_then_seldom_where_there_is_no_terminal(monkeypatch, time):
    monkeypatch.delenv("PYTEST_CURRENT_TEST")
    lines = io.StringIO()
    monkeypatch.setattr(sys, "stderr", lines)
    seconds = []
    for _ in track(range(400), description="work", unit="steps"):
        time[0] += 0.5
        if len(lines.getvalue().splitlines()) > len(seconds):
            seconds.append(time[0])
    assert lines.getvalue().splitlines()[0] == "work: 3/400, 2.0 steps/s, 3:18 left"
    gaps = [after - before for before, after in itertools.pairwise([0.0, *seconds])]
    assert gaps[:3] == [2.0, 1.5, 1.5]
    assert gaps[1:] == sorted(gaps[1:])
    assert max(gaps) == 30.0


def test_a_bar_within_a_bar(monkeypatch):
    shown = terminal(monkeypatch)
    assert list(track((n for n in track(range(3), description="inner")), 3, "outer")) == [0, 1, 2]
    assert "outer" in shown.getvalue()
    assert "inner" in shown.getvalue()
    assert "3/3" in shown.getvalue()
    list(track(range(2), description="later"))  # the display of before is gone
    assert "later" in shown.getvalue()


def test_an_error_closes_the_bar(monkeypatch):
    shown = terminal(monkeypatch)
    with pytest.raises(ZeroDivisionError):
        list(track((1 // n for n in (1, 0)), 2, description="work"))
    list(track(range(2), description="later"))
    assert "later" in shown.getvalue()


def test_sampling_counts_the_steps_of_all_batches(monkeypatch):
    shown = terminal(monkeypatch)
    module = zoo.DDPM(
        UNet(1, 1, 8, (1, 2), 1, norm_groups=4),
        GaussianDiffusion(Linear()),
        (1, 8, 8),
        DDIM(4),
        Unconditional(),
    )
    with sampling(module, 5, 2) as on_step:
        module.generate(5, batch_size=2, on_step=on_step)
    assert "sampling 5 images" in shown.getvalue()
    assert "12/12" in shown.getvalue()  # four steps of each of three batches


def test_clock():
    assert [duration(s) for s in (0, 59.6, 3600, -3)] == ["0:00", "1:00", "1:00:00", "0:00"]
