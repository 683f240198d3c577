## What ask.m and time.m begin with: QUESTION's variables, the path to the original's functions, and `target`, the ANSWER.
pkg load image
warning ("off", "Octave:shadowed-function");
here = fileparts (mfilename ("fullpath"));
arguments = argv ();
[question, target, upstream] = arguments{end - 2:end};
upstream = make_absolute_filename (upstream);
addpath (fullfile (upstream, "data", "data_generator"), fullfile (upstream, "data", "rank_tid2013"));
addpath (fullfile (here, "unbounded"));
load (question);
