function x = randn (varargin)
  ## In the place of Octave's own: the question's numbers, normal.
  x = next_numbers (varargin{:});
endfunction
