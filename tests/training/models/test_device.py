"""The device: which one computes, its dtypes, sizes and memory; other chips than this machine's by a stand-in torch."""

from types import SimpleNamespace

import psutil
import pytest
import torch

from reports.errors import UserError
from tests.fake_torch import GIB, MIB, fake_torch
from training.backends.choice import check_can_train
from training.machine_failures import is_out_of_memory
from training.models.base_model import find_base
from training.models.device import Cuda, Device, Memory, Mps, cards, device_of, pick_device
from training.recipes.recipe_file import load_recipe


@pytest.mark.parametrize(
    ("machine", "kind", "name"),
    [
        ({"cuda": True, "mps": True}, "cuda", "NVIDIA H200 0"),
        ({"cuda": True, "hip": "6.4"}, "cuda", "AMD MI300X 0"),
        ({"mps": True}, "mps", "Apple M2 Pro"),
        ({}, "cpu", "cpu"),
    ],
)
def test_a_card_comes_first_then_apples_gpu_then_the_cpu(machine, kind, name):
    device = pick_device(fake_torch(**machine))
    assert (device.type, str(device), device.name()) == (kind, kind, name)


def test_each_process_of_a_training_has_its_own_card(monkeypatch):
    monkeypatch.setenv("LOCAL_RANK", "1")
    device = pick_device(fake_torch(cuda=True))
    assert (device.place, device.name()) == (1, "NVIDIA H200 1")
    device.synchronize()
    device.torch.cuda.synchronize.assert_called_once_with(1)


def test_all_cards_are_listed():
    assert [card.name() for card in cards(fake_torch(cuda=True))] == ["NVIDIA H200 0", "NVIDIA H200 1"]
    assert [card.name() for card in cards(fake_torch(mps=True))] == ["Apple M2 Pro"]
    assert cards(fake_torch()) == []


def test_rocm_is_named_as_such():
    assert Cuda(fake_torch(cuda=True)).driver() == {"CUDA": "12.8"}
    assert Cuda(fake_torch(cuda=True, hip="6.4")).driver() == {"ROCm": "6.4"}


@pytest.mark.parametrize(
    ("place", "kind", "index"),
    [("cpu", Device, 0), ("cuda", Cuda, 0), (torch.device("cuda", 1), Cuda, 1), ("mps", Mps, 0), ("mps:0", Mps, 0)],
)
def test_a_device_is_made_of_torchs_name_for_it(place, kind, index):
    device = device_of(place)
    assert (type(device), device.index) == (kind, index)
    assert device == kind(fake_torch(), index)
    assert device != kind(fake_torch(), index + 1)


@pytest.mark.parametrize(
    ("kind", "tokens", "rows", "logits", "prefix"),
    [
        (Device, 1024, 32, 64 * 2**20, 16),
        (Cuda, 16384, 256, 256 * 2**20, 64),
        (Mps, 4096, 64, 128 * 2**20, 64),
    ],
)
def test_sizes(kind, tokens, rows, logits, prefix):
    assert (kind.batch_tokens, kind.batch_rows, kind.logit_bytes, kind.shortest_prefix) == (
        tokens,
        rows,
        logits,
        prefix,
    )


@pytest.mark.parametrize(
    ("device", "dtype"),
    [
        (Device(fake_torch()), "bfloat16"),
        (Device(fake_torch(bf16=False)), "float32"),
        (Cuda(fake_torch()), "bfloat16"),
        (Cuda(fake_torch(bf16=False)), "float16"),
        (Mps(fake_torch(macos=14)), "bfloat16"),
        (Mps(fake_torch(macos=13)), "float16"),
    ],
)
def test_auto_is_bfloat16_where_the_hardware_has_it(device, dtype):
    assert device.default_dtype("auto") == dtype
    assert device.default_dtype("float32") == "float32"


