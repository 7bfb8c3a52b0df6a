import pytest
import torch

from zoo.system import device


@pytest.fixture
def machine(monkeypatch):
    """A machine with a given GPU and given CPU flags."""

    def made(gpu=False, bf16=False, flags=""):
        monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
        monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation=True: bf16)
        monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
        monkeypatch.setattr(device, "_cpu_info", {"flags": flags}.get)

    return made


@pytest.mark.parametrize(
    ("setup", "expected"),
    [
        ({}, ("cpu", "32-true")),
        ({"flags": "sse avx2 avx512f"}, ("cpu", "32-true")),
        ({"flags": "sse avx512_bf16"}, ("cpu", "bf16-mixed")),
        ({"flags": "amx_tile amx_bf16"}, ("cpu", "bf16-mixed")),
        ({"gpu": True, "bf16": True}, ("gpu", "bf16-mixed")),
        ({"gpu": True, "flags": "amx_bf16"}, ("gpu", "32-true")),
    ],
)
def test_auto(machine, setup, expected):
    machine(**setup)
    found = device.accelerator()
    assert (found, device.precision("auto", found)) == expected


def test_what_is_asked_for_is_kept_or_refused(machine):
    machine(flags="amx_bf16")
    assert device.precision("32-true", "cpu") == "32-true"
    assert device.accelerator("cpu") == "cpu"
    for name in ("gpu", "cuda", "mps"):
        with pytest.raises(ValueError, match=f"accelerator={name}.*use auto or cpu"):
            device.accelerator(name)
    machine(gpu=True)
    assert device.accelerator("cuda") == "gpu"


def test_one_gpu_of_several_has_its_own_name(machine, monkeypatch):
    machine(gpu=True, bf16=True)
    monkeypatch.setattr(torch.cuda, "get_device_name", lambda device: f"card {device.index}")
    assert device.accelerator("cuda:1") == "cuda:1"
    assert device.device_name("cuda:1") == "card 1"
    assert device.precision("auto", "cuda:1") == "bf16-mixed"


def test_autocast_outside_a_trainer(machine):
    machine(flags="amx_bf16")
    x = torch.ones(2, 2)
    with device.autocast("auto", "cpu"):
        assert (x @ x).dtype == torch.bfloat16
    with device.autocast("32-true", "cpu"):
        assert (x @ x).dtype == torch.float32


def test_the_name_of_this_machine():
    assert device.device_name("cpu").endswith("threads")
