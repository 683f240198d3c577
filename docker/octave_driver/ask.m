## octave-cli ask.m QUESTION ANSWER UPSTREAM: distort images with the original's unchanged files.
##
## QUESTION (.mat) has jobs, a cell of structs with
##   call      "live" or "tid2013": run the generator of that set, whose file is the answer; otherwise the name of a
##             function that takes an image and further arguments
##   type      the generator's number of the distortion; for a function, its arguments after the image
##   level     the generator's level
##   image     uint8, height x width x 3
##   numbers   the numbers that rand, randn and randi return, in order; []: use Octave's own, seeded with `seed`
##   redraw    with Octave's own: rows [kind a b c] that are drawn again from the same seed after the run, in order:
##             [0 a b c] randn(a, b, c), [1 a b c] rand(a, b, c), [2 a b 0] randi([a b], 1)
## ANSWER (.mat) has answers, a cell of structs: file (bytes), used (how many numbers were used), redrawn.
1;

function bytes = content (path)
  file = fopen (path, "r");
  bytes = fread (file, Inf, "*uint8");
  fclose (file);
endfunction

function bytes = run_job (job)
  switch (job.call)
    case "tid2013"
      tid2013_generator (job.image, job.type, job.level, struct ("name", "picture.bmp"));
    case "live"
      distortion_generator (job.image, job.type, job.level, struct ("name", "picture.bmp"));
    otherwise
      more = num2cell (job.type);
      imwrite (feval (job.call, job.image, more{:}), "picture.bmp");
  endswitch
  made = [glob("*/*/picture.*"); glob("picture.*")];
  bytes = content (made{1});
  delete (made{1});
endfunction

function numbers = drawn_again (redraw)
  numbers = [];
  for i = 1:rows (redraw)
    row = redraw(i, :);
    switch (row(1))
      case 0
        drawn = randn (row(2), row(3), row(4));
      case 1
        drawn = rand (row(2), row(3), row(4));
      case 2
        drawn = randi ([row(2) row(3)], 1);
    endswitch
    numbers = [numbers; drawn(:)];
  endfor
endfunction

function seed_with (seed)
  rand ("twister", seed);
  randn ("twister", seed);
endfunction

function answer = answer_to (job, here)
  global NUMBERS USED
  NUMBERS = job.numbers(:);
  USED = 0;
  replayed = ! isempty (NUMBERS);
  if (replayed)
    addpath (fullfile (here, "replay"));
  else
    seed_with (job.seed);
  endif
  answer.file = run_job (job);
  answer.used = USED;
  answer.redrawn = [];
  if (replayed)
    rmpath (fullfile (here, "replay"));
  elseif (! isempty (job.redraw))
    seed_with (job.seed);
    answer.redrawn = drawn_again (job.redraw);
  endif
endfunction

source (fullfile (fileparts (mfilename ("fullpath")), "begin.m"));
answers = cell (1, numel (jobs));
for i = 1:numel (jobs)
  answers{i} = answer_to (jobs{i}, here);
endfor
versions = struct ("octave", version (), "image", getfield (pkg ("describe", "image"){1}, "version"));
save ("-v6", target, "answers", "versions");
