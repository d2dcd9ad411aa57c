"""Metrics that no loss owns, and what each is called.

Nothing is imported here: reports read ``labels``, which needs no torch.
"""
