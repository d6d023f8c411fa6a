"""One draw of jobs, run on real agents under each policy, and what came of it."""
