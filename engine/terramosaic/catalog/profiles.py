"""What differs from catalog to catalog: its place, its names of bands, its offsets, its signatures."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Literal
from urllib.parse import urlsplit

from terramosaic.bands import GSD
from terramosaic.errors import CatalogError, one_line
from terramosaic.url_secrets import bare, expiry_of, host_of, whole

#: A token of Planetary Computer is renewed so many seconds before it expires, and has at most so many bytes.
_RENEWED_BEFORE, _LARGEST_TOKEN = 60.0, 100_000
_ASKING = threading.Lock()

#: Where planetary_computer finds a user's key. Most collections do without.
KEY_SETTING = "PC_SDK_SUBSCRIPTION_KEY"

#: What collections of Sentinel-2 L1C, Sentinel-1 RTC and of the Copernicus DEM are called where they are.
_L1C = "sentinel-2-l1c"
_RTC, _DEM, _DEM_90 = "sentinel-1-rtc", "cop-dem-glo-30", "cop-dem-glo-90"

_RASTER_MARKS = {"raster:bands", "raster:offset", "bands"}

_ESA_NAMES = {band: (band,) for band in GSD}

_EARTH_SEARCH_NAMES = {
    band: (name, f"{name}-jp2")
    for band, name in {
        "B01": "coastal", "B02": "blue", "B03": "green", "B04": "red", "B05": "rededge1", "B06": "rededge2",
        "B07": "rededge3", "B08": "nir", "B8A": "nir08", "B09": "nir09", "B10": "cirrus", "B11": "swir16",
        "B12": "swir22", "SCL": "scl",
    }.items()
}  # fmt: skip

#: Native resolution first, and bare as L1C may have them. B01 also comes at 20 m there, but TerraMind was trained on
#: its 60 m pixels.
_COPERNICUS_NAMES = {
    band: (*(f"{band}_{metres}m" for metres in sorted({gsd, 20, 60}) if metres >= gsd), band)
    for band, gsd in GSD.items()
} | {"B01": ("B01_60m", "B01_20m", "B01")}


@dataclass(frozen=True)
class Profile:
    """How a catalog's provider names, signs and offsets things.

    Attributes:
        name: what a request calls it, and what a scene records.
        title: its name for people.
        url: root of its STAC API, empty where a profile only describes items.
        collection: the collection that is searched when the request names none.
        level_1c: that of Sentinel-2 L1C; empty if it has none.
        backscatter: that of Sentinel-1 RTC; empty if it has none with files ``vv`` and ``vh``.
        elevation: that of the Copernicus DEM at 30 m; empty if it has none.
        elevation_90: the same at 90 m.
        assets: band -> names its assets go by, the preferred first: a COG before its JPEG 2000 twin.
        offset_rule: what tells whether pixels carry the +1000 (see `terramosaic.catalog.offset`).
        signing: who must sign an asset's href before it is opened.
        credentials: what a user must set to read its pixels, in a line; empty if nothing.
    """

    name: str
    title: str
    assets: Mapping[str, Sequence[str]]
    offset_rule: Literal["baseline", "flag", "declared"]
    url: str = ""
    collection: str = "sentinel-2-l2a"
    level_1c: str = ""
    backscatter: str = ""
    elevation: str = ""
    elevation_90: str = ""
    signing: Literal["planetary-computer"] | None = None
    credentials: str = ""

    def asset_key(self, band: str, assets: Mapping[str, Any]) -> str | None:
        """The name of a band's preferred asset among an item's, or None."""
        names = self.assets.get(band, ())
        return next((name for name in names if name in assets and assets[name].get("href")), None)


PLANETARY_COMPUTER = Profile(
    name="planetary-computer",
    title="Microsoft Planetary Computer",
    url="https://planetarycomputer.microsoft.com/api/stac/v1",
    backscatter=_RTC,
    elevation=_DEM,
    elevation_90=_DEM_90,
    assets=_ESA_NAMES,
    offset_rule="baseline",
    signing="planetary-computer",
)

#: Both collections: `sentinel-2-l2a` (the default; its COGs have the offset taken off) and
#: `sentinel-2-c1-l2a`.
EARTH_SEARCH = Profile(
    name="earth-search",
    title="Earth Search",
    url="https://earth-search.aws.element84.com/v1",
    level_1c=_L1C,
    elevation=_DEM,
    elevation_90=_DEM_90,
    assets=_EARTH_SEARCH_NAMES,
    offset_rule="flag",
    credentials="its JPEG 2000 files, as all of L1C, want keys of AWS and AWS_REQUEST_PAYER=requester",
)

#: Items of the retired API, which live on in saved catalogs.
EARTH_SEARCH_V0 = Profile(
    name="earth-search-v0",
    title="Earth Search v0",
    collection="sentinel-s2-l2a-cogs",
    assets=_ESA_NAMES,
    offset_rule="flag",
)

COPERNICUS = Profile(
    name="copernicus",
    title="Copernicus Data Space",
    url="https://stac.dataspace.copernicus.eu/v1",
    level_1c=_L1C,
    assets=_COPERNICUS_NAMES,
    offset_rule="declared",
    credentials=(
        "s3://eodata needs AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY of Copernicus Data Space, "
        "AWS_S3_ENDPOINT=eodata.dataspace.copernicus.eu and AWS_VIRTUAL_HOSTING=FALSE"
    ),
)

#: Items that bear nobody's marks: any of the band names above, and what the assets declare.
GENERIC = Profile(
    name="stac",
    title="STAC",
    level_1c=_L1C,
    backscatter=_RTC,
    elevation=_DEM,
    elevation_90=_DEM_90,
    assets={
        band: (
            *_ESA_NAMES[band],
            *_EARTH_SEARCH_NAMES[band][:1],
            *(name for name in _COPERNICUS_NAMES[band] if name != band),
            *_EARTH_SEARCH_NAMES[band][1:],
        )
        for band in GSD
    },
    offset_rule="declared",
)

#: The catalogs that a request can call by name.
PROFILES = {profile.name: profile for profile in (PLANETARY_COMPUTER, EARTH_SEARCH, COPERNICUS)}

_BY_NAME = PROFILES | {profile.name: profile for profile in (EARTH_SEARCH_V0, GENERIC)}


def profile_of(item: Mapping[str, Any]) -> Profile:
    """Recognises by its marks whose vocabulary an item speaks, wherever the item was found.

    Args:
        item: a STAC item as a dict.

    Returns:
        The profile; `GENERIC` for an item without marks.
    """
    properties, assets = (
        part if isinstance(part, Mapping) else {} for part in map(item.get, ("properties", "assets"))
    )
    prefixes = {name.partition(":")[0] for name in properties}
    if "earthsearch" in prefixes or item.get("collection") == "sentinel-2-c1-l2a":
        return EARTH_SEARCH
    if "sentinel" in prefixes:
        return EARTH_SEARCH_V0
    if "eopf" in prefixes or "B04_10m" in assets:
        return COPERNICUS
    found = assets.get("B04")
    b04 = found if isinstance(found, Mapping) else {}
    # Planetary Computer's assets have no raster metadata; items like them that do are better asked for it.
    if _is_azure_blob(str(b04.get("href", ""))) or (
        b04 and "s2" in prefixes and not _RASTER_MARKS & b04.keys()
    ):
        return PLANETARY_COMPUTER
    return GENERIC


def profile_by_host(hrefs: Iterable[str]) -> Profile:
    """Whose files these are, for who signs them, where nothing else of their item tells; `GENERIC` if nobody's."""
    return PLANETARY_COMPUTER if any(map(_is_azure_blob, hrefs)) else GENERIC


