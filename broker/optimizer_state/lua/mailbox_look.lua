-- What is in a mailbox: {seen, reply or '', what is known or ''}
local m = redis.call('HMGET', box, 'r', 'w')
return {'seen', m[1] or '', m[2] or ''}
