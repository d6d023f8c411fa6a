printf 'first\n' >'a file.txt'
printf 'second\nfile\n' >'another file.txt'
covey map -k 'wc -l <{} >{.}.lines; echo {#} {.}' ::: *.txt
cat 'another file.lines'
