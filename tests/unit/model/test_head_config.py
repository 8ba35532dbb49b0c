"""What files of fine-tuned models say: real configurations are read, or it is told in a line why they are not."""

from __future__ import annotations

import copy
import json
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from terramosaic.bands import INPUT_BANDS
from terramosaic.cli.model import export_command
from terramosaic.errors import RequestError
from terramosaic.model.export import export_head
from terramosaic.model.export.head_config import config_of, read_config
from terramosaic.model.packing.spec import read_yaml

READ = {
    "ibm_terramind_base_burnscars": ({"S2L2A": ("B02 B03 B04 B8A B11 B12", "reflectance")}, 224, ("Others", "Burned")),
    "ibm_terramind_base_sen1floods11": (
        {"S2L1C": ("B01 B02 B03 B04 B05 B06 B07 B08 B8A B09 B10 B11 B12", "DN"), "S1GRD": ("VV VH", "dB")},
        224,
        ("Others", "Flood"),
    ),
}  # fmt: skip
READ["ibm_terramind_base_tim_lulc_sen1floods11"] = READ["ibm_terramind_base_sen1floods11"]
TOLD = {
    "cryosentinel_large_upernet": "it has no model.init_args.model_args, as terratorch's configurations have",
    "geobench2_substation_base_maskrcnn": "ObjectDetectionTask makes no map of pixels",
    "gorry_fork_drone_small": "S2L2A has no band RED_EDGE, THERMAL",
    "ibm_terramind_base_multitemporal_crop": "stats: no means of S2L2A, which no checkpoint holds",
    "impactmesh_base_impactmesh_flood": "stats: no means of S2L2A, which no checkpoint holds",
    "nyc_lora_buildings": "it has no model.init_args.model_args, as terratorch's configurations have",
    "nyc_phase2_lulc": "stats: no means of S2L2A, which no checkpoint holds",
    "nyc_phase3_tim": "stats: no means of S2L2A, which no checkpoint holds",
    "studio_multimodal_seg_template": "is a template (Jinja), not filled in; give the file that was made of it",
    "terratorch_detection_elephants_base": "ObjectDetectionTask makes no map of pixels",
    "terratorch_embeddings": "model export terramind_v1_base --targets embedding --inputs S2L2A,S2L1C,S1GRD",
    "terratorch_integration_base_sen1floods11": "backbone_bands of S2L1C are numbers, which tell no band",
    "terratorch_test_base_regression": "windows of 56 pixels are none that patches of 16 pixels fill; say --window 224",
}

#: As a configuration of terratorch's has it.
MODEL: dict[str, Any] = {
    "class_path": "terratorch.tasks.SemanticSegmentationTask",
    "init_args": {
        "model_factory": "EncoderDecoderFactory",
        "model_args": {
            "backbone": "terramind_v1_tiny",
            "backbone_modalities": ["S1RTC", "S2L2A"],
            "num_classes": 3,
            "decoder": "UNetDecoder",
        },
        "tiled_inference_parameters": {"crop": 256, "stride": 208},
    },
}
DATA: dict[str, Any] = {
    "modalities": ["S2L2A", "S1RTC"],
    "means": {"S2L2A": [1400.0] * 12, "S1RTC": [-11, -17]},
    "stds": {"S2L2A": [2000.0] * 12, "S1RTC": [4, 4]},
}


def real(shared_data: Path, name: str) -> tuple[dict[str, Any], dict[str, Any]]:
    content = read_yaml(shared_data / "terratorch-configs" / f"{name}.yaml", "config")
    return content.get("model") or {}, (content.get("data") or {}).get("init_args") or {}


@pytest.mark.parametrize("name", READ)
def test_a_real_configuration_is_read(shared_data: Path, name: str) -> None:
    inputs, window, classes = READ[name]
    found = config_of(*real(shared_data, name))
    assert {key: (" ".join(item.bands), item.unit) for key, item in found.inputs.items()} == inputs
    assert (found.window, found.classes, found.task) == (window, classes, "segmentation")
    assert found.thinks == ("_tim_" in name)


