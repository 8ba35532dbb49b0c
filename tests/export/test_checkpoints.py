"""Files of weights as training tools and the hub leave them, loaded into a small model."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from terramosaic.errors import ModelError
from terramosaic.model.export import checkpoints
from terramosaic.model.export.checkpoints import hash_of, load_weights

Weights = dict[str, torch.Tensor]


class Small(torch.nn.Module):
    def __init__(self, seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.encoder = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.Linear(4, 4))
        self.last = torch.nn.Embedding(5, 4)


@pytest.fixture
def trained() -> Weights:
    return Small(1).state_dict()


def other(weights: Weights) -> Weights:
    return {name: tensor + 1 for name, tensor in weights.items()}


def under(prefix: str, weights: Weights) -> Weights:
    return {prefix + name: tensor for name, tensor in weights.items()}


WAYS: dict[str, Callable[[Weights], Any]] = {
    "flat": lambda weights: weights,
    "model": lambda weights: {"model": weights, "epoch": 3},
    "Lightning": lambda weights: {"state_dict": under("model.", weights), "hyper_parameters": {"lr": 0.1}},
    "terratorch's generation": lambda weights: under("sampler.model.", weights),
    "terratorch's task": lambda weights: {"state_dict": under("model.encoder.", weights)},
    "parallel": lambda weights: under("module.", weights),
    "an average alone": lambda weights: {"ema_model": weights},
    "an average alone, of parallel weights": lambda weights: {
        "model_ema": under("module.", weights),
        "step": 1,
    },
    "an average beside": lambda weights: {"model": weights, "model_ema": other(weights)},
    "an average beside, by prefix": lambda weights: (
        under("model.", weights) | under("ema_model.module.", other(weights))
    ),
    "a number beside": lambda weights: weights | {"step": 7},
    "half precision": lambda weights: {name: tensor.half() for name, tensor in weights.items()},
}


@pytest.mark.parametrize("is_zip", [True, False], ids=["zip", "of before torch 1.6"])
@pytest.mark.parametrize("way", WAYS)
def test_weights_are_found_however_they_were_saved(
    trained: Weights, tmp_path: Path, way: str, is_zip: bool
) -> None:
    if way == "half precision":
        trained = {name: tensor.half().float() for name, tensor in trained.items()}
    torch.save(WAYS[way](trained), tmp_path / "w.pt", _use_new_zipfile_serialization=is_zip)
    model = Small(2)
    assert load_weights(model, tmp_path / "w.pt") == []
    for name, tensor in model.state_dict().items():
        assert tensor.dtype == torch.float32 and torch.equal(tensor, trained[name]), name


@pytest.mark.parametrize(
    ("way", "said"),
    [
        ("an average alone", "(ema_model); that is taken, for it holds no others"),
        ("an average beside", "(model_ema); the weights themselves are taken"),
        ("flat", ""),
    ],
)
def test_an_average_of_weights_is_told(
    trained: Weights, tmp_path: Path, caplog: pytest.LogCaptureFixture, way: str, said: str
) -> None:
    torch.save(WAYS[way](trained), tmp_path / "w.pt")
    with caplog.at_level(logging.WARNING):
        load_weights(Small(2), tmp_path / "w.pt")
    assert said in caplog.text and bool(said) == bool(caplog.text)


def test_what_terratorch_itself_does_without_may_be_missing_and_nothing_else(
    trained: Weights, tmp_path: Path
) -> None:
    lacking = {name: tensor for name, tensor in trained.items() if name != "last.weight"}
    torch.save(under("sampler.model.", lacking), tmp_path / "w.pt")
    assert load_weights(Small(2), tmp_path / "w.pt", {"last.weight"}) == ["last.weight"]
    with pytest.raises(ModelError, match=r"lacks 1 of 5 weights, the first is last\.weight"):
        load_weights(Small(2), tmp_path / "w.pt")


def test_code_in_a_file_is_not_run(trained: Weights, tmp_path: Path) -> None:
    class Runs:
        def __reduce__(self) -> tuple[Any, ...]:
            return (Path.touch, (tmp_path / "ran",))

    for is_zip in (True, False):
        torch.save(trained | {"x": Runs()}, tmp_path / "w.pt", _use_new_zipfile_serialization=is_zip)
        with pytest.raises(ModelError, match="is no checkpoint that torch reads"):
            load_weights(Small(2), tmp_path / "w.pt")
    assert not (tmp_path / "ran").exists()


def test_a_file_of_a_published_name_that_is_another_one_is_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "TerraMind_Tokenizer_S2L2A.pt"
    file.write_bytes(b"another one")
    found = hash_of(file)
    assert "is not the published file of this name" in caplog.text
    caplog.clear()
    monkeypatch.setattr(checkpoints, "PUBLISHED", {file.name: found})
    assert hash_of(file) == found and not caplog.text
