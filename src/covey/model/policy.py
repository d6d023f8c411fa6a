"""The names of placement policies, as users give them and simulations print them.

Sources: Ousterhout et al., *Sparrow: Distributed, Low Latency Scheduling*, SOSP'13, §3, for the
four classic ones; join shortest queue (JSQ) is the textbook reference that asks everybody.
"""

RANDOM = "RANDOM"
CHOOSE_TWO = "CHOOSE_TWO"
BATCH = "BATCH"
LATE_BINDING = "BATCH+LATE_BINDING"
JSQ = "JSQ"
LEAST_LOADED = "LEAST_LOADED"
OMNISCIENT = "OMNISCIENT"
WORK_STEALING = "WORK_STEALING"

#: What a scheduler can be told.
POLICIES = (RANDOM, CHOOSE_TWO, BATCH, LATE_BINDING, JSQ, LEAST_LOADED)
#: What needs to know more than any scheduler can: only in the simulator.
SIMULATED_POLICIES = (*POLICIES, OMNISCIENT, WORK_STEALING)
DEFAULT_POLICY = LATE_BINDING
DEFAULT_PROBE_RATIO = 2.0
#: The word for a probe ratio that falls as load rises, and how a JobSpec says it.
AUTO = "auto"
AUTO_RATIO = 0.0
#: Nobody asks more machines for one task: far beyond it, messages alone fill the machines.
PROBE_RATIO_MAX = 100.0
