"""The resolved config of a run as a tree, for ``extras.print_config=true``."""

from omegaconf import DictConfig, OmegaConf
from rich.syntax import Syntax
from rich.tree import Tree

from losslab.config import secrets


def config_tree(config: DictConfig, title: str = "config") -> Tree:
    """Return a tree with one branch per group and top-level key; secrets are masked.

    Args:
        config: resolved config, as a run saves it.
        title: root of the tree.
    """
    tree = Tree(title)
    for key, value in secrets.for_saving(config).items():
        text = OmegaConf.to_yaml(value) if OmegaConf.is_config(value) else str(value)
        branch = tree.add(str(key))
        branch.add(Syntax(text.strip(), "yaml", background_color="default", word_wrap=True))
    return tree
