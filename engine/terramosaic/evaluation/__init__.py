"""How good a model's output is: figures, and the data to measure them on.

values      bias, MAE, RMSE, correlation, PSNR and SSIM, added up tile by tile
similarity  SSIM with gaps
classes     the confusion matrix and what follows from it
areas       areas from a stratified sample, with confidence intervals

terramesh   TerraMesh's layout, in a folder or behind a URL
shards      tars of samples, read by range
samples     a sample unpacked
sampling    samples as a model sees them: windows and references

evaluate    a bundle graded on them
outcome     what came of it
paper       what TerraMind's paper reports
"""
