"""The same decisions in virtual time: clusters of thousands of machines, in one process, from a
seed.

`workload` says what arrives, `study` what is compared; two engines run it. `cluster` drives the
very cores of agents and schedulers, message for message; `queues` drives the very placement
policies over bare queues, for sizes at which the cores would take hours. `reference` has what no
scheduler can do. The row is pure: no clock but the kernel's, no randomness but the seed's.
"""
