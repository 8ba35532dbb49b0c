"""The stages in order on this machine, and who computes blocks.

mapping     plan, blocks, mosaics, publishing, in one call
attempt     how it begins, and what it may lack at the end
scheduling  the policy: what is handed out, what is tried again, what stops a run
threads     a workforce of this process's threads
processes   a workforce of worker processes, one for each device
worker      the parent's side of one of them
process     what runs in it
messages    what the two tell each other
"""
