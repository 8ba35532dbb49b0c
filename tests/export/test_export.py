"""Making bundles: from checkpoints in files and in the hub, what is recorded, and what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch

import terramosaic.model.export.reference
from terramosaic.errors import ModelError, OutputError
from terramosaic.model.bundle import Bundle, load_bundle
from terramosaic.model.export.bundle import write_bundle
from terramosaic.model.export.reference import Reference, build_model, load_reference, tokens_key
from terramosaic.model.selftest import check_bundle
from terramosaic.storage.hashes import sha256_of
from tests.export.conftest import VARIANT, narrow_decoder

CHECKPOINT = "TerraMind_v1_tiny.pt"
COMMIT = "0123456789abcdef0123456789abcdef01234567"
TOKENIZERS = {"S1GRD": "TerraMind_Tokenizer_S1GRD.pt", "LULC": "TerraMind_Tokenizer_LULC.pt"}


@pytest.fixture(scope="module")
def hub(narrow: Reference, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Checkpoints as the hub has them, with the narrow model's weights."""
    folder = tmp_path_factory.mktemp("hub")
    torch.save(narrow.model.sampler.model.state_dict(), folder / CHECKPOINT)
    for target, file in TOKENIZERS.items():
        # The files hold tokenizers' encoders as well.
        weights = narrow.model.tokenizer[tokens_key(target)].state_dict()
        torch.save({**weights, "encoder.pos_emb": torch.zeros(3)}, folder / file)
    return folder


@pytest.fixture
def narrow_models(monkeypatch: pytest.MonkeyPatch) -> None:
    """Models are built with narrow U-Nets, as those that the checkpoints came from."""

    def build(variant: str, targets: list[str], *inputs: Sequence[str], **more: bool) -> torch.nn.Module:
        model = build_model(variant, targets, *inputs, **more)
        for key in model.tokenizer:
            if hasattr(model.tokenizer[key], "noise_scheduler"):
                narrow_decoder(model.tokenizer[key])
        return model

    monkeypatch.setattr(terramosaic.model.export.reference, "build_model", build)


def test_a_bundle_says_what_it_is(bundle: Bundle, narrow: Reference) -> None:
    manifest = bundle.manifest
    assert manifest.variant == VARIANT
    assert "RANDOM WEIGHTS" in manifest.title
    assert manifest.random_weights == 0
    assert list(bundle.inputs) == ["S2L2A", "S2L1C", "S2RGB", "S1GRD", "S1RTC", "DEM"]
    mean = bundle.inputs["S2L2A"].mean
    assert mean is not None
    assert mean[0] == pytest.approx(1390.458)
    assert bundle.inputs["S1RTC"].unit == "dB"
    assert list(bundle.targets) == ["S1GRD", "S1RTC", "NDVI", "LULC", "DEM", "embedding"]
    assert len(bundle.targets["embedding"].channels) == 192
    assert bundle.targets["S1GRD"].codebook_levels == (8, 8, 8, 6, 5)
    assert bundle.targets["LULC"].codebook_levels == (7, 5, 5, 5, 5)
    assert bundle.targets["DEM"].unit == "m"
    assert bundle.targets["NDVI"].x0_clip == 1
    assert {"terratorch", "torch", "onnx"} <= set(manifest.versions)


def test_graphs_are_whole(bundle: Bundle) -> None:
    """Each passes ONNX's own checks, and keeps its weights beside it in one file."""
    for name in bundle.manifest.files:
        if name.endswith(".onnx"):
            onnx.checker.check_model(str(bundle.folder / name))
            assert (bundle.folder / name).stat().st_size < 2e6
            assert name == "draw.onnx" or name.replace(".onnx", ".data") in bundle.manifest.files


def test_the_selftest_passes(bundle: Bundle) -> None:
    check = check_bundle(bundle)
    assert check.failures == ()
    assert [found.target for found in check.targets] == list(bundle.targets)
    assert all(found.relative < 1e-4 and found.tokens in (1, None) for found in check.targets)
    assert all(found.relative > 0 for found in check.targets)


def test_the_same_seed_makes_the_same_bundle(narrow: Reference, bundle: Bundle, tmp_path: Path) -> None:
    again = load_bundle(write_bundle(narrow, tmp_path / "again"))
    assert again.fingerprint == bundle.fingerprint


