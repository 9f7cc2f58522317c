"""Workers: each process serves one backend, within the budget that all workers of the backend share."""
