"""What a bundle is refused for, before anything of it runs."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from terramosaic.errors import ModelError, RequestError
from terramosaic.model.bundle import DEMO_FOLDER, load_bundle
from terramosaic.model.manifest import LULC_CLASSES

Edit = Callable[[dict[str, Any]], Any]


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    return Path(shutil.copytree(DEMO_FOLDER, tmp_path / "bundle"))


def edit(folder: Path, change: Edit) -> Path:
    content = json.loads((folder / "bundle.json").read_text(encoding="utf-8"))
    change(content)
    (folder / "bundle.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def refusal(folder: Path) -> str:
    with pytest.raises(ModelError) as caught:
        load_bundle(folder)
    message = str(caught.value)
    assert "\n" not in message
    return message


def test_the_shipped_bundle_says_that_it_is_not_terramind() -> None:
    bundle = load_bundle("demo")
    assert bundle.name == "demo"
    assert "NOT TerraMind" in bundle.title
    assert not bundle.is_terramind
    assert tuple(bundle.targets) == ("S1GRD", "S1RTC", "NDVI", "LULC")
    assert {name: spec.planes for name, spec in bundle.targets.items()} == {
        "S1GRD": 2,
        "S1RTC": 2,
        "NDVI": 1,
        "LULC": 10,
    }


def test_land_cover_values_are_those_of_the_annual_land_cover() -> None:
    assert [land_cover.value for land_cover in LULC_CLASSES] == [0, 1, 2, 4, 5, 7, 8, 9, 10, 11]
    assert load_bundle("demo").targets["LULC"].classes == LULC_CLASSES


def test_a_target_that_is_not_there_is_a_wrong_request_that_lists_the_others() -> None:
    bundle = load_bundle("demo")
    bundle.require(["NDVI", "LULC"])
    with pytest.raises(RequestError, match=r"'demo' has no DEM; it generates S1GRD, S1RTC, NDVI, LULC"):
        bundle.require(["NDVI", "DEM"])


def test_the_fingerprint_follows_content_and_neither_place_nor_layout(copy: Path) -> None:
    shipped = load_bundle("demo").fingerprint
    assert load_bundle(edit(copy, lambda c: c.update(name=c.pop("name")))).fingerprint == shipped
    assert load_bundle(edit(copy, lambda content: content.update(title="another"))).fingerprint != shipped


def test_a_folder_that_does_not_exist_is_a_wrong_request(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="model: there is no folder"):
        load_bundle(tmp_path / "nowhere")


def test_a_folder_without_a_manifest_is_no_bundle(tmp_path: Path) -> None:
    assert "it has no bundle.json" in refusal(tmp_path)


def test_a_manifest_that_is_not_json(copy: Path) -> None:
    (copy / "bundle.json").write_text("{", encoding="utf-8")
    assert "bundle.json cannot be read" in refusal(copy)


def test_a_changed_file_of_the_same_size_is_found_by_its_hash(copy: Path) -> None:
    load_bundle(copy)  # so that the cached hash is in the way
    content = bytearray((copy / "NDVI.onnx").read_bytes())
    content[-1] ^= 1
    (copy / "NDVI.onnx").write_bytes(content)
    message = refusal(copy)
    assert "NDVI.onnx: sha256: is" in message


def test_a_truncated_file_is_found_by_its_size(copy: Path) -> None:
    content = (copy / "LULC.onnx").read_bytes()
    (copy / "LULC.onnx").write_bytes(content[:-1])
    assert f"LULC.onnx: size: is {len(content) - 1} bytes, bundle.json says {len(content)}" in refusal(copy)


def test_a_missing_file(copy: Path) -> None:
    (copy / "S1GRD.onnx").unlink()
    assert "S1GRD.onnx: files.S1GRD.onnx: cannot be read: No such file" in refusal(copy)


def test_a_link_out_of_the_folder_is_refused_although_the_content_is_right(
    copy: Path, tmp_path: Path
) -> None:
    shutil.move(copy / "NDVI.onnx", tmp_path / "elsewhere.onnx")
    (copy / "NDVI.onnx").symlink_to(tmp_path / "elsewhere.onnx")
    assert "files.NDVI.onnx: leads out of the folder" in refusal(copy)


@pytest.mark.parametrize(
    "name", ["../NDVI.onnx", "/NDVI.onnx", "a/../../NDVI.onnx", "..\\NDVI.onnx", "C:NDVI.onnx", ""]
)
def test_a_path_out_of_the_folder_is_refused(copy: Path, name: str) -> None:
    def change(content: dict[str, Any]) -> None:
        content["files"][name] = content["files"].pop("NDVI.onnx")
        content["targets"]["NDVI"]["graphs"]["generate"] = name

    assert "targets.NDVI.graphs.generate" in refusal(edit(copy, change))


def test_a_graph_that_is_none_is_refused_even_with_the_right_hash(copy: Path) -> None:
    def swap(content: dict[str, Any]) -> None:
        content["files"]["NDVI.onnx"] = content["files"]["note.txt"] = {
            "size": 5,
            "sha256": "2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824",
        }

    for name in ("NDVI.onnx", "note.txt"):
        (copy / name).write_bytes(b"hello")
    assert "NDVI.onnx: is no graph that ONNX Runtime opens" in refusal(edit(copy, swap))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda c: c.update(format="safetensors"), "bundle.json: format: is not 'terramosaic-bundle'"),
        (lambda c: c.update(version=3), "bundle.json: version: is 3, this engine reads 2 and 1"),
        (lambda c: c.pop("version"), "bundle.json: version: is None"),
        (lambda c: c.update(colour="red"), "bundle.json: colour: Extra inputs are not permitted"),
        (lambda c: c["targets"]["NDVI"].update(kind="magic"), "targets.NDVI.kind: Input should be 'direct'"),
        (lambda c: c["targets"]["NDVI"].update(kind="diffusion"), "diffusion target needs schedule"),
        (lambda c: c["targets"].clear(), "bundle.json: targets: "),
        (lambda c: c["files"].pop("NDVI.onnx"), "targets.NDVI.graphs.generate names 'NDVI.onnx'"),
        (lambda c: c.update(window=225), "window: 225 is not made of two or more patches of 16"),
        (lambda c: c.update(window=16), "window: 16 is not made of two or more patches of 16"),
        (lambda c: c.update(stride=200), "stride: is 200; windows of 224 pixels lie a multiple of 16 apart"),
        (lambda c: c.update(window=256), "[N, 2, 224, 224] in the graph, but tensor(float) [N, 2, 256, 256]"),
        (lambda c: c["inputs"]["S2L2A"]["bands"].append("B10"), "inputs.S2L2A: bands must be out of B01 B02"),
        (lambda c: c["inputs"]["S2L2A"]["bands"].append("B02"), "bands must be distinct names"),
        (lambda c: c["inputs"]["S2L2A"].update(mean=[1.0, 2.0]), "mean has 2 numbers for 12 bands"),
        (
            lambda c: c["inputs"]["S2L2A"].update(graphs={"embed": "NDVI.onnx"}),
            "S2L2A need no graphs of their",
        ),
        (lambda c: c["inputs"].clear(), "bundle.json: inputs: "),
        (lambda c: c["targets"].update(quality=c["targets"]["NDVI"]), "'quality' is the name of a layer"),
        (lambda c: c["targets"].update({"my_map": c["targets"]["NDVI"]}), "String should match pattern"),
        (
            lambda c: c["targets"].update(embedding=c["targets"]["NDVI"]),
            "is the name of the target of that kind",
        ),
        (
            lambda c: c["targets"]["NDVI"].update(kind="embedding"),
            "an embedding is values of the graph context",
        ),
        (lambda c: c["targets"].update(ndvi=c["targets"]["NDVI"]), "targets must differ in more than case"),
        (lambda c: c["targets"]["LULC"]["classes"].pop(0), "classes must be in the order of index"),
        (lambda c: c["targets"]["LULC"].update(classes=[]), "an output of probabilities has classes"),
        (
            lambda c: c["inputs"]["S2L2A"]["bands"].pop(),
            "input 'windows' is tensor(float) [N, 12, 224, 224] in the graph, but tensor(float) [N, 11, 224",
        ),
        (
            lambda c: c["targets"]["S1GRD"].update(noise_channels=0),
            "input 'noise' is tensor(float) [N, 2, 224, 224]",
        ),
        (lambda c: c["targets"]["NDVI"].update(uniform=True), "input 'uniform' is absent in the graph"),
        (
            lambda c: c["targets"]["NDVI"].update(channels=["a", "b"]),
            "output 'NDVI' is tensor(float) [N, 1, 224, 224]",
        ),
    ],
)
def test_a_manifest_that_is_wrong(copy: Path, change: Edit, message: str) -> None:
    assert message in refusal(edit(copy, change))


def _of_version_1(content: dict[str, Any]) -> None:
    content.update(version=1, input=content.pop("inputs")["S2L2A"])
    content["input"].pop("graphs", None)


def test_a_bundle_of_version_1_took_sentinel_2_alone(copy: Path) -> None:
    wanted = load_bundle(copy).inputs
    assert load_bundle(edit(copy, _of_version_1)).inputs == wanted


def test_terramind_of_version_1_is_to_be_exported_anew(copy: Path) -> None:
    def change(content: dict[str, Any]) -> None:
        _of_version_1(content)
        content["graphs"] = {"encode": "NDVI.onnx", "decode": "LULC.onnx"}

    assert "version: is 1, whose TerraMind takes Sentinel-2 alone" in refusal(edit(copy, change))


def test_a_terramind_bundle_can_be_described(copy: Path) -> None:
    """The schema holds a diffusion target with its own and with shared graphs."""

    def change(content: dict[str, Any]) -> None:
        content.update(family="terramind", variant="terramind_v1_base", conditioning="chained")
        content["graphs"] = {"context": "NDVI.onnx", "decode": "LULC.onnx"}
        content["inputs"]["S2L2A"]["graphs"] = {"embed": "S1RTC.onnx"}
        content["checkpoints"] = {"TerraMind_v1_base.pt": "0" * 64}
        content["inputs"]["S2L2A"].update(mean=[1000.0] * 12, std=[500.0] * 12)
        content["targets"]["S1GRD"].update(
            kind="diffusion",
            uniform=True,
            codebook_levels=[8, 8, 8, 6, 5],
            sampling={"temperature": 1.0, "top_p": 0.8},
            schedule={
                "training_steps": 1000,
                "betas": "linear",
                "zero_terminal_snr": True,
                "prediction": "x0",
                "spacing": "trailing",
                "eta": 0.0,
                "default_steps": 10,
            },
            x0_clip=1.0,
            graphs={"tokens": "S1GRD.onnx", "step": "S1RTC.onnx"},
        )

    bundle = load_bundle(edit(copy, change))
    assert bundle.is_terramind
    assert bundle.targets["S1GRD"].x0_clip == 1.0
