module sims3

go 1.24
