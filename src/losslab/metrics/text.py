"""Metrics of texts."""


def edit_distance(guess: str, text: str) -> int:
    """Count the characters to insert, delete or replace to get from one text to the other.

    Example:
        >>> edit_distance("rain", "shine")
        3
    """
    distances = list(range(len(text) + 1))  # from the guess so far to each beginning of the text
    for row, character in enumerate(guess, start=1):
        above_left, distances[0] = distances[0], row
        for column, other in enumerate(text, start=1):
            replaced = above_left + (character != other)
            above_left = distances[column]
            distances[column] = min(replaced, above_left + 1, distances[column - 1] + 1)
    return distances[-1]
