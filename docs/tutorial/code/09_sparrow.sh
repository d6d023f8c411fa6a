covey sparrow BATCH+LATE_BINDING 3 4 0.1 0.05 --machines 4 --seed 1 --phases steps.jsonl >run.txt
head -n 1 run.txt
covey trace steps.jsonl | head -n 1
covey sparrow RANDOM 3 4 0.1 0.05 --machines 4 --seed 1 --compare --json >compare.json
