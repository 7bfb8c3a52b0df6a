from __future__ import annotations

import sys
import time
from types import SimpleNamespace

import pytest
import torch

import zoo
from zoo.denoiser import UNet
from zoo.performance.flops import flops, flops_without_data, measured_peak, parameters
from zoo.performance.usage import Energy, peak_memory

CPU = torch.device("cpu")


@pytest.mark.parametrize("name", ["ddpm", "improved_ddpm", "guided_latent_diffusion"])
def test_counted_without_numbers_as_with_them(name):
    module = zoo.load(f"digits/{name}")
    network = module.denoiser
    x, t = torch.zeros(1, *module.latent_shape), torch.zeros(1)
    condition = module.conditioner(torch.tensor([3]))
    with torch.no_grad():
        expected = flops(lambda: network(x, t, condition))
    before = {key: value.clone() for key, value in network.state_dict().items()}
    call = lambda: network(x.to("meta"), t.to("meta"), condition.to("meta"))  # noqa: E731
    assert flops_without_data(network, call) == expected > 0
    assert all(torch.equal(value, before[key]) for key, value in network.state_dict().items())


def test_ddpms_network_has_the_published_size():
    with torch.device("meta"):
        network = UNet(3, 3, norm_eps=1e-6, asymmetric_padding=True, sine_first=True)
    x, t = torch.zeros(1, 3, 32, 32, device="meta"), torch.zeros(1, device="meta")
    assert parameters(network) == 35_746_307
    assert flops_without_data(network, lambda: network(x, t)) == pytest.approx(12.4e9, rel=0.01)


def test_the_peak_is_that_of_a_large_product():
    a = torch.ones(256, 256)
    durations = []
    for _ in range(20):
        begin = time.perf_counter()
        a @ a
        durations.append(time.perf_counter() - begin)
    assert measured_peak(CPU, torch.float32) > 0.1 * 2 * 256**3 / min(durations)


def test_peak_memory_counts_what_was_allocated():
    before = peak_memory(CPU)
    block = torch.ones(64 << 20)  # 256 MiB
    grown = peak_memory(CPU)
    assert grown >= before
    assert grown > block.nbytes


def test_energy_is_read_from_counters_that_wrap(tmp_path, monkeypatch):
    package = tmp_path / "intel-rapl:0"
    package.mkdir()
    (package / "max_energy_range_uj").write_text("10000000")
    counter = package / "energy_uj"
    counter.write_text("9000000")
    monkeypatch.setattr("zoo.performance.usage._RAPL", tmp_path)
    energy = Energy(CPU)
    assert energy.source == "RAPL"
    counter.write_text("9500000")
    assert energy.joules() == pytest.approx(0.5)
    counter.write_text("500000")
    assert energy.joules() == pytest.approx(1.5)


def test_no_energy_where_nothing_counts_it(tmp_path, monkeypatch):
    monkeypatch.setattr("zoo.performance.usage._RAPL", tmp_path)
    assert Energy(CPU).source is None
    assert Energy(CPU).joules() is None
    assert Energy(torch.device("mps")).joules() is None


def test_a_gpus_energy_is_nvmls(monkeypatch):
    millijoules = iter([5_000, 5_000, 7_500])
    library = SimpleNamespace(
        NVMLError=RuntimeError,
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByUUID=lambda uuid: uuid,
        nvmlDeviceGetTotalEnergyConsumption=lambda handle: next(millijoules),
    )
    monkeypatch.setitem(sys.modules, "pynvml", library)
    monkeypatch.setattr(torch.cuda, "get_device_properties", lambda d: SimpleNamespace(uuid="7"))
    energy = Energy(torch.device("cuda"))
    assert energy.source == "NVML"
    assert energy.joules() == 2.5


def test_a_gpu_without_such_a_counter_has_no_energy(monkeypatch):
    def refuse():
        raise RuntimeError("not supported")

    library = SimpleNamespace(NVMLError=RuntimeError, nvmlInit=refuse)
    monkeypatch.setitem(sys.modules, "pynvml", library)
    assert Energy(torch.device("cuda")).source is None
