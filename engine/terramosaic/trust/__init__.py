"""How far a map can be trusted: what its run says of itself is held against its sources, and against itself.

Verifying: windows are drawn (`sampling`), computed again from the scenes by the run's own record of decisions
(`sources`, `recomputing`), or from the imagery that it kept (`kept`), and compared with the published mosaics
(`verifying`). What came of it is a `Verification`.
"""
