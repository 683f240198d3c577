function x = randi (bounds, varargin)
  ## Replace Octave's own function: turn the question's numbers on (0, 1) into integers, with both bounds inclusive.
  if (isscalar (bounds))
    bounds = [1 bounds];
  endif
  x = bounds(1) + floor (next_numbers (varargin{:}) * (bounds(2) - bounds(1) + 1));
endfunction
