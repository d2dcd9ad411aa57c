"""Processes that train one run together: the first one decides and writes, the others follow.

The first rank is the process of the command. The others know nothing of the command: they wait at
a store (:class:`torch.distributed.TCPStore`) for the folder of a run, train its saved config with
the first, and wait for the next run, until they are given an exit status. torchrun or srun started
them with the command; else the first one starts them when a run needs them. Each run has a process
group of its own, so that one that fails leaves nothing to the next. A rank whose connections do not
close when it fails, or that waits for such a one, starts anew in its process.

torch is imported only once a run trains.
"""
