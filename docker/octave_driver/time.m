## octave-cli time.m QUESTION ANSWER UPSTREAM: how long the original's distortions take, without writing a picture.
##
## QUESTION (.mat) holds image (uint8, height x width x 3), shortest (seconds, each type is repeated at least so long) and
## types, a cell of structs with name and values, one of each level. ANSWER (.mat) gets seconds, a row: for each type those
## of one image, the mean over its levels, after a run on a corner of the image that isn't counted.
1;

function made = distorted (image, name, value, level)
  ## As the generator of TID2013's set calls it; JPEG is the file that imwrite makes.
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
