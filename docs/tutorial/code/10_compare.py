import json

with open("compare.json") as file:
    runs = json.load(file)["policies"]
for run in runs:
    print(run["policy"], run["jobs"], "jobs,", run["tasks"], "tasks,", run["failed"], "failed")
print("one draw for all:", len({run["ideal_p50_s"] for run in runs}) == 1)
print("never under the longest task:", all(run["p50_s"] >= run["zero_wait_p50_s"] for run in runs))
