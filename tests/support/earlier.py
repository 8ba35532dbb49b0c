"""What version 0.1 left behind."""

from __future__ import annotations

import json
from pathlib import Path


def as_0_1_wrote_it(folder: Path) -> None:
    """Writes plan and receipts of the run in a folder as version 0.1 did."""
    stored = json.loads((folder / "plan.json").read_text())
    stored["format"] = "terramosaic-plan-1"
    del stored["layers"], stored["pixels"]
    told = ("name", "title", "fingerprint", "is_terramind", "bands")
    stored["bundle"] = {name: stored["bundle"][name] for name in told}
    stored["request"]["provider"] = stored["request"].pop("device")
    stored["request"]["extras"] = [
        "spread" if name == "std" else name for name in stored["request"]["extras"]
    ]
    for scene in stored["scenes"].values():
        scene["provider"] = scene.pop("profile")
        scene["fingerprint"] = "of all that the item says"
        for asset in scene["assets"].values():
            del asset["checksum"]
    (folder / "plan.json").write_text(json.dumps(stored))
    for receipt in folder.glob("blocks/*/block.json"):
        content = json.loads(receipt.read_text())
        content["provider"] = content.pop("device")
        content["files"] = {name.replace("_std", "_spread"): size for name, size in content["files"].items()}
        receipt.write_text(json.dumps(content))
    for path in list(folder.rglob("*_std.tif")):
        path.rename(path.with_name(path.name.replace("_std", "_spread")))
