"""Run the original's unchanged MATLAB code in GNU Octave, with our numbers in place of its random draws."""
