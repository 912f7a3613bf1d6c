"""Getting it there: the worker, the retry schedule and the gate before each Cordial account."""