def sign(href: str, profile: str, *, anew: bool = False) -> str:
    """Makes an href readable; call it just before opening and keep only the unsigned one, for tokens expire.

    What the item's own href held of signatures or logins is put back, where this process was told it
    (`terramosaic.url_secrets`) and, of Azure, it has not expired. Else a token of Planetary Computer is taken, which is
    kept for each container and renewed in its last minute. Nothing else needs a signature: ``s3://`` hrefs are returned
    as they are, and GDAL reads them with the user's own keys (Copernicus Data Space: those that
    `COPERNICUS.credentials` names; Earth Search's JPEG 2000 twins: keys of AWS and ``AWS_REQUEST_PAYER=requester``).

    Args:
        href: URL or path of an asset.
        profile: name of the provider's profile, as a scene records it.
        anew: with a new token, because the one that is kept was refused.

    Raises:
        CatalogError: no token could be had.
    """
    own = whole(href)
    if not is_signed(href, profile):
        return own
    expiry = expiry_of(own)
    lasts = expiry is not None and expiry > datetime.now(UTC) + timedelta(seconds=_RENEWED_BEFORE)
    return own if lasts and not anew else _signed(bare(href), anew)


def is_signed(href: str, profile: str) -> bool:
    """Whether an href needs a signature that expires; see `sign`."""
    return _BY_NAME.get(profile, GENERIC).signing is not None and _is_azure_blob(href)


def _is_azure_blob(href: str) -> bool:
    return host_of(href).endswith(".blob.core.windows.net")


def _signed(href: str, anew: bool) -> str:
    """The href with a token: the one that is kept, or a new one."""
    # For start-up time: one provider of several needs these.
    from planetary_computer.sas import TOKEN_CACHE, SASToken
    from planetary_computer.settings import Settings
    from planetary_computer.utils import parse_blob_url

    from terramosaic.storage.http import fetch

    settings = Settings.get()
    url = "/".join((settings.sas_url, *parse_blob_url(urlsplit(href))))
    # One of the threads asks. The client's own request would wait for ever on a silent server.
    with _ASKING:
        token = TOKEN_CACHE.get(url)
        if anew or token is None or token.ttl() < _RENEWED_BEFORE:
            key = settings.subscription_key
            try:
                answer = fetch(url, _LARGEST_TOKEN, {"Ocp-Apim-Subscription-Key": key} if key else None)
                token = TOKEN_CACHE[url] = SASToken.model_validate_json(answer)
            except (OSError, ValueError) as error:
                raise CatalogError(
                    f"Planetary Computer gave no token for {href}: {one_line(error)}; try again later"
                    + ("" if key else f", or set {KEY_SETTING}, which some collections want")
                ) from error
    signed: str = token.sign(href).href
    return signed
