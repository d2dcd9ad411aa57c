"""Gallery of claims about losses, each tested by preregistered comparisons."""
