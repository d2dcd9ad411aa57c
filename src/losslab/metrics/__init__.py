"""Metrics that do not depend on the loss, and their labels.

Nothing is imported here: reports read ``labels``, which does not need torch.
"""
