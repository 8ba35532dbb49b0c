"""The STAC item of a run: what was made, from what, how, and how to check that it arrived whole."""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit

import pystac
from shapely.geometry import shape

from terramosaic.bands import COMMON_NAMES, L1C
from terramosaic.catalog import Pass
from terramosaic.catalog.backscatter import BackscatterScene
from terramosaic.catalog.elevation import VERTICAL, ElevationTile
from terramosaic.catalog.profiles import PROFILES
from terramosaic.catalog.scene import Scene
from terramosaic.ground.grid import RESOLUTION
from terramosaic.ground.zones import in_one_piece
from terramosaic.imagery.scene_decision import SceneDecision
from terramosaic.model.devices import is_own_precision, parse_device
from terramosaic.planning.finished import GAPS, SEAMS, VALID_PIXELS, WARNINGS, told_in
from terramosaic.planning.folder import RunFolder, tables_of
from terramosaic.planning.heights import DEM
from terramosaic.planning.input_catalogs import catalog_of
from terramosaic.planning.layers import Layer
from terramosaic.planning.plan import Plan, Zone
from terramosaic.planning.radar import RADAR
from terramosaic.publishing.collections import collection_id, links_of_run
from terramosaic.publishing.dates import date_properties
from terramosaic.publishing.facts import SceneFacts
from terramosaic.publishing.places import PlaceFigures
from terramosaic.publishing.record import LayerRecord, RunFacts
from terramosaic.publishing.reduced import BandStatistics
from terramosaic.publishing.seams import seams_as_json
from terramosaic.publishing.styles import files_beside
from terramosaic.publishing.taken import quote_and_taken
from terramosaic.publishing.words import attribution, software, strides_in_words, title_of
from terramosaic.storage.files import read_bytes
from terramosaic.storage.hashes import multihash_of_bytes
from terramosaic.storage.location import Location, is_remote

#: The versions whose schemas the items are checked against.
EXTENSIONS = (
    "https://stac-extensions.github.io/projection/v2.0.0/schema.json",
    "https://stac-extensions.github.io/raster/v2.0.0/schema.json",
    "https://stac-extensions.github.io/classification/v1.1.0/schema.json",
    "https://stac-extensions.github.io/processing/v1.2.0/schema.json",
    "https://stac-extensions.github.io/file/v2.1.0/schema.json",
)

#: That of a run with bands of Sentinel-2, too: those that it keeps, or generated ones.
_EO = "https://stac-extensions.github.io/eo/v2.0.0/schema.json"

#: What the numbers of passes say, see `Pass.number`.
_PASS_NUMBERS = "1000, 2000 or 3000 for satellite A, B or C, and the relative orbit"

#: Of assets whose numbers are not the map's; "date" as STAC's best practices have it, "reflectance" as
#: its eo extension's have it.
_ROLES = {"flags": "data-mask", "days": "date", "imagery": "reflectance"}


def make_item(run: RunFacts) -> pystac.Item:
    """Describes a finished run as a STAC 1.1 item with relative hrefs, sizes and checksums of what was written.

    Statistics are of all pixels, in physical units.

    Args:
        run: the run; its quicklooks and its report are written.
    """
    plan = run.plan
    used = [scene for key, scene in plan.sources.items() if key not in run.left_out]
    # Of a map without a pixel, which a script may publish, all scenes may have been left out.
    moments = [scene.datetime for scene in used or plan.sources.values()]
    start, end = min(moments), max(moments)
    item = pystac.Item(
        id=f"terramosaic-{plan.run_id}",
        geometry=plan.region,
        bbox=bbox_of(plan.region),
        # The first, where there are several: programs that stack items want one moment.
        datetime=start,
        start_datetime=start,
        end_datetime=end,
        # Tables cannot hold what is empty.
        properties=_without_empty(_properties(run)),
        stac_extensions=[*EXTENSIONS, *([_EO] if _has_optical_bands(plan) else [])],
    )
    for mosaic in run.layers:
        item.add_asset(mosaic.name, _mosaic_asset(run, mosaic))
        for name in files_beside(mosaic):
            item.add_asset(*_asset_beside(run, mosaic, name))
    for name, path in tables_of(plan).items():
        asset = _file_asset(
            run,
            path,
            title="Coordinates that the model names for windows",
            media_type="application/vnd.apache.parquet",  # as it is registered; pystac has the one before
            roles=["data"],
        )
        asset.description = (
            "GeoParquet: each window's zone, row, column, middle, and where the model takes it to lie"
        )
        item.add_asset(name, asset)
    for name, picture in run.pictures.items():
        path = run.folder.quicklooks / f"{name}.png"
        roles = ["thumbnail", "overview"]
        asset = _file_asset(run, path, title=picture.caption, media_type=pystac.MediaType.PNG, roles=roles)
        item.add_asset(f"{name}_quicklook", asset)
    for name, path, media_type in (
        ("report", run.folder.report_file, pystac.MediaType.HTML),
        ("plan", run.folder.plan_file, pystac.MediaType.JSON),
    ):
        asset = _file_asset(run, path, title=name.title(), media_type=media_type, roles=["metadata"])
        item.add_asset(name, asset)
    for name, path, told in (
        ("verification", run.folder.verification_file, run.verification and run.verification.confidence),
        ("assessment", run.folder.assessment_file, run.assessment and run.assessment.summary),
    ):
        if told:
            # Without size and checksum, since it may be written anew; it carries a checksum of its own.
            asset = pystac.Asset(
                _href(run, path),
                title=name.title(),
                description=told,
                media_type=pystac.MediaType.JSON,
                roles=["metadata"],
            )
            item.add_asset(name, asset)
    tiles = plan.heights.elevation.by_key.items() if plan.heights else ()
    for scene in (*used, *(tile for key, tile in tiles if key not in run.left_out)):
        href = scene_href(scene, plan, run.folder.path)
        item.add_link(pystac.Link("derived_from", href, media_type="application/geo+json", title=scene.key))
    return item


