-- Where a call stands in one worker's line, as that told last: {place, words or ''}
-- ARGV: fingerprint
return {'place', redis.call('HGET', KEYS[1], ARGV[1]) or ''}
