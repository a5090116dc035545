"""Drift: the rows of a served version are counted in the bins of its reference profile, and compared with it.

`profile` reads the profile, which lies beside the model and is untrusted. `counting` counts in the version's processes.
`stability` compares counts with the profile. The follower asks the live version for its counts (`follower.drift`).
"""
