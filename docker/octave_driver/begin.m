## The common beginning of ask.m and time.m: load QUESTION's variables, add the original's functions to the path, and set
## `target`, the path of ANSWER.
pkg load image
warning ("off", "Octave:shadowed-function");
here = fileparts (mfilename ("fullpath"));
arguments = argv ();
[question, target, upstream] = arguments{end - 2:end};
upstream = make_absolute_filename (upstream);
addpath (fullfile (upstream, "data", "data_generator"), fullfile (upstream, "data", "rank_tid2013"));
addpath (fullfile (here, "unbounded"));
load (question);
