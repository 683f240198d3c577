function answer = isrgb (image)
  ## Replace Octave's own function, because of which ycbcr2rgb rejects a picture with values outside [0, 1]. MATLAB
  ## accepts it.
  answer = ndims (image) == 3 && size (image, 3) == 3;
endfunction
