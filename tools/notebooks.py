"""Runs the notebooks of docs/ and stores what they show, so that they can be read where nothing is run.

    python -m tools.notebooks [NAME ...]

Each runs in an empty folder of its own, whose path is taken out of what it shows, as are counters and times of a run. A
test runs them, too, and holds what is stored to be without them. Pictures are stored in fewer bytes than they came in.
"""

from __future__ import annotations

import base64
import io
import re
import sys
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

#: WebP quality of pictures in what is stored.
_QUALITY = 50

FOLDER = Path(__file__).resolve().parents[1] / "docs"


def notebooks() -> list[Path]:
    """All of docs/."""
    return sorted(FOLDER.glob("*.ipynb"))


def executed(path: Path, folder: Path) -> Any:
    """A notebook after a run in a folder, which is none of its outputs.

    Raises:
        CellExecutionError: a cell failed.
    """
    import nbclient  # of the extra `dev`
    import nbformat

    notebook = nbformat.read(path, as_version=4)
    nbclient.NotebookClient(
        notebook, timeout=600, kernel_name="python3", resources={"metadata": {"path": str(folder)}}
    ).execute()
    for cell in notebook.cells:
        cell.metadata.pop("execution", None)
        for output in cell.get("outputs", []):
            if "text" in output:
                output.text = output.text.replace(f"{folder}/", "")
            for kind, text in output.get("data", {}).items():
                output.data[kind] = with_smaller_pictures(text.replace(f"{folder}/", ""))
    return notebook


def with_smaller_pictures(html: str) -> str:
    """A text whose WebP pictures, as data URLs, are compressed more where that takes fewer bytes."""
    from PIL import Image

    def smaller(found: re.Match[str]) -> str:
        with Image.open(io.BytesIO(base64.b64decode(found[2]))) as image:
            content = io.BytesIO()
            image.save(content, "WEBP", quality=_QUALITY, method=6)
        return min(found[0], found[1] + base64.b64encode(content.getvalue()).decode(), key=len)

    return re.sub(r"(data:image/webp;base64,)([A-Za-z0-9+/=]+)", smaller, html)


def main() -> None:
    """Runs those that are named, or all, and stores them."""
    import nbformat

    for path in notebooks():
        if len(sys.argv) == 1 or path.stem in sys.argv[1:]:
            with TemporaryDirectory() as folder:
                nbformat.write(executed(path, Path(folder).resolve()), path)
            print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")


if __name__ == "__main__":
    main()