def item_of(run: RunFacts) -> dict[str, Any]:
    """The item of a run as it is written, with its place in the catalog of its output folder; see `make_item`."""
    document = make_item(run).to_dict(include_self_link=False)
    links = [*links_of_run(run.plan), *document["links"]]
    return document | {"collection": collection_id(run.plan), "links": links}


def _without_empty(fields: dict[str, Any]) -> dict[str, Any]:
    """Fields without those that are mappings of nothing, at any depth."""
    cut = {
        name: _without_empty(value) if isinstance(value, dict) else value for name, value in fields.items()
    }
    return {name: value for name, value in cut.items() if value != {}}


def _has_optical_bands(plan: Plan) -> bool:
    return any(
        layer.measure == "estimate" and not COMMON_NAMES.keys().isdisjoint(layer.bands)
        for layer in plan.layers
    )


def told_warnings(plan: Plan, folder: RunFolder) -> list[str]:
    """The warnings of a run as its item tells them; the plan's, where there is no item or it is one of 0.1."""
    told = told_in(folder.item_file)
    return list(plan.warnings if told is None or told.warnings is None else told.warnings)


def scene_href(scene: Scene | BackscatterScene | ElevationTile, plan: Plan, folder: Location) -> str:
    """Where a scene's item can be found again: in its STAC API, beside its pixels, or in the run's catalog.

    A scene records its assets' hrefs only, so a static catalog's item is looked for beside them. It is named
    relative to the run folder, or by a file URL if that is in a store.
    """
    inputs = {BackscatterScene: RADAR, ElevationTile: DEM}
    name = next((name for kind, name in inputs.items() if isinstance(scene, kind)), None)
    if isinstance(scene, Scene) and scene.level == "L1C":
        name = L1C
    named = plan.request.catalog if name is None else catalog_of(plan.request, name)[0]
    profile = PROFILES.get(named)
    catalog = (profile and profile.url) or named
    if urlsplit(catalog).scheme in ("http", "https"):
        return f"{catalog.rstrip('/')}/collections/{quote(scene.collection)}/items/{quote(scene.id)}"
    beside = Path(next(iter(scene.assets.values())).href).parent / f"{scene.id}.json"
    with suppress(OSError):  # an id may be too long for a file's name
        if beside.is_file():
            return _relative(beside, folder)
    return f"{_relative(Path(catalog.removeprefix('file://')).expanduser(), folder)}#{quote(scene.id)}"


