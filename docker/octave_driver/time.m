## octave-cli time.m QUESTION ANSWER UPSTREAM: measure the time of the original's distortions, without writing a picture.
##
## QUESTION (.mat) has image (uint8, height x width x 3), shortest (the minimum time in seconds for which each type is
## repeated) and types, a cell of structs with name and values, one value per level. ANSWER (.mat) has seconds, a row: the
## seconds per image for each type, as the mean over its levels. A first run on a corner of the image is not counted.
1;

function made = distorted (image, name, value, level)
  ## Call a distortion as the generator of TID2013's set does; for JPEG, measure imwrite.
  switch (name)
    case "GN"
      made = imnoise (image, "gaussian", 0, value);
    case "IN"
      made = imnoise (image, "salt & pepper", value);
    case "GB"
      made = imfilter (image, fspecial ("gaussian", value, value / 6), "symmetric");
    case "JPEG"
      imwrite (image, "picture.jpg", "jpg", "quality", value);
    case "BW"
      made = BlockWise (image, value, level);
    otherwise
      functions = struct ("GNC", "gnc", "HFN", "HighFN", "NEPN", "nepn", "MSH", "MeanShift", "MSL", "MeanShift", ...
                          "CCL", "ContrastChange", "CCH", "ContrastChange", "CS", "ColorSaturation", "MGN", "MultiGN", ...
                          "CA", "CA");
      made = feval (functions.(name), image, value);
  endswitch
endfunction

function each_level (image, type)
  for level = 1:numel (type.values)
    distorted (image, type.name, type.values(level), level);
  endfor
endfunction

source (fullfile (fileparts (mfilename ("fullpath")), "begin.m"));
seconds = zeros (1, numel (types));
for i = 1:numel (types)
  each_level (image(1:64, 1:64, :), types{i});
  passes = 0;
  start = tic ();
  while (passes == 0 || toc (start) < shortest)
    each_level (image, types{i});
    passes++;
  endwhile
  seconds(i) = toc (start) / passes / numel (types{i}.values);
endfor
save ("-v6", target, "seconds");
