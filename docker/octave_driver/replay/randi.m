function x = randi (bounds, varargin)
  ## In the place of Octave's own: an integer for each of the question's numbers on (0, 1), both bounds inclusive.
  if (isscalar (bounds))
    bounds = [1 bounds];
  endif
  x = bounds(1) + floor (next_numbers (varargin{:}) * (bounds(2) - bounds(1) + 1));
endfunction
