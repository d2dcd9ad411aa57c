"""Images of data sets in tests: the brightness of each is its number."""


def numbers_of(split):
    """Return the numbers of the images of a split."""
    return sorted(round(255 * each.mean().item()) for each in split.inputs)


def rows_of(data):
    """Return the rows of boxes of each image, by its number."""
    found = {}
    for split in (data.train, data.val, data.test):
        for pixels, rows in zip(split.inputs, split.targets, strict=True):
            found[round(255 * pixels.mean().item())] = rows[rows[:, 0] >= 0].tolist()
    return found
