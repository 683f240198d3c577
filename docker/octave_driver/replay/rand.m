function x = rand (varargin)
  ## Replace Octave's own function: return the question's numbers, on (0, 1).
  x = next_numbers (varargin{:});
endfunction