@pytest.mark.parametrize("name", TOLD)
def test_a_real_configuration_is_told_in_a_line(shared_data: Path, name: str) -> None:
    with pytest.raises(RequestError) as error:
        config_of(*real(shared_data, name))
    assert TOLD[name] in str(error.value) and "\n" not in str(error.value)


def test_all_real_configurations_are_known_here(shared_data: Path) -> None:
    files = {path.stem for path in (shared_data / "terratorch-configs").glob("*.yaml")}
    assert files <= {*READ, *TOLD}


def test_inputs_come_in_the_order_of_the_data_and_tiles_decide_windows() -> None:
    found = config_of(MODEL, DATA)
    assert list(found.inputs) == ["S2L2A", "S1RTC"]
    assert (found.window, found.stride, found.classes) == (256, 208, ("class 0", "class 1", "class 2"))
    named = config_of(MODEL, DATA, classes=["land", "water", "ice"])
    assert named.classes == ("land", "water", "ice")


def test_statistics_of_all_bands_are_cut_to_those_that_the_model_takes() -> None:
    model, data = copy.deepcopy(MODEL), copy.deepcopy(DATA)
    model["init_args"]["model_args"]["backbone_bands"] = {"S2L2A": ["RED", "B08", "nir08"]}
    data["means"]["S2L2A"] = list(range(100, 112))
    found = config_of(model, data).inputs["S2L2A"]
    assert found.bands == ("B04", "B08", "B8A") and found.mean == (103, 107, 108)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda m, d: d.pop("means"), "stats: no means of S2L2A, which no checkpoint holds; give"),
        (lambda m, d: d["stds"].update(S1RTC=[1]), "stats: stds of S1RTC has 1 numbers for 2 bands"),
        (lambda m, d: m["init_args"]["model_args"].update(num_classes=None), "num_classes is missing"),
        (lambda m, d: m["init_args"].update(class_names=["a"]), "classes: 1 names for 3 classes"),
        (lambda m, d: m["init_args"]["model_args"].update(backbone="prithvi_eo_v2_300"), "the backbone is prithvi"),
        (lambda m, d: m["init_args"]["model_args"].update(backbone_use_temporal=True), "say --dates N"),
        (lambda m, d: m["init_args"]["model_args"].update(
            backbone_use_temporal=True, backbone_temporal_n_timestamps=25), "dates: 25 dates are none"),
        (lambda m, d: m["init_args"]["model_args"].update(
            backbone_use_temporal=True, backbone_temporal_pooling="keep"), "dates are pooled by keep; concat"),
        (lambda m, d: m["init_args"]["model_args"].update(peft_config={"r": 8}), "peft_config has no method"),
        (lambda m, d: m["init_args"]["model_args"].update(peft_config={"method": "IA3"}), "method is IA3; LORA can"),
        (
            lambda m, d: m["init_args"]["model_args"].update(
                peft_config={"method": "LORA", "peft_config_kwargs": {"use_dora": True}}
            ),
            "use_dora cannot be exported; merge the adapters in peft",
        ),
        (
            lambda m, d: m["init_args"]["model_args"].update(
                backbone="terramind_v1_base_tim", backbone_bands={"S2L2A": ["RED"]}
            ),
            "backbone_bands with thinking in modalities",
        ),
        (lambda m, d: m["init_args"]["model_args"].update(
            decoder="UperNetDecoder", decoder_channels=[512, 256, 128, 64]), "UperNetDecoder takes one number"),
        (lambda m, d: m["init_args"].update(model_factory="SMPModelFactory"), "model_factory is SMPModelFactory"),
        (lambda m, d: m["init_args"]["model_args"].update(backbone_modalities=["S2L2A", "NDVI"]), "NDVI is no input"),
    ],
)  # fmt: skip
def test_what_is_missing_or_cannot_be_is_told(change: Any, told: str) -> None:
    model, data = copy.deepcopy(MODEL), copy.deepcopy(DATA)
    change(model, data)
    with pytest.raises(RequestError) as error:
        config_of(model, data)
    assert told in str(error.value) and "\n" not in str(error.value)


