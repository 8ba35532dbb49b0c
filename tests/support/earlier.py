"""What version 0.1 left behind."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

from terramosaic.storage.hashes import multihash_of_bytes


def as_0_1_wrote_it(folder: Path) -> None:
    """Writes plan and receipts of the run in a folder as version 0.1 did."""
    stored = json.loads((folder / "plan.json").read_text())
    stored["format"] = "terramosaic-plan-1"
    del stored["layers"], stored["pixels"], stored["checksum"]
    told = ("name", "title", "fingerprint", "is_terramind", "bands")
    stored["bundle"] = {name: stored["bundle"][name] for name in told}
    stored["request"]["provider"] = stored["request"].pop("device")
    stored["request"]["extras"] = [
        "spread" if name == "std" else name for name in stored["request"]["extras"]
    ]
    for ranked in stored["acquisitions"]:
        del ranked["platform"], ranked["relative_orbit"]
    for scene in stored["scenes"].values():
        del scene["relative_orbit"]
        scene["provider"] = scene.pop("profile")
        scene["fingerprint"] = "of all that the item says"
        for asset in scene["assets"].values():
            del asset["checksum"]
    (folder / "plan.json").write_text(json.dumps(stored))
    for receipt in folder.glob("blocks/*/block.json"):
        content = json.loads(receipt.read_text())
        content["provider"] = content.pop("device")
        del content["checksum"], content["surroundings"], content["inputs"], content["passes"]
        content["files"] = {name.replace("_std", "_spread"): size for name, size in content["files"].items()}
        receipt.write_text(json.dumps(content))
    for path in list(folder.rglob("*_std.tif")):
        path.rename(path.with_name(path.name.replace("_std", "_spread")))
    item = folder / "item.json"
    item.write_text(item.read_text().replace("_std.tif", "_spread.tif"))
    _tell_of_plan(folder)


def _tell_of_plan(folder: Path) -> None:
    """Lets a run's item tell of its plan as it is now."""
    item, plan = json.loads((folder / "item.json").read_text()), (folder / "plan.json").read_bytes()
    item["assets"]["plan"] |= {"file:size": len(plan), "file:checksum": multihash_of_bytes(plan)}
    (folder / "item.json").write_text(json.dumps(item))


def newest_as_0_1_left_it(out: Path) -> None:
    """Puts the newest mosaics of a collection into ``newest`` itself, with a note of another form."""
    folder = out / "newest"
    current = (folder / "current").resolve()
    for path in folder.iterdir():
        if path.is_symlink():
            path.unlink()
    for path in current.iterdir():
        path.rename(folder / path.name)
    for generation in folder.iterdir():
        if generation.is_dir():
            shutil.rmtree(generation)
    note = json.loads((folder / "newest.json").read_text())
    rects = {epsg: list(rect.values()) for epsg, rect in note["mosaics"]["zones"].items()}
    encoding = ["NDVI", "spread", "int16", "f" * 64]
    (folder / "newest.json").write_text(
        json.dumps({"encoding": encoding, "zones": rects, "runs": _by_day(note["runs"]), "left_out": {}})
    )
    collection = json.loads((out / "collection.json").read_text())
    for asset in collection["assets"].values():
        asset["href"] = "./newest/" + asset["href"].split("/")[-1]
    collection["links"] = [link for link in collection["links"] if "terramosaic:newest" not in link]
    (out / "collection.json").write_text(json.dumps(collection))


def without_passes(out: Path) -> None:
    """Writes collection and newest mosaics as they were while all passes of a day were one acquisition."""
    collection = json.loads((out / "collection.json").read_text())
    for link in collection["links"]:
        link.pop("terramosaic:platform", None)
        link.pop("terramosaic:relative_orbit", None)
    (out / "collection.json").write_text(json.dumps(collection))
    for file in out.glob("newest/*/newest.json"):
        note = json.loads(file.read_text())
        note.pop("checksum", None)
        note |= {name: _by_day(note[name]) for name in ("runs", "left_out")}
        file.write_text(json.dumps(note))
    for file in out.glob("acquisitions/*/plan.json"):
        plan = json.loads(file.read_text())
        plan.pop("checksum", None)  # through `latest` a run is met twice
        for ranked in plan["acquisitions"]:
            ranked.pop("platform", None)
            ranked.pop("relative_orbit", None)
        for scene in plan["scenes"].values():
            scene.pop("relative_orbit", None)
        file.write_text(json.dumps(plan))
        _tell_of_plan(file.parent)


def _by_day(days_of_runs: dict[str, str]) -> dict[str, str]:
    return {day: run for run, day in days_of_runs.items()}