def test_checkpoints_from_the_hub_and_from_files_make_the_same(
    hub: Path, narrow: Reference, narrow_models: None, tmp_path: Path
) -> None:
    asked: list[tuple[str, str, str | None]] = []

    def fetch(repository: str, file: str, revision: str | None) -> str:
        asked.append((repository, file, revision))
        # As the hub's client keeps them.
        snapshot = hub / repository.replace("/", "--") / "snapshots" / COMMIT
        snapshot.mkdir(parents=True, exist_ok=True)
        shutil.copy(hub / file, snapshot / file)
        return str(snapshot / file)

    revisions = {"": "main", "LULC": "v1.0"}
    from_hub = load_reference(VARIANT, list(TOKENIZERS), fetch=fetch, revisions=revisions)
    repositories = {CHECKPOINT: "ibm-esa-geospatial/TerraMind-1.0-tiny"} | {
        file: f"ibm-esa-geospatial/TerraMind-1.0-Tokenizer-{target}" for target, file in TOKENIZERS.items()
    }
    assert asked == [
        (repository, file, "v1.0" if "LULC" in file else "main") for file, repository in repositories.items()
    ]
    assert from_hub.origins == {file: f"{repository}@{COMMIT}" for file, repository in repositories.items()}
    from_files = load_reference(
        VARIANT,
        list(TOKENIZERS),
        checkpoint=hub / CHECKPOINT,
        tokenizer_checkpoints={target: hub / file for target, file in TOKENIZERS.items()},
    )
    assert from_files.origins == {}
    for loaded in (from_hub, from_files):
        assert loaded.seed is None
        assert loaded.checkpoints == {
            file: sha256_of(hub / file) for file in (CHECKPOINT, *TOKENIZERS.values())
        }
        weights, wanted = loaded.model.state_dict(), narrow.model.state_dict()
        for name, tensor in weights.items():
            assert torch.equal(tensor, wanted[name]), name
    windows = np.full((1, 12, 224, 224), 1500, np.float32)
    noise = {"S1GRD": np.zeros((1, 2, 224, 224), np.float32)}
    a, b = (found.generate({"S2L2A": windows}, noise, 1)[0] for found in (from_hub, from_files))
    np.testing.assert_array_equal(a["S1GRD"], b["S1GRD"])


def test_without_a_way_to_the_hub_the_missing_file_is_named(tmp_path: Path) -> None:
    def refuse(repository: str, file: str, revision: str | None) -> str:
        raise ConnectionError("no route to host")

    with pytest.raises(ModelError) as caught:
        load_reference(VARIANT, ["NDVI"], fetch=refuse)
    assert caught.value.exit_code == 5
    for words in ("TerraMind_v1_tiny.pt", "TerraMind-1.0-tiny", "--checkpoint FILE", "no route to host"):
        assert words in str(caught.value)
    (tmp_path / "weights.pt").touch()
    with pytest.raises(ModelError, match=r"TerraMind_Tokenizer_NDVI\.pt .*--tokenizer-checkpoint NDVI=FILE"):
        load_reference(VARIANT, ["NDVI"], checkpoint=tmp_path / "weights.pt", fetch=refuse)


Change = Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (
            lambda weights: {name: tensor for name, tensor in weights.items() if name != "mask_token"},
            "lacks 1 of .* weights, the first is mask_token",
        ),
        (lambda weights: weights | {"mask_token": torch.zeros(1, 1, 768)}, "mask_token has shape"),
    ],
)
def test_a_checkpoint_of_another_model_is_refused(
    hub: Path, narrow_models: None, tmp_path: Path, change: Change, message: str
) -> None:
    """terratorch itself would go on with random weights."""
    torch.save(change(torch.load(hub / CHECKPOINT)), tmp_path / "other.pt")
    tokenizers = {"LULC": hub / TOKENIZERS["LULC"]}
    with pytest.raises(ModelError, match=message):
        load_reference(VARIANT, ["LULC"], checkpoint=tmp_path / "other.pt", tokenizer_checkpoints=tokenizers)


def test_a_file_that_is_no_checkpoint_is_refused(hub: Path, narrow_models: None, tmp_path: Path) -> None:
    (tmp_path / "text.pt").write_text("not a checkpoint")
    tokenizers = {"LULC": hub / TOKENIZERS["LULC"]}
    with pytest.raises(ModelError, match=r"text\.pt: is no checkpoint that torch reads"):
        load_reference(VARIANT, ["LULC"], checkpoint=tmp_path / "text.pt", tokenizer_checkpoints=tokenizers)


def test_a_folder_that_is_there_is_kept(narrow: Reference, tmp_path: Path) -> None:
    (tmp_path / "bundle.json").write_text("{}")
    with pytest.raises(OutputError, match="is there already"):
        write_bundle(narrow, tmp_path)
    assert json.loads((tmp_path / "bundle.json").read_text()) == {}


def test_a_half_written_bundle_is_never_seen(narrow: Reference, tmp_path: Path) -> None:
    def stop(name: str, done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        write_bundle(narrow, tmp_path / "bundle", progress=stop)
    assert list(tmp_path.iterdir()) == []
