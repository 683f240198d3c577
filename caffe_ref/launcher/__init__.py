"""Runs upstream's commands as they are: GPU numbers mapped, overrides applied, bad input explained in one last line."""
