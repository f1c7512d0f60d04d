"""Times of a model: what is timed, in which order, and that the figures are those of the times
kept.
"""

import json
import statistics
import sys
import time
from types import SimpleNamespace

import pytest
import torch

from attnbench.models.names import known_models
from attnbench.study.settings import parse_study
from attnbench.training.energy import energy_between, energy_used
from attnbench.training.measure import FEWEST, measure_model, time_in_turn

CPU = torch.device("cpu")


def test_figures_are_medians_of_the_times_kept(store, tmp_path):
    name, ndim = store.info.name, store.info.ndim
    study = parse_study(
        {
            "name": "small",
            "output": str(tmp_path),
            "datasets": [{"name": name, "patch": [16] * ndim, "batch": 3}],
            "models": ["unet", "self_attention"],
            "backbone": {"widths": [4, 8], "blocks_per_level": 1},
            "compute": {"device": "cpu"},
        },
        known_models(),
    )
    target = study.layout.prepared(name)
    target.parent.mkdir(parents=True)
    store.folder.rename(target)
    measure_model(study, name, "self_attention")
    facts = json.loads(study.layout.measured(name, "self_attention").read_text())
    assert (facts["batch"], facts["input"]) == (3, [2, *[16] * ndim])
    assert set(facts["seconds"]) == {"latency", "inference", "step"}
    for kind, times in facts["seconds"].items():
        assert len(times) == facts["rounds"] >= FEWEST and min(times) > 0
        assert facts[f"{kind}_seconds"] == statistics.median(times)
        assert facts[f"{kind}_peak_bytes"] is None
    for kind in ("inference", "step"):
        assert facts[f"{kind}_images_per_second"] == pytest.approx(3 / facts[f"{kind}_seconds"])
    assert (
        facts["device"].startswith("cpu")
        and facts["threads"] == 1
        and facts["precision"] == "float32"
    )


def test_works_are_timed_in_turn_and_each_by_itself():
    calls: list[str] = []

    def work(name, seconds):
        return lambda: (calls.append(name), time.sleep(seconds))

    times = time_in_turn({"short": work("short", 0.002), "long": work("long", 0.02)}, CPU)
    assert calls == ["short", "long"] * (len(calls) // 2) and len(times["short"]) >= FEWEST
    assert min(times["long"]) >= 0.02 and min(times["short"]) >= 0.002
    assert statistics.median(times["short"]) < statistics.median(times["long"])


def test_slow_works_are_still_timed_often_enough_for_a_median():
    assert len(time_in_turn({"slow": lambda: time.sleep(0.4)}, CPU)["slow"]) == FEWEST


def test_without_a_meter_energy_is_unknown_and_not_zero():
    assert energy_used(CPU) is None
    assert energy_between(None, 5.0) is None and energy_between(5.0, None) is None
    assert energy_between(5.0, 7.5) == 2.5


def test_the_counter_is_that_of_the_runs_gpu_in_joules(monkeypatch):
    """The NVML library, replaced by one with two GPUs: identified by UUID, since NVML numbers
    all GPUs of a machine.
    """
    counters = {"GPU-1a": 1_500, "GPU-2b": 9_000_000}

    class Refused(Exception):
        pass

    def handle(uuid):
        if uuid not in counters:
            raise Refused("no such device")
        return uuid

    nvml = SimpleNamespace(
        NVMLError=Refused,
        nvmlInit=lambda: None,
        nvmlDeviceGetHandleByUUID=handle,
        nvmlDeviceGetTotalEnergyConsumption=counters.__getitem__,
    )
    monkeypatch.setitem(sys.modules, "pynvml", nvml)
    for uuid, joules in (("1a", 1.5), ("2b", 9000.0), ("3c", None)):
        monkeypatch.setattr(
            torch.cuda,
            "get_device_properties",
            lambda device, uuid=uuid: SimpleNamespace(uuid=uuid),
        )
        assert energy_used(torch.device("cuda", 0)) == joules