def test_only_a_cpu_refuses_float16():
    assert Cuda(fake_torch()).default_dtype("float16") == Mps(fake_torch()).default_dtype("float16") == "float16"
    with pytest.raises(UserError, match="float16 is not for CPUs"):
        Device(fake_torch()).default_dtype("float16")


def test_memory_of_a_card_counts_what_torch_holds_unused_as_available():
    device = Cuda(fake_torch(cuda=True))
    assert device.total_memory() == 80 * GIB
    assert device.available_memory() == 52 * GIB
    assert device.used_memory() == Memory(8 * GIB, 10 * GIB)
    assert device.peak_memory() == Memory(12 * GIB, 14 * GIB)
    device.reset_peak_memory()
    device.torch.cuda.reset_peak_memory_stats.assert_called_once_with(0)
    device.release_memory()
    device.torch.cuda.empty_cache.assert_called_once_with()


def test_memory_of_apples_gpu_is_what_metal_recommends_and_the_machine_has():
    device = Mps(fake_torch(mps=True))
    assert device.total_memory() == 240 * MIB
    assert device.available_memory() == 190 * MIB
    assert device.used_memory() == Memory(50 * MIB, 70 * MIB)
    device.reset_peak_memory()  # which Metal does not count: what the driver holds is the peak
    assert device.peak_memory() == Memory(70 * MIB, 70 * MIB)
    device.release_memory()
    device.torch.mps.empty_cache.assert_called_once_with()
    device.synchronize()
    device.torch.mps.synchronize.assert_called_once_with()


def test_memory_of_a_cpu_is_the_machines_and_the_process_own():
    device = device_of("cpu")
    assert device.total_memory() == psutil.virtual_memory().total
    used, peak = device.used_memory(), device.peak_memory()
    assert used.allocated == used.reserved
    assert peak.allocated >= 0.9 * used.allocated
    device.synchronize()


def test_a_seed_starts_all_random_numbers_of_a_training():
    device = Mps(fake_torch(mps=True))
    device.seed(7)
    device.torch.manual_seed.assert_called_once_with(7)
    device_of("cpu").seed(7)
    first = torch.rand(3)
    device_of("cpu").seed(7)
    assert torch.equal(torch.rand(3), first)


def test_lack_of_memory_on_apples_gpu_is_recognised():
    assert is_out_of_memory(RuntimeError("MPS backend out of memory (MPS allocated: 17.9 GB, max allowed: 18.1 GB)"))
    assert not is_out_of_memory(RuntimeError("MPS does not support float64"))


@pytest.mark.parametrize("optimizer", ["adamw_8bit", "paged_adamw_8bit", "paged_adamw_32bit"])
def test_optimizers_that_apples_gpu_lacks_are_refused_with_one_that_it_has(tiny_recipe, optimizer):
    recipe = load_recipe(str(tiny_recipe), [f"trainer.optimizer={optimizer}"])
    base, device = find_base(recipe.model), Mps(fake_torch(mps=True))
    with pytest.raises(UserError, match=rf"{optimizer} for Apple M2 Pro\n.*set trainer\.optimizer=adamw_torch"):
        check_can_train(recipe, base, device)
    recipe = load_recipe(str(tiny_recipe), ["trainer.optimizer=adamw_torch"])
    assert check_can_train(recipe, base, device) == "trl"


def test_attention_with_kernels_of_its_own_is_refused_on_apples_gpu(tiny_recipe):
    recipe = load_recipe(str(tiny_recipe), ["trainer.attention=flash_attention_2"])
    with pytest.raises(UserError, match=r"NVIDIA or AMD GPU(.|\n)*trainer\.attention=auto"):
        check_can_train(recipe, find_base(recipe.model), Mps(fake_torch(mps=True)))


def test_the_stand_in_names_only_what_torch_has():
    def check(stand_in, real, path="torch"):
        for name, value in vars(stand_in).items():
            assert hasattr(real, name), f"{path}.{name}"
            if isinstance(value, SimpleNamespace):
                check(value, getattr(real, name), f"{path}.{name}")

    check(fake_torch(), torch)
