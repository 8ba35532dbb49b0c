"""From blocks to mosaics, and finished runs in the hand of a script."""
