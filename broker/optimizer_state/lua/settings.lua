-- What operators set for a backend: the fields and values of its hash.
return redis.call('HGETALL', KEYS[1] .. ':settings')