def _properties(run: RunFacts) -> dict[str, Any]:
    plan, request = run.plan, run.plan.request
    sources = [*(["Sentinel-2"] if plan.scenes else []), *(["Sentinel-1"] if plan.radar else [])]
    properties = {
        "created": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
        "title": f"{', '.join(request.targets)} from {' and '.join(sources)} by {plan.bundle.title}",
        "description": (
            f"Generated by {plan.bundle.title} from {_scenes_in_words(run)}: "
            "modelled, not measured. "
            f"Statistics of bands are in physical units. {attribution(plan)}"
        ),
        "gsd": RESOLUTION,
        "constellation": sources[0].lower(),
        "processing:level": "L4",
        "processing:lineage": (
            f"{_imagery_in_words(plan)}, cut into windows of "
            f"{plan.bundle.window} pixels every {strides_in_words(plan)}, through {plan.bundle.title}; "
            f"{'tokens shared by overlapping windows, ' if request.consensus == 'tokens' else ''}overlaps blended by "
            f"{request.blend}"
        ),
        "processing:software": software(plan),
        "terramosaic:run_id": plan.run_id,
        "terramosaic:inputs": list(request.inputs),
        "terramosaic:targets": list(request.targets),
        **({"terramosaic:reconstruct": True} if request.reconstruct else {}),
        "terramosaic:seed": request.seed,
        "terramosaic:stride": plan.stride,
        **({"terramosaic:strides": dict(request.strides)} if request.strides else {}),
        "terramosaic:blend": request.blend,
        "terramosaic:composite": "single" if plan.dates else request.composite,
        **date_properties(plan),
        "terramosaic:conditioning": request.conditioning,
        **({"terramosaic:consensus": request.consensus} if request.consensus != "none" else {}),
        "terramosaic:steps": request.steps,
        "terramosaic:sampling": request.sampling,
        **(
            {}
            if is_own_precision(request.precision, parse_device(request.device))
            else {"terramosaic:precision": request.precision}
        ),
        "terramosaic:x0_clip": request.x0_clip,
        "terramosaic:x0_clips": request.x0_clips,
        # Enough to cite the model and to find the same weights again.
        "terramosaic:model": plan.bundle.model_dump(exclude={"bands", "inputs", "ndvi_limits"}),
        **({} if run.cloud_share is None else {"terramosaic:cloud_share": round(run.cloud_share, 6)}),
        "terramosaic:gap_share": round(run.gap_share, 6),
        GAPS: {cause: round(share, 6) for cause, share in run.gaps.items()},
        VALID_PIXELS: run.valid_pixels,
        "terramosaic:input_pixels": {name: dict(counts) for name, counts in run.inputs.counts.items()},
        "terramosaic:pass_pixels": dict(run.inputs.passes),
        # From Sentinel-2's best acquisition, or from the period's middle; of several dates each has its own.
        "terramosaic:pass_days": {
            one.label: round(one.days, 2)
            for one in (plan.radar.passes if plan.radar and not plan.dates else ())
            if one.label in run.inputs.passes
        },
        "terramosaic:offset": request.offset,
        "terramosaic:offsets": {scene.id: _offset(scene) for scene in (*run.scenes, *run.beside)},
        "terramosaic:left_out": {key: _left_out(decision) for key, decision in run.left_out.items()},
        SEAMS: {record.name: seams_as_json(record.seams) for record in run.estimates if record.seams},
        "terramosaic:self_checks": _self_checks(run),
        **({"terramosaic:quote": told} if (told := quote_and_taken(run)) else {}),
        **({"terramosaic:coordinates": _places(run.places)} if run.places else {}),
        WARNINGS: run.warnings,
    }
    if len(plan.zones) == 1:
        properties |= _projection(plan.zones[0])
    return properties


def _scenes_in_words(run: RunFacts) -> str:
    """How many scenes of which satellites were used."""
    used = [scene for key, scene in run.plan.sources.items() if key not in run.left_out]
    counts = Counter(
        f"Sentinel-2 {scene.level}" if isinstance(scene, Scene) else "Sentinel-1 RTC" for scene in used
    )
    return " and ".join(f"{count} {kind} scenes" for kind, count in counts.items())


def _imagery_in_words(plan: Plan) -> str:
    """What windows are cut from."""
    request, found = plan.request, []
    if plan.optical:
        levels = [plan.optical.level, *(["L1C of the same acquisitions"] if plan.optical.beside else [])]
        how = f"{len(plan.dates)} dates" if plan.dates else f"{request.composite} composite"
        found.append(f"Sentinel-2 {' and '.join(levels)} ({how}, offset: {request.offset})")
    if plan.radar:
        found.append(
            f"Sentinel-1 RTC ({plan.radar.passes[0].direction or 'of one direction'}, a pass a window"
            f"{' and date' if plan.dates else ''})"
        )
    if plan.heights:
        found.append(f"Copernicus DEM ({VERTICAL})")
    return " and ".join(found)


def _self_checks(run: RunFacts) -> dict[str, Any]:
    """What the maps' numbers tell of the model, without any reference."""
    found: dict[str, Any] = {"distinct_tokens": run.tokens, "share_at_bound": run.shares_at_bound}
    if run.ndvi.is_compared:
        correlation = run.ndvi.correlation
        found["ndvi"] = {
            "pixels": run.ndvi.pixels,
            "bias": round(run.ndvi.bias, 6),
            "mean_absolute_error": round(run.ndvi.mean_absolute_error, 6),
            "correlation": correlation and round(correlation, 6),
            "limits": asdict(run.ndvi_limits),
        }
    return {name: value for name, value in found.items() if value}


