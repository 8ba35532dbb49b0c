"""What a map is compared with: by a preset's name, by a user's own YAML, or by a folder or file of the user's."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from importlib.resources import files
from pathlib import Path
from typing import Any, Literal, Self

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from terramosaic.errors import RequestError, one_line, printable
from terramosaic.planning.layers import Layer
from terramosaic.request.complaints import lines_of
from terramosaic.storage.roots import require_within_roots

#: What files of reference data are rasters.
RASTERS = (".tif", ".tiff")

_OWN_CAVEAT = "It does not show how good the reference itself is, nor what lies beyond it."


class Reference(BaseModel):
    """Reference data and how they are read.

    Attributes:
        name: what it goes by.
        title: its name for people.
        target: the map that it is compared with.
        catalog: name, URL or path of the STAC catalog that it is in.
        collection: of the catalog.
        path: instead of a catalog, a folder of GeoTIFFs, a GeoTIFF, or a vector file of points.
        bands: of the map, and the asset that each is compared with; ``data.2`` is an asset's second band. Of files
            the bands follow each other as the map's do, where none are told.
        conversion: what is done to numbers before they are compared. Of linear power what is 0 or less is a gap.
        scale: by which numbers are multiplied after that.
        offset: that is added then.
        gaps: numbers that stand for no data, beside what a file says itself.
        classes: of the map, by the numbers of the reference; what is not among them is not compared. Empty: the same.
        resampling: onto the map's grid.
        when: whether items count that are within some ``days`` of the imagery, of the same ``year``, of the ``nearest``
            year that there is, or ``any``.
        days: how many.
        one_direction: whether all that is compared is of one direction of orbits, and each part of a single pass.
        column: of points, which of their properties holds the value.
        caveat: a sentence that says what a comparison with it does not show.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    name: str
    title: str = ""
    target: str
    catalog: str = ""
    collection: str | None = None
    path: str = ""
    bands: dict[str, str] = Field(default_factory=dict)
    conversion: Literal["none", "linear to dB"] = "none"
    scale: float = 1.0
    offset: float = 0.0
    gaps: tuple[float, ...] = ()
    classes: dict[int, int] = Field(default_factory=dict)
    resampling: Literal["nearest", "bilinear", "average"] = "nearest"
    when: Literal["days", "year", "nearest", "any"] = "any"
    days: float = Field(default=6, ge=0)
    one_direction: bool = False
    column: str = ""
    caveat: str = _OWN_CAVEAT

    @model_validator(mode="after")
    def _is_whole(self) -> Self:
        if bool(self.catalog) == bool(self.path):
            raise ValueError("either a catalog or a path is wanted")
        if self.catalog and not self.bands:
            raise ValueError("bands are wanted: the asset of each band of the map")
        if self.classes and self.resampling != "nearest":
            raise ValueError("classes have no mean: resampling must be nearest")
        return self

    @property
    def fingerprint(self) -> str:
        """Tells it apart from others, and from itself with other files."""
        path = Path(self.path)
        files = sorted(path.iterdir() if path.is_dir() else [path]) if self.path else []
        facts = [(file.name, file.stat().st_size, file.stat().st_mtime_ns) for file in files if file.exists()]
        return hashlib.sha256(f"{self.model_dump_json()}{facts}".encode()).hexdigest()[:16]

    @property
    def is_of_points(self) -> bool:
        """Whether it is a vector file."""
        path = Path(self.path)
        return bool(self.path) and not path.is_dir() and path.suffix.lower() not in RASTERS

    def assets_for(self, layer: Layer) -> list[str]:
        """The asset of each band of a map, in the map's order.

        Raises:
            RequestError: it tells none for a band.
        """
        if len(layer.bands) == len(self.bands) == 1:
            return list(self.bands.values())
        told = self.bands or {band: f"data.{number}" for number, band in enumerate(layer.bands, start=1)}
        if lacking := [band for band in layer.bands if band not in told]:
            raise RequestError(
                f"reference: {self.name} tells no asset for {', '.join(lacking)} of {layer.name}; "
                f"it has {', '.join(told)}"
            )
        return [told[band] for band in layer.bands]


def presets() -> dict[str, Reference]:
    """What is known by name."""
    text = files("terramosaic.evaluation").joinpath("references.yaml").read_text(encoding="utf-8")
    return {
        name: Reference.model_validate({"name": name, **fields})
        for name, fields in yaml.safe_load(text).items()
    }


def references_of(
    texts: Iterable[str], targets: Iterable[str], catalog: str | None = None
) -> list[Reference]:
    """What a run is to be compared with.

    Args:
        texts: each a preset's name, the path of a YAML file, or ``TARGET=PATH`` of a folder of GeoTIFFs or a vector
            file of points. Of none, those presets that suit the run.
        targets: the run's maps.
        catalog: where the presets' collections are instead of in their own catalogs.

    Raises:
        RequestError: one is not known or not readable, or is of a target that the run has not.
    """
    known, targets = presets(), list(targets)
    asked = [one for text in texts for one in _read(text, known)]
    found = asked or [one for one in known.values() if one.target in targets]
    if not found:
        wanted = ", ".join(sorted({one.target for one in known.values()}))
        raise RequestError(
            f"reference: nothing that is known by name suits {', '.join(targets)}: that is of {wanted}; "
            "give a YAML file, or TARGET=PATH of GeoTIFFs or points"
        )
    if foreign := [one for one in found if one.target not in targets]:
        raise RequestError(
            f"reference: {foreign[0].name} is of {printable(foreign[0].target)}, and the run has {', '.join(targets)}"
        )
    if catalog is None:
        return found
    return [one.model_copy(update={"catalog": catalog}) if one.catalog else one for one in found]


def file_of(text: str) -> str:
    """The file or folder that a text names a reference by; nothing where it is a preset's name."""
    return text if _is_yaml(text) else text.partition("=")[2]


def _is_yaml(text: str) -> bool:
    return text.lower().endswith((".yaml", ".yml"))


def _read(text: str, known: Mapping[str, Reference]) -> list[Reference]:
    if text in known:
        return [known[text]]
    if _is_yaml(text):
        return _of_file(Path(text).expanduser())
    target, is_path, path = text.partition("=")
    if not is_path:
        raise RequestError(
            f"reference: {printable(text)!r} is not known; take {', '.join(known)}, a YAML file, or TARGET=PATH"
        )
    require_within_roots(("reference", path))
    place = Path(path).expanduser()
    if not place.exists():
        raise RequestError(f"reference: {printable(path)} does not exist")
    return [Reference(name=place.name, target=target, path=str(place))]


def _of_file(file: Path) -> list[Reference]:
    """The references of a user's file; a path in it starts at the file."""
    require_within_roots(("reference", str(file)))
    try:
        content: Any = yaml.safe_load(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise RequestError(f"reference: cannot read {file}: {error.strerror}") from error
    except (yaml.YAMLError, ValueError) as error:
        raise RequestError(f"reference: {file} is no YAML: {one_line(error)}") from error
    if not isinstance(content, dict) or not all(isinstance(fields, dict) for fields in content.values()):
        raise RequestError(f"reference: {file} should hold a mapping of fields by each reference's name")
    found = []
    for name, fields in content.items():
        try:
            one = Reference.model_validate({"name": str(name), **fields})
        except ValidationError as error:
            raise RequestError(f"reference: {file}: {name}: {'; '.join(lines_of(error))}") from error
        if one.path:
            one = one.model_copy(update={"path": str(file.parent / Path(one.path).expanduser())})
            require_within_roots(("reference", one.path))
        found.append(one)
    return found
