"""The original's MATLAB code in GNU Octave: its files unchanged, fed with numbers of ours where they draw."""
