"""Only what is new.

watch               what a watched region has to map now
collection          the acquisitions that are mapped
newest              the newest mosaics over them, brought up to date
overlay             each pixel from its last clear acquisition
newest_item         their styles, quicklooks and item
newest_report       their report
newest_plan         their layers and zones, as a plan tells those of a run
generation          what a set of those mosaics is and was made from
indexing            the table of their items
stable_paths        where the current set is found
assessing           the maps compared with what is known there, over time
"""
