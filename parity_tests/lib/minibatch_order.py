"""The order of lines in the minibatches of upstream's data layers, as plain loops."""

import numpy as np


def rank_order(passes, seed, list_groups, groups, levels, images, per_level):
    """Return the lines of minibatch number `passes` of upstream's rank_layer_{live,tid2013}."""
    random, first, chosen = np.random.RandomState(seed), 0, []
    for _ in range(passes):
        order = list(range(list_groups))
        if groups < list_groups:
            order = list(random.permutation(range(list_groups))[:groups])
        chosen = []
        for k in order:
            for level in range(levels):
                for t in range(images):
                    chosen.append(levels * per_level * k + level * per_level + first + t)
        first += images
        if per_level - first < images:
            first = 0
    return chosen


def ft_order(passes, seed, lines, batch, by_label):
    """Return the lines of minibatch number `passes` of upstream's ft_layer_{live,tid2013}."""
    random, at, chosen = np.random.RandomState(seed), 0, []
    permutation = random.permutation(np.arange(lines))
    for _ in range(passes):
        if at + batch >= lines:
            permutation, at = random.permutation(np.arange(lines)), 0
        chosen = list(permutation[at : at + batch])
        at += batch
        if by_label:
            chosen = sorted(chosen, reverse=True)
    return chosen
