"""What `kfacealign label` is made of: pictures from anywhere, units of work, worker processes, rows that are written once.

The pictures are divided into units before the first is read, and the plan is kept. A unit is labelled by one worker at a time,
in order; what it has done is written part by part, each part whole or not at all, and a complete unit becomes a shard. So
whoever begins again knows what there is, and a picture has its rows once, however often the run was killed.
"""
