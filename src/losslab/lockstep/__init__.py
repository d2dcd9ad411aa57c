"""Lockstep training: many runs with stacked weights, trained by one step for all of them.

Runs that share data set, task, network and kind of optimizer are trained by one plain loop
(:mod:`losslab.lockstep.loop`), each with its own run writer, and save the same files as when they
are trained alone. The entry point is the Hydra launcher ``hydra/launcher=lockstep``.
"""
