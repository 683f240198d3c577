"""How well scores agree with opinions: correlations, intervals, splits, and the files and the page that show them."""
