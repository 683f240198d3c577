"""Runs Python 2 source under Python 3.9, without changing the files.

The standard fixers of lib2to3 translate the grammar; Python 2's division is put into the syntax tree (division.py) and
decides by type at run time; a few builtins keep their old meaning (builtins2.py). Line numbers stay those of the file.

Covered: print, exec, backticks, <>, old except, raise and octal forms, dictionary methods, range, map, filter, zip as
lists, implicit relative imports, classic division, cmp in sorting, Python 2's order of mixed types in sorted() and
list.sort(), round, open (bytes go through text unchanged), reduce, cmp, unichr, file, long, unicode, multiprocessing.
Not covered: the leak of a list comprehension's variable, comparisons of unlike types outside of sorting, str as bytes
beyond files (encode, decode, binary files), old-style classes' lookup, division inside exec'd or eval'd text.
"""
