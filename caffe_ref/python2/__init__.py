"""Run Python 2 source under Python 3.9 without changing the files.

The standard fixers of lib2to3 translate the grammar. Divisions in the syntax tree are replaced by calls (division.py)
that decide by type at run time, and a few builtins keep their old meaning (builtins2.py). Line numbers stay the same.

Supported: print, exec, backticks, <>, old except, raise and octal forms, dictionary methods, range, map, filter, zip as
lists, implicit relative imports, classic division, cmp in sorting, Python 2's order of mixed types in sorted() and
list.sort(), round, open (bytes pass through text unchanged), reduce, cmp, unichr, file, long, unicode, multiprocessing.
Not supported: the leaking variable of a list comprehension, comparisons of different types outside of sorting, str as
bytes except in files (encode, decode, binary files), attribute lookup of old-style classes, division in exec'd or
eval'd text.
"""
