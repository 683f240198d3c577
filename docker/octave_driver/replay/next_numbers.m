function x = next_numbers (varargin)
  ## Return the next numbers of the question, column by column, in the shape that rand or randn was called with.
  global NUMBERS USED
  shape = [varargin{:}];
  if (isempty (shape))
    shape = 1;
  endif
  if (isscalar (shape))
    shape = [shape shape];
  endif
  count = prod (shape);
  if (USED + count > numel (NUMBERS))
    error ("expected at most %d numbers to be drawn, got %d", numel (NUMBERS), USED + count);
  endif
  x = reshape (NUMBERS(USED + 1:USED + count), shape);
  USED += count;
endfunction
