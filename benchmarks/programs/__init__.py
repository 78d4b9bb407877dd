"""What runs in processes of its own, also in the environment of the peers.

So nothing here imports Datalyr, or anything that only one of the environments has, before it
is asked to.
"""
