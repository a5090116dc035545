"""Measure drift: count a served version's rows in the bins of its reference profile, and compare the counts with it.

`profile` reads the profile, an untrusted file of the model. `counting` counts rows in the version's processes.
`stability` compares counts with the profile. The follower asks the live version for its counts (`follower.drift`).
"""
