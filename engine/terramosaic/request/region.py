"""The forms that a region may have in a request: a box, a tile, a polygon, a file; and what may stand for them."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import PurePath
from typing import TYPE_CHECKING, Annotated, Any, Protocol, Self

import shapely
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    field_validator,
    model_validator,
)
from shapely.geometry.base import BaseGeometry

from terramosaic.errors import one_line, printable
from terramosaic.ground.zones import Area, as_geojson
from terramosaic.request.area import area_from_box, area_from_geojson, area_from_tile, polygons_of
from terramosaic.request.complaints import lines_of
from terramosaic.request.crs import in_degrees
from terramosaic.request.files import area_from_file, geojson_of_wkt, kind_of
from terramosaic.url_secrets import keep_written

#: Letters of a polygon that is written out in full.
_LONG = 400

_FORM = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


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

    west: float = Field(title="West", description="Longitude in degrees", ge=-180, le=360, examples=[13.4])
    south: float = Field(title="South", description="Latitude in degrees", ge=-90, le=90, examples=[45.5])
    east: float = Field(
        title="East",
        description="Longitude in degrees; west of `west` only over the antimeridian",
        ge=-180,
        le=360,
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

    @field_validator("geojson")
    @classmethod
    def _is_json(cls, value: dict[str, Any]) -> dict[str, Any]:
        # It is written into the plan: what is no JSON, such as a program's NaN, is found here.
        try:
            text = json.dumps(value, allow_nan=False, ensure_ascii=False)
            text.encode()
        except (TypeError, ValueError, RecursionError) as error:
            raise ValueError(f"not GeoJSON: {printable(one_line(error), 120)}") from error
        known: dict[str, Any] = json.loads(text)
        return known

    def __repr_args__(self) -> Iterator[tuple[str | None, Any]]:
        # A notebook keeps this text beside what it shows, and a border may have megabytes.
        text = str(self.geojson)
        yield "geojson", self.geojson if len(text) < _LONG else f"{text[:_LONG]} ..."

    def area(self) -> Area:
        """The polygon as geometry."""
        return area_from_geojson(self.geojson)


class GeoJsonFile(BaseModel):
    """Polygons in a file, GeoJSON or other, read where the request is planned; the plan keeps what they were."""

    model_config = ConfigDict(title="File or URL", **_FORM)

    path: Annotated[str, AfterValidator(keep_written)] = Field(
        title="Path or URL",
        description="Path or URL (https://, s3://) of GeoJSON, WKT, GeoPackage, KML or the like, of up to 100 MB",
        examples=["region.geojson", "https://example.com/region.geojson"],
        min_length=1,
    )

    def area(self) -> Area:
        """The file's polygon as geometry."""
        return area_from_file(self.path)


def _as_region(value: Any) -> Any:
    """Lets a person write a region as they would say it, and a program give it as it has it."""
    try:
        return _form_of(value)
    except ValidationError as error:
        raise ValueError("; ".join(lines_of(error))) from None


def _form_of(value: Any) -> BaseModel:
    if isinstance(value, BaseModel):
        return value
    if isinstance(value, str | PurePath):
        return _said(str(value))
    value = _in_degrees(value)
    if not isinstance(value, Mapping) and hasattr(
        value, "__geo_interface__"
    ):  # shapely, geopandas and many others
        return GeoJson(geojson=as_geojson(polygons_of(value.__geo_interface__)))
    if hasattr(value, "tolist"):  # numpy, pandas
        value = value.tolist()
    if isinstance(value, Mapping):
        named = next(
            (form for form in (MgrsTile, GeoJson, GeoJsonFile) if {*value} & {*form.model_fields}), None
        )
        if named is not None:
            return named.model_validate(dict(value))
        return GeoJson(geojson=dict(value)) if "type" in value else BoundingBox.model_validate(dict(value))
    if isinstance(value, Sequence) and not isinstance(value, bytes) and len(value) in (4, 6):
        # Six numbers tell heights too, the lowest after south and the highest at the end.
        west, south, east, north = value if len(value) == 4 else (value[index] for index in (0, 1, 3, 4))
        return BoundingBox(west=west, south=south, east=east, north=north)
    raise ValueError(
        "give four numbers (west south east north), an MGRS tile id, GeoJSON, WKT, a geometry, or a file's path or URL"
    )


def _said(text: str) -> BaseModel:
    """A text is a tile, numbers, a geometry that is written out, or a file."""
    text = text.strip()
    if re.fullmatch("(MGRS-|[Tt])?[0-9]{1,2}[A-Za-z]{3}", text):
        return MgrsTile(tile=text)
    if re.fullmatch(r"[-+0-9.eE]+(\s*[,\s]\s*[-+0-9.eE]+){3}", text):
        west, south, east, north = re.split(r"[,\s]+", text)
        return BoundingBox.model_validate({"west": west, "south": south, "east": east, "north": north})
    match kind_of(text[:2000].encode(errors="replace")):
        case "WKT":
            return GeoJson(geojson=geojson_of_wkt(text))
        case "GeoJSON" if text.startswith("{"):
            try:
                return GeoJson(geojson=json.loads(text))
            except RecursionError:
                raise ValueError("not GeoJSON: it is nested too deeply") from None
    return GeoJsonFile(path=text)


def _in_degrees(value: Any) -> Any:
    """A GeoDataFrame, or another geometry that knows its CRS, in degrees; all else as it is."""
    if isinstance(value, BaseGeometry):
        srid = shapely.get_srid(value)
        return in_degrees(value, f"EPSG:{srid}") if srid else value
    crs = getattr(value, "crs", None)
    if crs is None or not callable(getattr(value, "to_crs", None)):
        return value
    try:
        return value.to_crs("EPSG:4326")
    except Exception as error:  # each library has errors of its own
        raise ValueError(
            f"crs {printable(crs, 60)} cannot be transformed: {printable(one_line(error))}"
        ) from error


AnyRegion = BoundingBox | MgrsTile | GeoJson | GeoJsonFile

if TYPE_CHECKING:

    class HasGeometry(Protocol):
        """A geometry of shapely, geopandas or any other library."""

        @property
        def __geo_interface__(self) -> Any: ...

    class HasNumbers(Protocol):
        """An array of four numbers."""

        def tolist(self) -> Any: ...

    class Region:
        """To a type checker the field takes what `_as_region` reads, and gives what it makes of it."""

        def __get__(self, request: object, owner: object) -> AnyRegion: ...
        def __set__(
            self,
            request: object,
            value: AnyRegion
            | Sequence[float]
            | Mapping[str, Any]
            | str
            | PurePath
            | HasGeometry
            | HasNumbers,
        ) -> None: ...

else:
    Region = Annotated[AnyRegion, BeforeValidator(_as_region)]
