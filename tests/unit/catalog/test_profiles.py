"""Profiles: what each provider calls the bands."""

from terramosaic.bands import GSD
from terramosaic.catalog.profiles import GENERIC, PROFILES


def test_profiles_name_every_band():
    for profile in [*PROFILES.values(), GENERIC]:
        assert set(profile.assets) == set(GSD)
        names = [name for band in profile.assets for name in profile.assets[band]]
        assert len(set(names)) == len(names), "two bands share a name"
    assert GENERIC.asset_key("B02", {"blue": {"href": "b"}, "blue-jp2": {"href": "j"}}) == "blue"
    assert GENERIC.asset_key("B02", {"blue": {}, "blue-jp2": {"href": "j"}}) == "blue-jp2"
    assert PROFILES["copernicus"].assets["B02"] == ("B02_10m", "B02_20m", "B02_60m", "B02")
    assert PROFILES["copernicus"].assets["B05"] == ("B05_20m", "B05_60m", "B05")
    assert PROFILES["copernicus"].assets["B09"] == ("B09_60m", "B09")
