from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch

import zoo
from zoo.performance import compiler
from zoo.sampler import DDIM

CPU = torch.device("cpu")


def test_a_missing_compiler_is_one_line(monkeypatch):
    monkeypatch.setattr(compiler.shutil, "which", lambda name: None)
    monkeypatch.delenv("CXX", raising=False)
    with pytest.raises(ValueError, match=r"there is no g\+\+ or clang\+\+ or c\+\+ here") as error:
        compiler.compile_denoiser(zoo.load("digits/ddpm"), CPU)
    assert "\n" not in str(error.value)


def test_a_gpu_needs_triton(monkeypatch):
    monkeypatch.setattr(compiler.shutil, "which", lambda name: name)
    monkeypatch.setattr(compiler.importlib.util, "find_spec", lambda name: None)
    with pytest.raises(ValueError, match="triton"):
        compiler.check_compiler(torch.device("cuda"))


def test_only_a_denoiser_is_compiled():
    with pytest.raises(ValueError, match="no denoiser to compile"):
        compiler.compile_denoiser(SimpleNamespace(), CPU)


def test_a_compiled_network_generates_the_same(monkeypatch):
    monkeypatch.setattr(compiler, "check_compiler", lambda device: None)
    module = zoo.load("digits/ddpm")
    expected = module.generate(4, sampler=DDIM(2))
    called = []

    def backend(graph, inputs):
        called.append(graph)
        return graph

    own = torch.nn.Module.compile
    monkeypatch.setattr(torch.nn.Module, "compile", lambda self: own(self, backend=backend))
    compiler.compile_denoiser(module, CPU)
    images = module.generate(4, sampler=DDIM(2))
    assert called
    assert (images.int() - expected.int()).abs().max() <= 1
