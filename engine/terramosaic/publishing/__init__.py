"""What people and catalogs see of a run: pictures, report, STAC item, notebook.

publish     all of it, the item last
item        the STAC item
report      the page
notebook    what a notebook shows
reduced     mosaics at a fraction of their resolution, and figures of them
quicklook   pictures of them
record      what the run left on disk, gathered once
words       what report and item must say alike
markup      HTML that escapes what is put into it
locator     maps of where the run is
"""
