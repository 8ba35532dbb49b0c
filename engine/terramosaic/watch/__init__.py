"""Only what is new.

watch               what a watched region has to map now
collection          the acquisitions that are mapped
newest, overlay     the newest mosaics over them
"""
