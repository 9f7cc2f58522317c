"""The stage between agents and workers: every request is answered from the cache, joins a call, or leads one."""
