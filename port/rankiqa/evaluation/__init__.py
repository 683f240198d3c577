"""Agreement of scores with people's opinions: correlations, intervals, splits, and the files and the page of an
evaluation."""