def _places(figures: PlaceFigures) -> dict[str, Any]:
    """How far off the places are that the model names for windows, in kilometres."""
    found = {name: value for name, value in asdict(figures).items() if value is not None}
    return {name: round(value, 3) for name, value in found.items()}


def _offset(scene: SceneFacts) -> dict[str, Any]:
    """The rule that decided a scene's offset; for a scene whose pixels were asked also what was subtracted, and why."""
    asked = {"subtracted": scene.subtracted, "pixels": scene.verdict} if scene.verdict else {}
    return {"rule": scene.rule, **asked}


def _left_out(decision: SceneDecision) -> dict[str, Any]:
    """Why a scene was left out, with the evidence."""
    return {"cause": decision.cause, "reason": decision.reason, "figures": dict(decision.figures)}


def _mosaic_asset(run: RunFacts, mosaic: LayerRecord) -> pystac.Asset:
    asset = mosaic_asset(mosaic, _href(run, mosaic.path), run.plan.passes)
    if mosaic.layer.kind == "days":
        asset.extra_fields["bands"][0]["classification:classes"] = _days(run, mosaic)
    return asset


def mosaic_asset(mosaic: LayerRecord, href: str, passes: Iterable[Pass]) -> pystac.Asset:
    """A mosaic as an asset: where it lies, what its numbers mean, and figures of its pixels.

    Args:
        mosaic: which was counted.
        href: of the file.
        passes: those that its pixels may be of, where it tells that.
    """
    layer = mosaic.layer
    asset = pystac.Asset(
        href,
        title=title_of(layer),
        media_type=pystac.MediaType.COG,
        roles=_roles(layer),
        extra_fields={"file:size": mosaic.size, "file:checksum": mosaic.checksum},
    )
    asset.extra_fields |= _projection(mosaic.zone, layer) | {"bands": _bands(mosaic)}
    if layer.kind == "days":
        days, numbers = asset.extra_fields["bands"]
        days |= {"description": "days since 1970-01-01", "classification:classes": _classes(mosaic)}
        numbers |= {"description": _PASS_NUMBERS, "classification:classes": _passes(passes)}
    elif layer.kind == "class":
        asset.extra_fields["classification:classes"] = _classes(mosaic)
    if layer.kind == "flags":
        asset.extra_fields["classification:bitfields"] = _bitfields(layer)
    return asset


#: Files beside a mosaic by the end of their names: of their assets' names, what they are, media type and roles.
_BESIDE = {
    "_composite.vrt": ("_composite", "False colour, as a virtual raster", "application/xml", ["visual"]),
    "_composite.qml": ("_composite_style", "QGIS style of the false colour", "application/xml", ["style"]),
    ".qml": ("_style", "QGIS style", "application/xml", ["style"]),
    ".tif.aux.xml": ("_table", "Names and colours of the classes, for GDAL", "application/xml", ["metadata"]),
}


def _asset_beside(run: RunFacts, mosaic: LayerRecord, name: str) -> tuple[str, pystac.Asset]:
    return asset_beside(mosaic, name, _href(run, mosaic.path.with_name(name)))


def asset_beside(mosaic: LayerRecord, name: str, href: str) -> tuple[str, pystac.Asset]:
    """A file beside a mosaic (`files_beside`) as an asset, and what to call it.

    It is without size and checksum, since GIS programs keep what their users change in them.
    """
    ending, title, media_type, roles = _BESIDE[name.removeprefix(mosaic.name)]
    return f"{mosaic.name}{ending}", pystac.Asset(href, title=title, media_type=media_type, roles=roles)


def _roles(layer: Layer) -> list[str]:
    more = _ROLES.get(layer.kind) or (layer.measure if layer.measure != "estimate" else None)
    return ["data", more] if more else ["data"]


def _file_asset(
    run: RunFacts, path: Location, *, title: str, media_type: str, roles: list[str]
) -> pystac.Asset:
    """A small asset of the run folder, with size and checksum."""
    content = read_bytes(path)
    return pystac.Asset(
        _href(run, path),
        title=title,
        media_type=media_type,
        roles=roles,
        extra_fields={"file:size": len(content), "file:checksum": multihash_of_bytes(content)},
    )


