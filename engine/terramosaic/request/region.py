"""The forms that a region may have in a request: a box, a tile, a polygon, a file; and what may stand for them."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, model_validator

from terramosaic.ground.zones import Area
from terramosaic.request.area import area_from_box, area_from_file, area_from_geojson, area_from_tile
from terramosaic.request.complaints import lines_of

#: Letters of a polygon that is written out in full.
_LONG = 400

_FORM = ConfigDict(frozen=True, extra="forbid")


class _Drawn(BaseModel):
    """A region that is written out, and so is checked as soon as it is said."""

    @model_validator(mode="after")
    def _is_usable(self) -> Self:
        self.area()
        return self

    def area(self) -> Area:
        """The region as geometry; a ValueError in one line if it is none."""
        raise NotImplementedError


class BoundingBox(_Drawn):
    """A rectangle in degrees."""

    model_config = ConfigDict(title="Bounding box", **_FORM)

    west: float = Field(title="West", description="Longitude in degrees", ge=-180, le=180, examples=[13.4])
    south: float = Field(title="South", description="Latitude in degrees", ge=-90, le=90, examples=[45.5])
    east: float = Field(
        title="East",
        description="Longitude in degrees; west of `west` only over the antimeridian",
        ge=-180,
        le=180,
    )
    north: float = Field(title="North", description="Latitude in degrees", ge=-90, le=90, examples=[45.9])

    def area(self) -> Area:
        """The rectangle as geometry."""
        return area_from_box(self.west, self.south, self.east, self.north)


class MgrsTile(_Drawn):
    """A Sentinel-2 tile."""

    model_config = ConfigDict(title="MGRS tile", **_FORM)

    tile: str = Field(title="Tile", description="MGRS id of a Sentinel-2 tile", examples=["33TWL"])

    def area(self) -> Area:
        """The tile's 10 980 x 10 980 pixels as geometry."""
        return area_from_tile(self.tile)


class GeoJson(_Drawn):
    """A polygon written out."""

    model_config = ConfigDict(title="GeoJSON", **_FORM)

    geojson: dict[str, Any] = Field(
        title="GeoJSON", description="Polygon or MultiPolygon in degrees, or a Feature that holds one"
    )

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        # A notebook keeps this text beside what it shows, and a border may have megabytes.
        text = str(self.geojson)
        yield "geojson", self.geojson if len(text) < _LONG else f"{text[:_LONG]} ..."

    def area(self) -> Area:
        """The polygon as geometry."""
        return area_from_geojson(self.geojson)


class GeoJsonFile(BaseModel):
    """Polygons in a file, read where the request is planned; the plan keeps what they were."""

    model_config = ConfigDict(title="GeoJSON file or URL", **_FORM)

    path: str = Field(
        title="Path or URL",
        description="Path or URL (https://, s3://) of a GeoJSON file, of up to 100 MB",
        examples=["region.geojson", "https://example.com/region.geojson"],
        min_length=1,
    )

    def area(self) -> Area:
        """The file's polygon as geometry."""
        return area_from_file(self.path)


def _as_region(value: Any) -> Any:
    """Lets a person write a region as they would say it: four numbers, a tile id, GeoJSON, or a file's path."""
    if isinstance(value, BaseModel):
        return value
    try:
        if isinstance(value, str | Path):
            text = str(value)
            looks_like_tile = re.fullmatch(r"[Tt]?\d{1,2}[A-Za-z]{3}", text.strip())
            return MgrsTile(tile=text) if looks_like_tile else GeoJsonFile(path=text)
        if isinstance(value, dict):
            kind = next(
                (kind for kind in (MgrsTile, GeoJson, GeoJsonFile) if set(value) & set(kind.model_fields)),
                None,
            )
            if kind is not None:
                return kind(**value)
            return GeoJson(geojson=value) if "type" in value else BoundingBox(**value)
        if isinstance(value, Sequence) and len(value) == 4:
            return BoundingBox(**dict(zip(BoundingBox.model_fields, value, strict=True)))
    except ValidationError as error:
        raise ValueError("; ".join(lines_of(error))) from None
    raise ValueError(
        "give four numbers (west south east north), an MGRS tile id, GeoJSON, or a GeoJSON file's path or URL"
    )


AnyRegion = BoundingBox | MgrsTile | GeoJson | GeoJsonFile

if TYPE_CHECKING:

    class Region:
        """To a type checker the field takes what `_as_region` reads, and gives what it makes of it."""

        def __get__(self, request: object, owner: object) -> AnyRegion: ...
        def __set__(
            self, request: object, value: AnyRegion | Sequence[float] | Mapping[str, Any] | str | Path
        ) -> None: ...

else:
    Region = Annotated[AnyRegion, BeforeValidator(_as_region)]
