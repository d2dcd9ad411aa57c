"""Many runs trained together: their weights stacked, one step for all of them.

A group of runs that share data set, task, network and kind of optimizer goes through one plain
loop (:mod:`losslab.lockstep.group`), with a keeper a run; what such a run leaves is what it leaves
when it is trained alone. The Hydra launcher ``hydra/launcher=lockstep`` is the way in.
"""
