"""The stages in order, on this machine.

mapping     plan, blocks, mosaics, publishing, in one call
workers     processes that compute blocks, on one device each
"""
