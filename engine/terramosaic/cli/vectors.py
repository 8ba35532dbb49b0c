"""``terramosaic polygons | zonal``: finished maps as vectors, and what they say within polygons."""

from __future__ import annotations

import json

import click

from terramosaic.cli.consoles import OUT
from terramosaic.cli.findings import counted_bar
from terramosaic.cli.lines import show_facts
from terramosaic.publishing.numbers import counted, number
from terramosaic.vectors.polygons import polygons
from terramosaic.vectors.zonal import zonal


@click.command("polygons")
@click.argument("run")
@click.option(
    "--class",
    "classes",
    multiple=True,
    metavar="NAME",
    help="Class to write, such as water; also several times  [default: all]",
)
@click.option(
    "--min-area",
    "min_area_ha",
    type=click.FloatRange(0),
    default=0.0,
    metavar="HA",
    help="Leave out smaller polygons, in hectares; a pixel has 0.01",
)
@click.option("--layer", default="", metavar="NAME", help="Map of classes  [default: the one there is]")
@click.option(
    "--out",
    required=True,
    metavar="FILE|URL",
    help="Where to: .parquet (GeoParquet, in the zone's CRS) or .geojson (in degrees)",
)
@click.option("--json", "as_json", is_flag=True, help="Print what was written as JSON")
def polygons_command(
    run: str, classes: tuple[str, ...], min_area_ha: float, layer: str, out: str, as_json: bool
) -> None:
    """Writes the classes of a map as polygons with area and confidence: GeoParquet or GeoJSON.

    RUN is the folder of a finished run, or its URL. Polygons run along the edges of pixels that touch by their sides.
    """
    with counted_bar("polygons", "strips", 1) as on_strip:
        made = polygons(run, out, classes=classes, min_area_ha=min_area_ha, layer=layer, on_strip=on_strip)
    if as_json:
        click.echo(json.dumps(made.as_json(), indent=1))
        return
    show_facts(
        OUT,
        {
            name: f"{counted(count, 'polygon')}, {number(made.hectares[name], 2)} ha"
            for name, count in made.polygons.items()
        }
        | {"file": str(made.path)},
    )


@click.command("zonal")
@click.argument("run")
@click.option(
    "--polygons",
    "polygons_file",
    required=True,
    metavar="FILE|URL",
    help="Polygons to sum up in: GeoJSON, GeoPackage, Shapefile, GeoParquet, KML, FlatGeobuf, or WKT",
)
@click.option(
    "--layer",
    "layers",
    multiple=True,
    metavar="NAME",
    help="Layer to sum up, such as LULC; also several times  [default: all maps and what tells how far to trust them]",
)
@click.option("--out", required=True, metavar="FILE|URL", help="Table to write: .csv or .parquet")
@click.option("--json", "as_json", is_flag=True, help="Print the table as JSON, too")
def zonal_command(run: str, polygons_file: str, layers: tuple[str, ...], out: str, as_json: bool) -> None:
    """Sums a map up within polygons: hectares of each class; mean, least, most and spread of values.

    RUN is the folder of a finished run, or its URL. A row for each polygon, with what its file says of it. A pixel
    counts by the share of it that lies in the polygon.
    """
    with counted_bar("zonal", "layers", 1) as on_layer:
        rows = zonal(run, polygons_file, out, layers=layers, on_layer=on_layer)
    if as_json:
        click.echo(json.dumps(rows, indent=1))
    else:
        told = f"{counted(len(rows), 'polygon')}, {counted(len(rows[0]), 'column')}"
        show_facts(OUT, {"table": told, "file": out})
