function x = randn (varargin)
  ## Replace Octave's own function: return the question's numbers, which are normally distributed.
  x = next_numbers (varargin{:});
endfunction
