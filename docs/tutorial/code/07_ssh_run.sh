covey run -- 'echo "I am $COVEY_MACHINE"'
covey mkdir --parents data/today
cat >ask.py <<'END'
import os, pathlib
(pathlib.Path(os.environ["COVEY_OUTPUT"]) / "answer.txt").write_text("42\n")
print("looked")
END
covey run ask.py
find output -type f | sort
covey map -k 'echo {}' ::: a b c
