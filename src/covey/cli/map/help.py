"""The text of `covey map --help`."""

HELP = """\
Usage: covey map [OPTION…] COMMAND [WORD…] [::: ITEM…] [:::: FILE…]
       covey map [OPTION…] COMMAND [WORD…] < ITEMS
       covey map [OPTION…] --pipe COMMAND [WORD…] < RECORDS

Runs COMMAND once for each item, on the cluster that is up, else on this machine.
The grammar is GNU parallel's: options stand before the command.

Examples:
  covey map 'gzip -k {}' ::: *.log          one command for each file
  covey map -j 4 sha256sum < list.txt       items from standard input
  covey map 'echo {1} {2}' ::: a b ::: 1 2  every combination
  covey map --pipe --block 1M wc -l < big   pieces of standard input
  covey map < commands.txt                  no COMMAND: each item is one

Replacement strings (a command without any gets {} appended):
  {}  the item                    {.}  without its extension
  {/}  its base name              {/.}  base name without extension
  {//}  its directory             {1} {2.} {-1/} …  one of several arguments
  {#}  number of the task         {%}  number of the slot
  {name} {name.} …  a column of --header :
  Values are quoted for the shell, so an item never becomes code, unless the
  first word of COMMAND holds a replacement string: then items are code.

Items:
  ::: ITEM…              from the command line; several ::: give all combinations
  :::: FILE…             lines of files; - is standard input
  :::+ ITEM…  ::::+ FILE…  one for one with the source before
  -a, --arg-file FILE    the same as :::: FILE
  --link, --xapply       all sources one for one; short ones begin again
  -0, --null             items end with NUL, not with a newline
  -C, --colsep REGEX     split each item into columns {1} {2} …
  --header :             the first line of each source names its columns
  -N NUM                 NUM items per command, also as {1} … {NUM}
  -n, --max-args NUM     NUM items per command
  -X                     as many as fit; a word with {} is repeated for each
  -m                     as many as fit, in the place of {}
  --pipe                 give records to the command on standard input
  --block SIZE           bytes of records for each task of --pipe (1M)
  --shuf                 in random order
  -r, --no-run-if-empty  leave out empty items
  -I STR                 use STR instead of {}

When and where:
  -j, --jobs N           N tasks at once on each machine; also N% and +N or -N of
                         its CPUs; 0 = as many as possible (default: 100%)
  --here                 on this machine, even if a cluster is up
  --cluster NAME         on this cluster (COVEY_CLUSTER)
  --head USER@HOST       on the cluster whose head is on that machine (COVEY_HEAD)
  -S, --sshlogin HOSTS   on these machines (8/pi@rack,lab2); who is not up is
                         brought up for this call, and taken down after it
  -H, --slf FILE         the same for a list of machines
  --accept-new-host-keys  take host keys of those that are not known
  --limit PATTERN        only on these: 'lab*,!lab3,@pis'
  --wd, --workdir DIR    run in DIR (default: on this machine the current
                         directory, elsewhere a directory for each task)
  --env NAME[=VALUE]     set a variable for tasks on other machines
  --nice N               with this niceness
  --delay TIME           at least TIME between two starts
  --load N|N%            start nothing while the load is higher
  --memfree SIZE         start nothing while less memory is free

Placement (docs: choose where tasks go):
  --label L              only on machines with the label (group) L; again, or L,M:
                         with all of them; also --constraint
  --avoid M|@L           never on machine M, or on one with the label L
  --spread               at most one task at once on one machine
  --trace                keep when each step of each task was, for: covey trace
  --wait                 when no machine may ever run it: wait for one, do not fail
  --priority N           larger goes first, -1000 to 1000 (default: 0)
  --preempt              stop a running task of lower priority where no slot is
                         free; it starts again later, which costs it no retry
  --user U               whose share it counts against (default: $USER); weights and
                         priorities: [users] of covey.toml
  --policy NAME          RANDOM, CHOOSE_TWO, BATCH, BATCH+LATE_BINDING (default),
                         JSQ or LEAST_LOADED
  --probe-ratio D|auto   machines asked or reserved for each task (default: 2); auto:
                         fewer as load rises
  --cancellation, --no-cancellation
                         take back reservations that are left when all tasks have
                         gone (default), or leave them

Failures:
  --retries N            start a failing task up to N times in all; 0 = for ever
  --on-lost rerun|wait|fail
                         when a machine cannot be reached: run its tasks elsewhere
                         (after as long a silence as they had run), wait, or fail
  --timeout TIME|N%      stop a task after TIME, or N% of the median run time
  --halt WHEN,WHY=N[%]   end early: WHEN is soon or now, WHY is fail, success or
                         done; --halt never is the default
  --joblog FILE          a line for each task; +FILE appends
  --resume               leave out what the joblog or --results already has
  --resume-failed        the same, but run again what failed
  --retry-failed         run the failed commands of the joblog again, nothing else

Output (grouped per task, as tasks end):
  -k, --keep-order       in the order of the items
  --tag                  begin each line with the item and a TAB
  --lb, --line-buffer    print whole lines while tasks still run
  --results DIR|FILE     keep it in DIR, or in one FILE.csv, .tsv or .json
  --dry-run              print the commands, run nothing
  --json                 one JSON object for each task
  --bar, --eta           show how far it is (always shown), --eta with time per task
  --quiet                no progress and no summary
  --name NAME            a name for the job, for covey jobs

Each task finds PARALLEL_SEQ, PARALLEL_JOBSLOT and COVEY_JOB_ID, COVEY_TASK_ID,
COVEY_ATTEMPT, COVEY_ITEM, COVEY_SLOT, COVEY_MACHINE, COVEY_CPUS in its environment.
TIME is in seconds, or 2m, 1.5h, 1d; SIZE in bytes, or with k, M, G (K = 1024).

Exit status: 0 all succeeded; 1-100 that many failed; 101 more; 130 Ctrl-C;
255 wrong command line, or covey itself failed.
"""
