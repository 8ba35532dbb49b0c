"""How good a model's output is: figures, and the data to measure them on.

values      bias, MAE, RMSE, correlation, PSNR and SSIM, added up tile by tile
similarity  SSIM with gaps
classes     the confusion matrix and what follows from it
areas       areas from a stratified sample, with confidence intervals
"""
