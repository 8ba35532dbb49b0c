"""From blocks to mosaics.

assemble    the blocks of a zone, joined
cog         files that are read by parts
result      a finished run in the hand of a script
"""