def _projection(zone: Zone, layer: Layer | None = None) -> dict[str, Any]:
    """Where a zone's pixels lie, or those of a layer there."""
    geobox = zone.rect.geobox(zone.epsg) if layer is None else layer.geobox(zone.rect, zone.epsg)
    return {
        "proj:code": f"EPSG:{zone.epsg}",
        "proj:shape": list(geobox.shape),
        "proj:transform": list(geobox.transform)[:6],
        "proj:bbox": list(geobox.boundingbox),
    }


def _bands(mosaic: LayerRecord) -> list[dict[str, Any]]:
    layer = mosaic.layer
    bands = []
    for index, (name, unit) in enumerate(zip(layer.bands, layer.units, strict=True)):
        band: dict[str, Any] = {
            "name": name,
            "data_type": layer.file_dtype,
            "nodata": layer.nodata,
            "raster:spatial_resolution": layer.resolution,
            "raster:sampling": "area",
        }
        if unit != "1":
            band["unit"] = unit
        if layer.kind in ("value", "imagery"):
            band |= {"raster:scale": layer.scale, "raster:offset": 0}
        if name in COMMON_NAMES and layer.measure == "estimate":
            band["eo:common_name"] = COMMON_NAMES[name]
        band["statistics"] = {"valid_percent": round(100 * mosaic.census.valid_share, 3)}
        if mosaic.census.statistics:
            band["statistics"] |= _statistics(mosaic.census.statistics[index])
        bands.append(band)
    return bands


def _statistics(figures: BandStatistics) -> dict[str, float]:
    return {name: round(getattr(figures, name), 6) for name in ("minimum", "maximum", "mean", "stddev")}


def _classes(mosaic: LayerRecord) -> list[dict[str, Any]]:
    shares = mosaic.shares()
    classes: list[dict[str, Any]] = [
        {"value": mosaic.layer.nodata, "name": "no_data", "title": "no data", "nodata": True}
    ]
    for item in mosaic.layer.classes:
        described = {
            "value": item.value,
            "name": re.sub(r"[^0-9A-Za-z_-]+", "_", item.name),
            "title": item.name,
            "description": item.name,
            "color_hint": bytes(item.colour).hex().upper(),
            "percentage": round(100 * shares[item.value], 4),
        }
        classes.append(described)
    return classes


def _days(run: RunFacts, mosaic: LayerRecord) -> list[dict[str, Any]]:
    """The days as classes; each that has pixels says of which scenes they are."""
    classes = _classes(mosaic)
    for described in classes[1:]:
        scenes = [
            scene
            for ranked in run.plan.acquisitions
            for scene in ranked.scenes
            if ranked.solar_day == described["title"] and scene not in run.left_out
        ]
        # The newest of several dates is shown, and all of them are what the map is made of.
        is_used = described["percentage"] > 0 or bool(run.plan.dates)
        satellite = "Sentinel-1" if run.plan.is_led_by_radar else "Sentinel-2"
        described["description"] = f"{satellite} scenes {', '.join(scenes)}" if is_used else "not used"
    return classes


def _passes(passes: Iterable[Pass]) -> list[dict[str, Any]]:
    """Passes as classes of their numbers; over a long period one comes back."""
    by_number = {one.number: one for one in passes}
    return [{"value": 0, "name": "no_data", "title": "no data", "nodata": True}] + [
        {"value": number, "name": f"pass_{number}", "title": one.told_apart, "description": one.told_apart}
        for number, one in sorted(by_number.items())
    ]


def _bitfields(layer: Layer) -> list[dict[str, Any]]:
    fields = []
    for bit, text in layer.bits.items():
        name = re.sub(r"[^0-9A-Za-z]+", "_", text.partition(":")[0].partition(",")[0]).strip("_")
        values = [{"value": 0, "name": f"not_{name}"}, {"value": 1, "name": name, "description": text}]
        described = {"name": name, "description": text, "classes": values}
        fields.append({"offset": bit.bit_length() - 1, "length": 1, **described})
    return fields


def bbox_of(region: dict[str, Any]) -> list[float]:
    """West, south, east, north; west exceeds east across the antimeridian (RFC 7946, section 5.2)."""
    west, south, east, north = in_one_piece(shape(region))[1].bounds
    return [west + 360 if west < -180 else west, south, east - 360 if east > 180 else east, north]


def _href(run: RunFacts, path: Location) -> str:
    inner = str(path).removeprefix(str(run.folder.path)).replace(os.sep, "/").lstrip("/")
    return f"./{inner}"


def _relative(path: Path, folder: Location) -> str:
    if is_remote(folder):
        return path.resolve().as_uri()
    return Path(os.path.relpath(path.resolve(), folder.resolve())).as_posix()
