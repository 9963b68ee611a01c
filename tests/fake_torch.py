"""A stand-in for the torch module as `training.models.device` asks it: a machine with another chip than this one."""

from types import SimpleNamespace
from unittest.mock import Mock

GIB, MIB = 2**30, 2**20


def fake_torch(*, cuda=False, hip=None, mps=False, bf16=True, macos=15):
    """A torch that finds two cards, an Apple GPU, or neither; calls are recorded by the mocks.

    A card has 80 GiB, of which 50 are free, 8 allocated and 10 reserved; Metal recommends at most 240 MiB, of
    which tensors hold 50 and the driver 70.
    """
    return SimpleNamespace(
        manual_seed=Mock(),
        cpu=SimpleNamespace(_is_avx512_bf16_supported=lambda: bf16),
        version=SimpleNamespace(cuda=None if hip else "12.8", hip=hip),
        backends=SimpleNamespace(
            cpu=SimpleNamespace(get_cpu_capability=lambda: "AVX512"),
            cuda=SimpleNamespace(enable_cudnn_sdp=Mock()),
            mps=SimpleNamespace(
                is_available=lambda: mps,
                get_name=lambda: "Apple M2 Pro",
                is_macos_or_newer=lambda major, _: macos >= major,
            ),
        ),
        cuda=SimpleNamespace(
            is_available=lambda: cuda,
            device_count=lambda: 2,
            get_device_name=lambda index: f"{'AMD MI300X' if hip else 'NVIDIA H200'} {index}",
            get_device_properties=lambda _: SimpleNamespace(total_memory=80 * GIB),
            is_bf16_supported=lambda including_emulation: bf16 and not including_emulation,
            mem_get_info=lambda _: (50 * GIB, 80 * GIB),
            memory_allocated=lambda _: 8 * GIB,
            memory_reserved=lambda _: 10 * GIB,
            max_memory_allocated=lambda _: 12 * GIB,
            max_memory_reserved=lambda _: 14 * GIB,
            reset_peak_memory_stats=Mock(),
            empty_cache=Mock(),
            synchronize=Mock(),
        ),
        mps=SimpleNamespace(
            recommended_max_memory=lambda: 240 * MIB,
            current_allocated_memory=lambda: 50 * MIB,
            driver_allocated_memory=lambda: 70 * MIB,
            empty_cache=Mock(),
            synchronize=Mock(),
        ),
    )
