function answer = isrgb (image)
  ## In the place of Octave's own, whose ycbcr2rgb refuses a picture with values outside [0, 1]. MATLAB's takes it.
  answer = ndims (image) == 3 && size (image, 3) == 3;
endfunction
