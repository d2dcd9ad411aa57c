"""Names that saved runs of earlier versions use, and what they are called now.

A run folder is a promise: whoever reads one passes its config through :func:`translated`.
"""

from typing import Any

_RL = ("PolicyControl", "PolicyGradient", "QLearning", "ValueControl")
TARGETS: dict[str, str] = {
    **{f"losslab.tasks.{name}": f"losslab.rl.{name}" for name in _RL},
    "losslab.tasks.SupervisedModule": "losslab.modules.SupervisedModule",
    "losslab.tasks.AdversarialModule": "losslab.modules.AdversarialModule",
    "losslab.data.environments.Environments": "losslab.rl.Environments",
}
"""``_target_`` paths of version 0.1, with the path of today."""


def translated(node: Any) -> Any:
    """Return a saved config, a container of plain values, with the names of today.

    Example:
        >>> translated({"task": {"module": {"_target_": "losslab.tasks.QLearning"}}})
        {'task': {'module': {'_target_': 'losslab.rl.QLearning'}}}
    """
    if isinstance(node, dict):
        return {
            key: TARGETS.get(value, value)
            if key == "_target_" and isinstance(value, str)
            else translated(value)
            for key, value in node.items()
        }
    if isinstance(node, list):
        return [translated(entry) for entry in node]
    return node
