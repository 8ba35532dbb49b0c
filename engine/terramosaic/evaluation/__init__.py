"""How good a model's output is: figures, and the data to measure them on.

values      bias, MAE, RMSE, correlation, PSNR and SSIM, added up tile by tile
similarity  SSIM with gaps
classes     the confusion matrix and what follows from it
areas       areas from a stratified sample, with confidence intervals

terramesh   TerraMesh's layout, in a folder or behind a URL
shards      tars of samples, read by range
samples     a sample unpacked
sampling    samples as a model sees them: windows and references

randomness  of samples: of made-up places

evaluate    a bundle graded on them
outcome     what came of it
overlaps    two overlapping windows of each: do they agree?
chips       chips with masks of water
water       a bundle's water graded on them
paper       what TerraMind's paper reports

references.yaml   what runs are compared with by name
reference         a reference: where it is and how its numbers are read
reference_items   which items a part is compared with
reference_pixels  their pixels on the run's grid, by odc-stac
points            a vector file of points
parts             parts of a run, drawn at random
comparing         a part against its reference: sums and figures
shift             whether a reference lies beside where it says
assess            a run compared
assessment        what came of it
series            the same of many runs, over time
tables            both as tables of text
"""