#: What nothing of a configuration should be, at any place of it.
ODD: tuple[Any, ...] = (
    None,
    "",
    "x",
    0,
    -1,
    2.5,
    True,
    [],
    ["x"],
    [None],
    [{"fc": 3}],
    {},
    {"x": 1},
    {"x": [1]},
)


def places_in(content: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    parts = (
        content.items()
        if isinstance(content, dict)
        else enumerate(content)
        if isinstance(content, list)
        else ()
    )
    return [path, *(place for key, part in parts for place in places_in(part, (*path, key)))]


def test_whatever_stands_somewhere_in_a_configuration_is_told_in_a_line(tmp_path: Path) -> None:
    full = copy.deepcopy(MODEL)
    full["init_args"]["class_names"] = ["a", "b", "c"]
    full["init_args"]["model_args"] |= {
        "backbone_bands": {"S2L2A": ["RED", "B08"]},
        "backbone_use_temporal": True,
        "backbone_temporal_n_timestamps": 2,
        "backbone_temporal_subset_lengths": [1, 1],
        "backbone_img_size": 224,
        "peft_config": {"method": "LORA", "peft_config_kwargs": {"r": 8, "lora_alpha": 16}},
    }
    whole = {"model": full, "data": {"init_args": DATA | {"timesteps": [0, 1]}}}
    for place in places_in(whole)[1:]:
        for odd in ODD:
            content = copy.deepcopy(whole)
            part: Any = content
            for key in place[:-1]:
                part = part[key]
            part[place[-1]] = odd
            path = tmp_path / "config.yaml"
            path.write_text(json.dumps(content))
            try:
                read_config(path, None, {})
            except RequestError as error:
                assert "\n" not in str(error), (place, odd)


@pytest.mark.parametrize(
    ("bands", "told"),
    [
        ({"S2L1C": ["B02"]}, "1 of S2L1C are named, each to be named once; the model takes 13"),
        ({"S2L1C": ["B02"] * 13}, "13 of S2L1C are named, each to be named once"),
        ({"S2L1C": ["THERMAL"]}, "bands: S2L1C has no band THERMAL; it has B01"),
        ({"DEM": ["DEM"]}, "bands: DEM is no input of the model, which takes S2L1C, S1GRD"),
    ],
)
def test_bands_by_number_are_named_by_an_option(shared_data: Path, bands: Any, told: str) -> None:
    """Terratorch's integration test and Geospatial Studio write the numbers of bands."""
    model, data = real(shared_data, "terratorch_integration_base_sen1floods11")
    named = {"S2L1C": [*INPUT_BANDS["S2L1C"][::-1]], "S1GRD": ["vv", "VH"]}
    found = config_of(model, data, bands=named).inputs
    assert found["S2L1C"].bands == INPUT_BANDS["S2L1C"][::-1] and found["S1GRD"].bands == ("VV", "VH")
    with pytest.raises(RequestError, match=told):
        config_of(model, data, bands=named | bands)


def test_bands_of_another_camera_are_named_by_an_option(shared_data: Path) -> None:
    model, data = real(shared_data, "gorry_fork_drone_small")
    found = config_of(model, data, bands={"S2L2A": ["BLUE", "GREEN", "RED", "B05", "NIR", "B12"]})
    assert found.inputs["S2L2A"].bands == ("B02", "B03", "B04", "B05", "B08", "B12")


@pytest.mark.parametrize(
    ("modality", "name"),
    [("s2l2a", "S2L2A"), ("untok_sen2l1c@224", "S2L1C"), ("S1", "S1GRD"), ("S2RGB", "S2RGB"), ("dem", "DEM")],
)
def test_modalities_go_by_the_names_that_terratorch_knows(modality: str, name: str) -> None:
    model, count = copy.deepcopy(MODEL), len(INPUT_BANDS[name])
    model["init_args"]["model_args"]["backbone_modalities"] = [modality]
    data = {"means": [1.0] * count, "stds": {modality: [1.0] * count}}
    (found,) = config_of(model, data).inputs.items()
    assert found[0] == name and found[1].modality == modality


PRETRAINED = {
    "means": {"S2L2A": [1400.0] * 12, "S1RTC": [-11, -17], "DEM": [670]},
    "stds": {"S2L2A": [2000.0] * 12, "S1RTC": [4, 4], "DEM": [950]},
}


@pytest.mark.parametrize(
    ("name", "dates"),
    [
        ("impactmesh_base_impactmesh_flood", 4),
        ("ibm_terramind_base_multitemporal_crop", 3),
        ("nyc_phase2_lulc", 4),
    ],
)
def test_real_configurations_of_several_dates_are_read(shared_data: Path, name: str, dates: int) -> None:
    """Their statistics are in code that is not in the file."""
    model, data = real(shared_data, name)
    assert config_of(model, data, stats=PRETRAINED).dates == dates
    with pytest.raises(RequestError, match=f"dates: the model takes {dates} dates .*, not 2"):
        config_of(model, data, stats=PRETRAINED, dates=2)


def test_a_model_that_takes_any_number_of_dates_takes_the_one_that_is_said() -> None:
    model, data = copy.deepcopy(MODEL), copy.deepcopy(DATA)
    assert config_of(model, data).dates == 1
    with pytest.raises(RequestError, match=r"dates: the model takes one date .*, not 3"):
        config_of(model, data, dates=3)
    model["init_args"]["model_args"]["backbone_use_temporal"] = True
    assert config_of(model, data, dates=3).dates == 3
    assert config_of(model, data | {"timesteps": [0, 1]}).dates == 2


@pytest.mark.parametrize(
    ("size", "told"), [(None, "no file tells it; say --pixel-size 10"), (30.0, "trained on pixels of 30 m")]
)
def test_the_size_of_pixels_is_asked_for(tmp_path: Path, size: float | None, told: str) -> None:
    config = tmp_path / "config.yaml"
    config.write_text(json.dumps({"model": MODEL, "data": {"init_args": DATA}}))
    with pytest.raises(RequestError, match=told):
        export_head(tmp_path / "out", config=config, random_weights=1, pixel_size=size)


@pytest.mark.parametrize("ways", [("{}",), ("--config", "{}")])
@pytest.mark.parametrize(
    ("name", "options", "told"),
    [
        ("terratorch_embeddings", (), "--targets embedding"),
        ("terratorch_integration_base_sen1floods11", (), "say --bands S2L1C=BAND,BAND ..., 13 of B01"),
        ("terratorch_integration_base_sen1floods11", ("--bands", "S2L1C:B01"), "is not INPUT=BAND,BAND"),
        ("terratorch_test_base_regression", ("--window", "100"), "window: windows of 100 pixels"),
        ("impactmesh_base_impactmesh_flood", (), "no means of S2L2A"),
        ("nyc_lora_buildings", (), "it has no model.init_args.model_args"),
        ("terratorch_detection_elephants_base", (), "makes no map of pixels (it finds boxes)"),
        ("ibm_terramind_base_burnscars", (), "pixel-size: no file tells it"),
    ],
)
def test_the_command_tells_what_is_wrong_with_a_file_without_torch(
    shared_data: Path, tmp_path: Path, name: str, options: Any, told: str, ways: Any
) -> None:
    said = [word.format(shared_data / "terratorch-configs" / f"{name}.yaml") for word in ways]
    line = [*said, *options, "--random-weights", "0", "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(export_command, line)
    assert isinstance(result.exception, RequestError) and told in str(result.exception)
    assert "terratorch.registry" not in sys.modules


def test_the_command_asks_for_a_source(tmp_path: Path) -> None:
    result = CliRunner().invoke(export_command, ["--out", str(tmp_path / "out")])
    assert "source: say a variant" in str(result.exception)
