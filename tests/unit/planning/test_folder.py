"""Names of files in a run folder."""

import pytest

from terramosaic.planning.folder import RunFolder, file_stem


def test_a_scene_of_an_ordinary_name_is_called_by_it():
    assert file_stem("S2A_33TWL_20230815_0_L2A") == "S2A_33TWL_20230815_0_L2A"


@pytest.mark.parametrize("key", ["L" * 300, "../" * 100, "\N{SNOWMAN}" * 90, "a/b", "..", "a\0b"])
def test_what_a_catalog_calls_its_items_stays_in_the_folder_and_fits_a_file_system(tmp_path, key):
    folder = RunFolder(tmp_path)
    for file in (folder.scene_file(key), folder.failed_asset_file(key, "B04")):
        file.parent.mkdir(exist_ok=True)
        file.with_name(f".{file.name}.{'0' * 32}.part").write_text("x")
        file.write_text("x")
        assert file.resolve().is_relative_to(tmp_path / file.parent.name)


def test_long_names_that_begin_alike_are_two():
    assert file_stem("L" * 300 + "1") != file_stem("L" * 300 + "2")
