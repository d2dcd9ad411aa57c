"""Many runs trained together: their weights stacked, one step for all of them.

Runs that share data set, task, network and kind of optimizer go through one plain loop
(:mod:`losslab.lockstep.loop`) with a writer each; what such a run leaves is what it leaves when it
is trained alone. The way in is the Hydra launcher ``hydra/launcher=lockstep``.
"""
