"""Only what is new: a collection of acquisitions, and the newest mosaics over it."""
