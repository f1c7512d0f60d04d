"""Memory that ran out, by the errors that torch and Python raise; really in tests/robust."""

import numpy as np
import pytest
import torch
from torch import nn

from attnbench.data.folds import write_folds
from attnbench.errors import OutOfMemory
from attnbench.inference.sliding import windows_at_once
from attnbench.inference.trained import Trained
from attnbench.models.names import known_models
from attnbench.study.groups import FoldsSettings
from attnbench.study.paths import Run
from attnbench.study.settings import parse_study
from attnbench.training.memory import bytes_asked, is_out_of_memory, naming_memory
from attnbench.training.run import load_inputs

CPU = torch.device("cpu")
RUN = Run("made2d", "unet", 0, 0)


def content(folder, **training):
    return {
        "name": "tight", "output": str(folder), "models": ["unet"], "compute": {"device": "cpu"},
        "datasets": [{"name": "made2d", "patch": [64, 64]}],
        "backbone": {"widths": [8, 16], "blocks_per_level": 1},
        "folds": {"outer": 2, "inner": 2},
        "training": {"steps": 1, "batch": 192, "validate_every": 1, **training},
    }  # fmt: skip


@pytest.fixture
def folder(store, tmp_path):
    if store.info.ndim == 3:
        pytest.skip("one dimension is enough")
    study = parse_study(content(tmp_path), known_models())
    target = study.layout.prepared("made2d")
    target.parent.mkdir(parents=True)
    store.folder.rename(target)
    write_folds(target, FoldsSettings(outer=2, inner=2), study.layout.folds("made2d"))
    return tmp_path


def load_inputs_of(folder):
    return load_inputs(parse_study(content(folder), known_models()), RUN)


class Full(nn.Module):
    """Raises the error of CUDA that memory ran out: made here on the CPU, of torch's own class."""

    def forward(self, x):
        raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 1.50 GiB. GPU 0 has")


def test_prediction_says_network_and_windows(folder):
    inputs = load_inputs_of(folder)
    stamp = {"dataset": "made2d", "model": "unet", "fold": 0, "seed": 0}
    trained = Trained(inputs, Full(), CPU, None, (), stamp)
    with pytest.raises(OutOfMemory) as caught:
        next(trained.predict(inputs.store, [0]))
    said = str(caught.value)
    assert "in prediction by made2d/unet/fold0-seed0: 1.50 GiB more were asked for" in said
    assert "window(s) at a time of 2 x 64 x 64" in said and "(`compute.memory_mb`" in said


@pytest.mark.parametrize(
    ("error", "ran_out", "asked"),
    [
        (torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 20.00 MiB."),
         True, 20 << 20),
        (MemoryError(), True, None),
        (RuntimeError("[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't "
                      "allocate memory: you tried to allocate 123456 bytes. Error code 12"),
         True, 123456),
        (RuntimeError("MPS backend out of memory (MPS allocated: 1 GB). Tried to allocate 2 GiB"),
         True, 2 << 30),
        (RuntimeError("could not create a primitive"), True, None),
        (RuntimeError("std::bad_alloc"), True, None),
        (RuntimeError("mat1 and mat2 shapes cannot be multiplied (2x3 and 4x5)"), False, None),
        (ValueError("out of memory"), False, None),
        (KeyError("x"), False, None),
    ],
)  # fmt: skip
def test_errors_that_say_so_and_others(error, ran_out, asked):
    assert is_out_of_memory(error) is ran_out
    if ran_out:
        assert bytes_asked(error) == asked
        with pytest.raises(OutOfMemory, match="out of memory"), naming_memory("work", CPU, list):
            raise error
    else:
        with pytest.raises(type(error)), naming_memory("work", CPU, list):
            raise error


def test_numpy_says_how_much_was_asked_for():
    with pytest.raises(MemoryError) as caught:
        np.empty(2**60, np.uint8)
    assert is_out_of_memory(caught.value) and bytes_asked(caught.value) == 2**60


def test_what_the_work_held_is_free_when_the_facts_are_asked_for():
    import weakref

    held = []

    def work():
        tensor = torch.zeros(10)
        held.append(weakref.ref(tensor))
        raise MemoryError

    def facts():
        assert held[0]() is None
        return ["and so on"]

    with pytest.raises(OutOfMemory, match="and so on"), naming_memory("work", CPU, facts):
        work()


@pytest.mark.parametrize(
    ("window", "count"),
    [((128, 128), 16), ((512, 512), 16), ((1024, 1024), 8), ((64, 64, 64), 16),
     ((128, 128, 128), 4), ((256, 256, 256), 1)],
)  # fmt: skip
def test_windows_of_a_pass_are_bounded_by_their_voxels(window, count):
    found = windows_at_once(window, torch.device("cuda"))
    assert found == count
    # At 128 channels, twice a width of 64 joined with its skip, indices stay in 31 bits.
    assert found == 1 or found * np.prod(window) * 128 < 2**31
